"""A pretrained network with a new head: recipe in, trained network out, on the images of one run.

    run = fine_tune(lab, recipe("run 3"))        # or lab.fine_tune("run 3")
    run.history, run.probabilities("val"), run.features("val"), run.model()

The frozen blocks are cut off and their activations read from the cache, so that only the rest is computed in training;
`FineTuned.model` is the whole network again, flat, sharing the trained weights.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from lab_utils.core import records
from lab_utils.core.errors import LabError, memory_named
from lab_utils.networks import backbones
from lab_utils.training import frozen_front, loop
from lab_utils.training.recipes import Recipe

if TYPE_CHECKING:
    import keras

    from lab_utils.lab import Lab

HEAD = "pooled"  # first layer after the base
TEST_CACHE = 1e9  # bytes up to which the activations of the test images are stored too


def network(one: Recipe, classes: int, *, weights: str = "imagenet", precision: str = "float32") -> "keras.Model":
    """Build base and head as one flat network; the frozen blocks and every BatchNorm of the base stay as they are.

    The last layer starts with a small kernel (`loop.small_kernel`), so that the first cross-entropy is near
    ln(classes) unless features or head are out of scale.

    Args:
        one: recipe; network, frozen, head, pooling, l2, l2_on, dropout and size are used.
        classes: number of classes.
        weights: `imagenet` or `random`.
        precision: dtype policy of all layers but the last.

    Returns:
        From preprocessed images (B, size, size, 3) to float32 logits (B, classes).
    """
    import keras

    with loop.building(precision, one.seed):
        base = backbones.frozen_base(one.network, one.frozen, weights=weights, size=one.size)
        pool = keras.layers.Flatten if one.pooling == "flatten" else keras.layers.GlobalAveragePooling2D
        x = pool(name=HEAD)(base.output)
        for i, width in enumerate(one.head, 1):
            penalty = _penalty(one.l2) if one.l2 and (i == 1 or one.l2_on == "all") else None
            x = keras.layers.Dense(width, "relu", kernel_regularizer=penalty, name=f"dense_{i}")(x)
            x = keras.layers.Dropout(one.dropout, name=f"dropout_{i}")(x) if one.dropout else x
        start = loop.small_kernel()
        x = keras.layers.Dense(classes, kernel_initializer=start, dtype="float32", name="logits")(x)
    return keras.Model(base.input, x, name=one.network)


def _penalty(factor: float) -> "keras.regularizers.Regularizer":
    """Keras's L2 whose factor is a variable: runs that differ in it share the compiled step."""
    import keras

    class VariableL2(keras.regularizers.L2):
        def __init__(self, l2: float):
            self.l2 = keras.Variable(l2, trainable=False, dtype="float32")

    return VariableL2(factor)


def cut(model: "keras.Model", one: Recipe) -> Any:
    """The tensor behind the frozen blocks of a network, where its frozen part ends (its input: nothing is frozen).

    With all blocks frozen it is the output of the pooling layer: a head alone needs no feature maps.
    """
    points = backbones.backbone(one.network).freeze_points
    if one.frozen == 0:
        return model.input
    return model.get_layer(HEAD if one.frozen == len(points) else points[one.frozen - 1]).output


def prepare(one: Recipe, images: Any) -> Any:
    """Images of 0..255 as the recipe feeds them: the network's own preprocessing, or divided by 255 (the original)."""
    if one.preprocessing == "right":
        return backbones.preprocess(one.network, images)
    return np.asarray(images, np.float32) / 255


