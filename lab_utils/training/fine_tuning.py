"""A pretrained network with a new head: recipe in, trained network out, on the images of one run.

    run = lab.fine_tune("run 3")        # fine_tune(scaled(recipe("run 3"), …), lab.split_images, …)
    run.history, run.probabilities("val"), run.features("val"), run.model()

The frozen blocks are cut off and their activations read from the cache, so that only the rest is computed in training;
`FineTunedNetwork.model` is the whole network again, flat, sharing the trained weights.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from lab_utils.core import records
from lab_utils.core.errors import LabError, memory_named
from lab_utils.core.profiles import FineTuning
from lab_utils.data.splits import SplitImages
from lab_utils.networks import backbones
from lab_utils.networks.building import building
from lab_utils.stats.metrics import softmax
from lab_utils.training import frozen_front, loop
from lab_utils.training.recipes import FineTuningRecipe

if TYPE_CHECKING:
    import keras

HEAD = "pooled"  # first layer after the base
TEST_CACHE = 1e9  # bytes up to which the activations of the test images are stored too


def network(
    recipe: FineTuningRecipe, classes: int, *, weights: str = "imagenet", precision: str = "float32"
) -> "keras.Model":
    """Build base and head as one flat network; the frozen blocks and every BatchNorm of the base stay as they are.

    The last layer starts with a small kernel (`loop.small_kernel`), so that the first cross-entropy is near
    ln(classes) unless features or head are out of scale.

    Args:
        recipe: network, frozen, head, pooling, l2, dropout and size are used.
        classes: number of classes.
        weights: `imagenet` or `random`.
        precision: dtype policy of all layers but the last.

    Returns:
        From preprocessed images (B, size, size, 3) to float32 logits (B, classes).
    """
    import keras

    with building(precision, recipe.seed):
        base = backbones.frozen_base(recipe.network, recipe.frozen, weights=weights, size=recipe.size)
        pool = keras.layers.Flatten if recipe.pooling == "flatten" else keras.layers.GlobalAveragePooling2D
        x = pool(name=HEAD)(base.output)
        for i, width in enumerate(recipe.head, 1):
            penalty = _penalty(recipe.l2) if recipe.l2 and i == 1 else None
            x = keras.layers.Dense(width, "relu", kernel_regularizer=penalty, name=f"dense_{i}")(x)
            x = keras.layers.Dropout(recipe.dropout, name=f"dropout_{i}")(x) if recipe.dropout else x
        start = loop.small_kernel()
        x = keras.layers.Dense(classes, kernel_initializer=start, dtype="float32", name="logits")(x)
    return keras.Model(base.input, x, name=recipe.network)


def _penalty(factor: float) -> "keras.regularizers.Regularizer":
    """Keras's L2 whose factor is a variable: runs that differ in it share the compiled step."""
    import keras

    class VariableL2(keras.regularizers.L2):
        def __init__(self, l2: float):
            self.l2 = keras.Variable(l2, trainable=False, dtype="float32")

    return VariableL2(factor)


def cut(model: "keras.Model", recipe: FineTuningRecipe) -> Any:
    """The tensor behind the frozen blocks of a network, where its frozen part ends (its input: nothing is frozen).

    With all blocks frozen it is the output of the pooling layer: a head alone needs no feature maps.
    """
    points = backbones.backbone(recipe.network).freeze_points
    if recipe.frozen == 0:
        return model.input
    return model.get_layer(HEAD if recipe.frozen == len(points) else points[recipe.frozen - 1]).output


def prepare(recipe: FineTuningRecipe, images: Any) -> Any:
    """Images of 0..255 as the recipe feeds them: the network's own preprocessing, or divided by 255 (the original)."""
    if recipe.preprocessing == "right":
        return backbones.preprocess(recipe.network, images)
    return np.asarray(images, np.float32) / 255


def frozen_part(prefix: "keras.Model | None", recipe: FineTuningRecipe) -> Callable[[Any], Any]:
    """The function from images of 0..255 to what the trained part is fed (None: the preprocessed images)."""
    import tensorflow as tf

    if prefix is None:
        return lambda images: prepare(recipe, images)

    def activations(inputs: Any) -> Any:
        return tf.cast(prefix(inputs, training=False), prefix.compute_dtype)

    run = tf.function(activations, reduce_retracing=True, autograph=False)
    return lambda images: run(tf.convert_to_tensor(prepare(recipe, images)))


def best_precision(name: str) -> str:
    """Dtype policy for one network on this machine.

    On processors depthwise convolutions gain nothing from bfloat16 (`benchmarks/README.md`), so networks made of them
    stay in float32 there.
    """
    fastest = loop.best_precision()
    depthwise = name.startswith(("lite", "efficientnet"))
    return "float32" if depthwise and not loop.on_graphics_card() else fastest