def frozen_part(prefix: "keras.Model | None", one: Recipe) -> Callable[[Any], Any]:
    """The function from images of 0..255 to what the trained part is fed (None: the preprocessed images)."""
    import tensorflow as tf

    if prefix is None:
        return lambda images: prepare(one, images)

    def activations(inputs: Any) -> Any:
        return tf.cast(prefix(inputs, training=False), prefix.compute_dtype)

    run = tf.function(activations, reduce_retracing=True, autograph=False)
    return lambda images: run(tf.convert_to_tensor(prepare(one, images)))


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

    def __init__(self, lab: "Lab", one: Recipe):
        """Build the network and cut it; nothing is computed yet."""
        import keras

        chosen = lab.settings.fine_tuning.precision
        self.lab, self.recipe = lab, one
        self.precision = best_precision(one.network) if chosen == "auto" else chosen
        self.full = network(one, len(lab.classes), weights=lab.settings.networks.weights, precision=self.precision)
        self.cut = cut(self.full, one)
        self.prefix = keras.Model(self.full.input, self.cut) if one.frozen else None
        self.rest = keras.Model(self.cut, self.full.output)
        head = [layer for layer in self.full.layers if isinstance(layer, keras.layers.Dense)]
        frozen = [variable for layer in self.full.layers if not layer.trainable for variable in layer.weights]
        self.trainer = loop.Trainer(
            self.rest,
            redraw=head,
            frozen=frozen,
            amsgrad=one.amsgrad,
            precision=self.precision,
            input_dtype=self.prefix.compute_dtype if self.prefix else "float32",
        )
        self.base_hash = records.content_hash(b"".join(np.asarray(one).tobytes() for one in self._base_weights()))
        self._frozen_part = frozen_part(self.prefix, one)
        self._activations: dict[Any, Any] = {}

    def _base_weights(self) -> list[Any]:
        head = {id(variable) for layer in self.trainer.redraw for variable in layer.weights}
        return [variable for variable in self.full.weights if id(variable) not in head]

    # ---- inputs
    def rows(self, name: str) -> np.ndarray:
        """Positions in `lab.images` of a split, the train images capped by the profile."""
        return loop.used_rows(self.lab, name, self.lab.settings.fine_tuning.cap)

    def examples(self, name: str, one: Recipe) -> loop.Examples:
        """What the trained part is fed for a split; with augmentation the train images go through the whole network."""
        rows = self.rows(name)
        labels = loop.labels_for(self.lab, name, rows)
        images = loop.Chosen(self.lab.pixels(one.size), rows)
        if one.augment and name == "train":
            return loop.Examples(images, labels, self._augmenting(one))
        if self.prefix is None:
            return loop.Examples(images, labels, lambda pixels, *_: prepare(one, pixels))
        if name not in self._activations:
            self._activations[name] = self._cached(name, images, rows)
        return loop.Examples(self._activations[name], labels)

    def _cached(self, name: str, images: loop.Chosen, rows: np.ndarray) -> Any:
        one, settings = self.recipe, self.lab.settings.fine_tuning
        key = {"data": self.lab.table.data_hash, "rows": rows, "base": self.base_hash, "precision": self.precision}
        key |= {item: getattr(one, item) for item in ("network", "frozen", "size", "preprocessing", "pooling")}
        limit = settings.cache_limit and settings.cache_limit * 1e9
        return frozen_front.cached(
            images,
            self._frozen_part,
            key,
            folder=loop.cache_folder() / "prefix",
            code=(backbones.__name__, "lab_utils.data.pipeline"),
            limit=min(limit or TEST_CACHE, TEST_CACHE) if name == "test" else limit,
            title=f"{one.network}'s {one.frozen} frozen blocks, {name}",
        )

    def _augmenting(self, one: Recipe) -> loop.Transform:
        augmented = loop.augmenting(len(self.rows("train")), one.seed, one.crop)
        return lambda pixels, rows, epoch: self._frozen_part(augmented(pixels, rows, epoch))

    # ---- training
    def fit(self, one: Recipe, progress: Callable[[str], None] = print) -> "FineTuned":
        """Load or train a recipe of this architecture."""
        if one.architecture() != self.recipe.architecture():
            raise LabError(f"{one.name} needs another network than {self.recipe.name}: fit it by `lab.fine_tune`.")
        earlier = fine_tune(self.lab, one.start, progress) if one.start else None
        identity = {"recipe": one.identity(), "data": self.lab.table.data_hash, "base": self.base_hash}
        identity |= {"rows": [self.rows("train"), self.rows("val")], "precision": self.precision}
        self._set_l2(one)
        self._check_inputs(one)
        fitted = loop.fit(
            self.trainer,
            self.examples("train", one),
            self.examples("val", one),
            one.plan,
            identity,
            folder=loop.cache_folder() / "models",
            title=f"{one.name} ({one.network})",
            tolerance=None if earlier else loop.NEAR,
            start=(lambda: self._begin_with(earlier)) if earlier else None,
            progress=progress,
        )
        return FineTuned(self, one, fitted)

    def _check_inputs(self, one: Recipe) -> None:
        """Check the range of the first val images as the network gets them (of the original's 1/255 it is wrong)."""
        images = self.lab.pixels(one.size)[self.rows("val")[:16]]
        if one.preprocessing == "right":
            backbones.check_range(one.network, prepare(one, images))

    def _set_l2(self, one: Recipe) -> None:
        for layer in self.trainer.redraw:
            if layer.kernel_regularizer is not None:
                layer.kernel_regularizer.l2.assign(one.l2)

    def _begin_with(self, earlier: "FineTuned") -> None:
        """Copy the best weights of what an earlier stage trained; all else is as pretrained in both."""
        if earlier.recipe.frozen < self.recipe.frozen:
            raise LabError(
                f"{self.recipe.name} freezes {self.recipe.frozen} blocks and starts with {earlier.recipe.name}, which "
                f"trained some of them: freeze no more than {earlier.recipe.frozen}."
            )
        for layer in earlier.model().layers:
            if layer.trainable and layer.weights:
                self.full.get_layer(layer.name).set_weights(layer.get_weights())