class Tuner:
    """One architecture on one run's images, with its compiled steps: fits any recipe of that architecture."""

    def __init__(self, recipe: FineTuningRecipe, images: SplitImages, settings: FineTuning, weights: str):
        """Build the network and cut it; nothing is computed yet."""
        import keras

        self.recipe, self.images, self.settings, self.weights = recipe, images, settings, weights
        self.precision = best_precision(recipe.network) if settings.precision == "auto" else settings.precision
        self.full = network(recipe, images.classes, weights=weights, precision=self.precision)
        self.cut = cut(self.full, recipe)
        self.prefix = keras.Model(self.full.input, self.cut) if recipe.frozen else None
        self.rest = keras.Model(self.cut, self.full.output)
        head = [layer for layer in self.full.layers if isinstance(layer, keras.layers.Dense)]
        frozen = [variable for layer in self.full.layers if not layer.trainable for variable in layer.weights]
        self.trainer = loop.Trainer(
            self.rest,
            redraw=head,
            frozen=frozen,
            amsgrad=recipe.amsgrad,
            precision=self.precision,
            input_dtype=self.prefix.compute_dtype if self.prefix else "float32",
        )
        base = b"".join(np.asarray(weight).tobytes() for weight in self._base_weights())
        self.base_hash = records.content_hash(base)
        self._frozen_part = frozen_part(self.prefix, recipe)
        self._activations: dict[Any, Any] = {}

    def _base_weights(self) -> list[Any]:
        head = {id(variable) for layer in self.trainer.redraw for variable in layer.weights}
        return [variable for variable in self.full.weights if id(variable) not in head]

    # ---- inputs
    def rows(self, split: str) -> np.ndarray:
        """Positions in the run's images of a split, the train images capped by the profile."""
        return self.images.rows(split, self.settings.cap)

    def examples(self, split: str, recipe: FineTuningRecipe) -> loop.Examples:
        """What the trained part is fed for a split; with augmentation the train images go through the whole network."""
        rows = self.rows(split)
        labels, chosen = self.images.known_labels(rows), loop.Chosen(self.images.pixels(recipe.size), rows)
        if recipe.augment and split == "train":
            return loop.Examples(chosen, labels, self._augmenting(recipe))
        if self.prefix is None:
            return loop.Examples(chosen, labels, lambda pixels, *_: prepare(recipe, pixels))
        if split not in self._activations:
            self._activations[split] = self._cached(split, chosen, rows)
        return loop.Examples(self._activations[split], labels)

    def _cached(self, split: str, chosen: loop.Chosen, rows: np.ndarray) -> Any:
        recipe, limit = self.recipe, self.settings.cache_limit and self.settings.cache_limit * 1e9
        key = {"data": self.images.data_hash, "rows": rows, "base": self.base_hash, "precision": self.precision}
        key |= {item: getattr(recipe, item) for item in ("network", "frozen", "size", "preprocessing", "pooling")}
        return frozen_front.cached(
            chosen,
            self._frozen_part,
            key,
            folder=loop.cache_folder() / "prefix",
            code=(backbones.__name__, "lab_utils.data.pipeline"),
            limit=min(limit or TEST_CACHE, TEST_CACHE) if split == "test" else limit,
            title=f"{recipe.network}'s {recipe.frozen} frozen blocks, {split}",
        )

    def _augmenting(self, recipe: FineTuningRecipe) -> loop.Transform:
        augmented = loop.augmenting(len(self.rows("train")), recipe.seed, recipe.crop)
        return lambda pixels, rows, epoch: self._frozen_part(augmented(pixels, rows, epoch))

    # ---- training
    def fit(self, recipe: FineTuningRecipe, progress: Callable[[str], None] = print) -> "FineTunedNetwork":
        """Load or train a recipe of this architecture."""
        if recipe.architecture() != self.recipe.architecture():
            raise LabError(f"{recipe.name} needs another network than {self.recipe.name}: fit it by `lab.fine_tune`.")
        earlier = None
        if recipe.start:
            earlier = fine_tune(recipe.start, self.images, self.settings, self.weights, progress)
        identity = {"recipe": recipe.identity(), "data": self.images.data_hash, "base": self.base_hash}
        identity |= {"rows": [self.rows("train"), self.rows("val")], "precision": self.precision}
        self._set_l2(recipe)
        self._check_inputs(recipe)
        trained = loop.fit(
            self.trainer,
            self.examples("train", recipe),
            self.examples("val", recipe),
            recipe.plan,
            identity,
            folder=loop.cache_folder() / "models",
            title=f"{recipe.name} ({recipe.network})",
            tolerance=None if earlier else loop.NEAR,
            start=(lambda: self._begin_with(earlier)) if earlier else None,
            progress=progress,
        )
        return FineTunedNetwork(self, recipe, trained)

    def _check_inputs(self, recipe: FineTuningRecipe) -> None:
        """Check the range of the first val images as the network gets them (of the original's 1/255 it is wrong)."""
        pixels = self.images.pixels(recipe.size)[self.rows("val")[:16]]
        if recipe.preprocessing == "right":
            backbones.check_range(recipe.network, prepare(recipe, pixels))

    def _set_l2(self, recipe: FineTuningRecipe) -> None:
        for layer in self.trainer.redraw:
            if layer.kernel_regularizer is not None:
                layer.kernel_regularizer.l2.assign(recipe.l2)

    def _begin_with(self, earlier: "FineTunedNetwork") -> None:
        """Copy the best weights of what an earlier stage trained; all else is as pretrained in both."""
        if earlier.recipe.frozen < self.recipe.frozen:
            raise LabError(
                f"{self.recipe.name} freezes {self.recipe.frozen} blocks and starts with {earlier.recipe.name}, which "
                f"trained some of them: freeze no more than {earlier.recipe.frozen}."
            )
        for layer in earlier.model().layers:
            if layer.trainable and layer.weights:
                self.full.get_layer(layer.name).set_weights(layer.get_weights())


class FineTunedNetwork:
    """A network that was fine-tuned by a recipe on the images of a run.

    Attributes:
        recipe: its settings, scaled to the profile.
        history: one row an epoch (columns: `loop.TrainedModel`).
        seconds: of training.
        best_epoch: from 1, chosen on val; all answers below are of that epoch's weights unless `which="last"`.
    """

    def __init__(self, tuner: Tuner, recipe: FineTuningRecipe, trained: loop.TrainedModel):
        self.tuner, self.recipe, self.trained = tuner, recipe, trained
        self.history, self.seconds, self.best_epoch = trained.history, trained.seconds, trained.best_epoch

    def model(self, which: Literal["best", "last"] = "best") -> "keras.Model":
        """The whole network, from preprocessed images (B, size, size, 3) to logits (B, classes), flat.

        It is shared with other runs of the same architecture: ask again after fitting or asking another one.
        """
        self.trained.use(which)
        return self.tuner.full

    def preprocess(self, images: np.ndarray) -> Any:
        """RGB images of 0..255, shape (B, size, size, 3), as this network takes them."""
        return prepare(self.recipe, images)

    def rows(self, split: str) -> np.ndarray:
        """Positions in the run's images of what `probabilities`, `logits`, `features` give (train may be capped)."""
        return self.tuner.rows(split)

    def logits(self, split: str, which: Literal["best", "last"] = "best") -> np.ndarray:
        """Logits of a split without dropout or augmentation, float32, shape (n, classes), in the order of `rows`."""
        return self.trained.logits(self._clean(split), which)

    def probabilities(self, split: str, which: Literal["best", "last"] = "best") -> np.ndarray:
        """Class probabilities of a split, float32, shape (n, classes), in the order of `rows`."""
        return softmax(self.logits(split, which)).astype(np.float32)

    def val_logits(self) -> np.ndarray:
        """Logits of the val images after each epoch, float32, shape (epochs, n, classes)."""
        return self.trained.val_logits()

    def features(self, split: str, layer: str = "dense_1") -> np.ndarray:
        """Activations of a layer of the head for a split, float32, shape (n, width), in the order of `rows`.

        Args:
            split: train, val or test.
            layer: `pooled`, `dense_1` (the original's 512 features), `dense_2`, ...
        """
        import keras

        self.trained.use("best")
        examples = self._clean(split)
        part = keras.Model(self.tuner.cut, self.tuner.full.get_layer(layer).output)
        with memory_named(f"{self.recipe.name}, {layer}", 64, np.shape(examples.inputs)[1:]):
            batches = examples.batches(np.arange(len(examples)), 64)
            return np.concatenate([np.asarray(part(x, training=False)).astype(np.float32) for x, _ in batches])

    def _clean(self, split: str) -> loop.Examples:
        return self.tuner.examples(split, replace(self.recipe, augment=False))


_TUNERS: dict[tuple[Any, ...], Tuner] = {}  # compiling costs seconds: runs of one architecture share a tuner


def fine_tune(
    recipe: FineTuningRecipe,
    images: SplitImages,
    settings: FineTuning,
    weights: str = "imagenet",
    progress: Callable[[str], None] = print,
) -> FineTunedNetwork:
    """Load or train a recipe.

    Args:
        recipe: scaled to the profile (`recipes.scaled`).
        images: those of the run.
        settings: the profile's section: cap, precision and cache limit are used.
        weights: `imagenet` or `random`.
        progress: receives one line an epoch.

    Raises:
        LabError: what `loop.fit` and `backbones.build` stop at, or a stage that freezes more than the one before it.
    """
    key = (images, settings, weights, recipe.architecture())
    if key not in _TUNERS:
        _TUNERS[key] = Tuner(recipe, images, settings, weights)
    return _TUNERS[key].fit(recipe, progress)