class FineTuned:
    """A fine-tuned network of one run of the lab.

    Attributes:
        recipe: its settings, scaled to the profile.
        history: one row an epoch (columns: `loop.Fitted`).
        seconds: of training.
        best_epoch: from 1, chosen on val; all answers below are of that epoch's weights unless `which="last"`.
    """

    def __init__(self, tuner: Tuner, one: Recipe, fitted: loop.Fitted):
        self.tuner, self.recipe, self.fitted = tuner, one, fitted
        self.history, self.seconds, self.best_epoch = fitted.history, fitted.seconds, fitted.best_epoch

    def model(self, which: Literal["best", "last"] = "best") -> "keras.Model":
        """The whole network, from preprocessed images (B, size, size, 3) to logits (B, classes), flat.

        It is shared with other runs of the same architecture: ask again after fitting or asking another one.
        """
        self.fitted.use(which)
        return self.tuner.full

    def preprocess(self, images: np.ndarray) -> Any:
        """RGB images of 0..255, shape (B, size, size, 3), as this network takes them."""
        return prepare(self.recipe, images)

    def probabilities(self, split: str, which: Literal["best", "last"] = "best") -> np.ndarray:
        """Class probabilities of a split, float32, shape (n, classes), in the order of `rows`."""
        return loop.softmax(self.logits(split, which))

    def logits(self, split: str, which: Literal["best", "last"] = "best") -> np.ndarray:
        """Logits of a split without dropout or augmentation, float32, shape (n, classes), in the order of `rows`."""
        return self.fitted.logits(self._clean(split), which)

    def rows(self, split: str) -> np.ndarray:
        """Positions in `lab.images` of what `probabilities`, `logits` and `features` give (train may be capped)."""
        return self.tuner.rows(split)

    def val_probabilities(self) -> np.ndarray:
        """Class probabilities of the val images after each epoch, shape (epochs, n, classes)."""
        return self.fitted.val_probabilities()

    def features(self, split: str, layer: str = "dense_1", which: Literal["best", "last"] = "best") -> np.ndarray:
        """Activations of a layer of the head for a split, float32, shape (n, width), in the order of `rows`.

        Args:
            split: train, val or test.
            layer: `pooled`, `dense_1` (the original's 512 features), `dense_2`, ...
            which: weights of the best or the last epoch.
        """
        import keras

        self.fitted.use(which)
        examples = self._clean(split)
        part = keras.Model(self.tuner.cut, self.tuner.full.get_layer(layer).output)
        with memory_named(f"{self.recipe.name}, {layer}", 64, np.shape(examples.inputs)[1:]):
            batches = examples.batches(np.arange(len(examples)), 64)
            return np.concatenate([np.asarray(part(x, training=False)).astype(np.float32) for x, _ in batches])

    def _clean(self, split: str) -> loop.Examples:
        return self.tuner.examples(split, replace(self.recipe, augment=False))


def fine_tune(lab: "Lab", one: Recipe, progress: Callable[[str], None] = print) -> FineTuned:
    """Load or train a recipe on the images of a lab; recipes of one architecture share their compiled steps."""
    tuners = lab.__dict__.setdefault("_tuners", {})
    key = one.architecture()
    if key not in tuners:
        tuners[key] = Tuner(lab, one)
    return tuners[key].fit(one, progress)
