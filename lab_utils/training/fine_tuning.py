"""A pretrained network with a new head: recipe in, trained network out, on the images of one run.

run = lab.fine_tune("run 3")        # fine_tune(scaled(recipe("run 3"), …), lab.split_images, …)
run.history, run.probabilities("val"), run.features("val"), run.model()
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from lab_utils.core.errors import LabError
from lab_utils.core.profiles import FineTuning
from lab_utils.data.splits import SplitImages
from lab_utils.networks import backbones
from lab_utils.networks.building import NEAR, building, joined, small_kernel
from lab_utils.networks.random_warp import random_warp
from lab_utils.training import feeding
from lab_utils.training.fit import Run, fit, profile_options
from lab_utils.training.recipes import FineTuningRecipe

if TYPE_CHECKING:
    import keras

HEAD = "pooled"  # first layer after the base
Which = Literal["best", "last"]


def network(recipe: FineTuningRecipe, classes: int, *, weights: str = "imagenet") -> "keras.Model":
    """Build preprocessing, base and head as one flat network; frozen blocks and BatchNorm of the base stay as they are.

    The last layer starts with a small kernel (`building.small_kernel`), so that the first cross-entropy is near
    ln(classes) unless features or head are out of scale.

    Args:
        recipe: network, frozen, head, pooling, l2, dropout, augment, crop, preprocessing, size and seed are used.
        classes: number of classes.
        weights: `imagenet` or `random`.

    Returns:
        From RGB pixels of 0..255 (B, size, size, 3) to float32 logits (B, classes).
    """
    import keras

    with building("float32", recipe.seed):
        base = backbones.frozen_base(recipe.network, recipe.frozen, weights=weights, size=recipe.size)
        pixels = keras.Input((recipe.size, recipe.size, 3), name="pixels")
        moved = random_warp(crop=recipe.crop, name="augmented")(pixels) if recipe.augment else pixels
        pool = keras.layers.Flatten if recipe.pooling == "flatten" else keras.layers.GlobalAveragePooling2D
        x = pool(name=HEAD)(joined(base, prepare(recipe, moved)))
        for i, width in enumerate(recipe.head, 1):
            penalty = keras.regularizers.L2(recipe.l2) if recipe.l2 and i == 1 else None
            x = keras.layers.Dense(width, "relu", kernel_regularizer=penalty, name=f"dense_{i}")(x)
            x = keras.layers.Dropout(recipe.dropout, name=f"dropout_{i}")(x) if recipe.dropout else x
        x = keras.layers.Dense(classes, kernel_initializer=small_kernel(), name="logits")(x)
    return keras.Model(pixels, x, name=recipe.network)


def prepare(recipe: FineTuningRecipe, images: Any) -> Any:
    """Images of 0..255 as the recipe feeds them: the network's own preprocessing, or divided by 255 (the original)."""
    if recipe.preprocessing == "right":
        return backbones.preprocess(recipe.network, images)
    import keras

    return keras.layers.Rescaling(1 / 255, name="divided")(images)


def compiled(model: "keras.Model", recipe: FineTuningRecipe, images: int) -> "keras.Model":
    """Compile a network as the recipe says.

    Args:
        model: to logits.
        recipe: learning rate, schedule, warm-up, label smoothing, amsgrad, batch and epochs are used.
        images: number of train images, from which a schedule counts its steps.
    """
    import keras

    rate: Any = recipe.learning_rate
    if recipe.schedule == "cosine" or recipe.warmup:
        steps = recipe.epochs * -(-images // recipe.batch)
        warmup = round(recipe.warmup * steps)
        rising = {"initial_learning_rate": 0.0, "warmup_target": rate, "warmup_steps": warmup}
        begin = rising if warmup else {"initial_learning_rate": rate}
        end = 0.0 if recipe.schedule == "cosine" else 1.0
        rate = keras.optimizers.schedules.CosineDecay(decay_steps=max(1, steps - warmup), alpha=end, **begin)
    if recipe.label_smoothing:
        loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=recipe.label_smoothing)
    else:
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(rate, amsgrad=recipe.amsgrad), loss)
    return model


@dataclass(frozen=True, eq=False)
class FineTunedNetwork:
    """A network that was fine-tuned by a recipe on the images of a run.

    Answers are of the epoch that is best on val unless `which="last"`.

    Attributes:
        recipe: its settings, scaled to the profile.
        trained: history and weights.
    """

    recipe: FineTuningRecipe
    trained: Run

    @property
    def history(self) -> pd.DataFrame:
        """One row an epoch (columns: `fit.Run`)."""
        return self.trained.history

    @property
    def seconds(self) -> float:
        """Seconds of training."""
        return self.trained.seconds

    @property
    def best_epoch(self) -> int:
        """From 1, chosen on val."""
        return self.trained.best_epoch

    def model(self, which: Which = "best") -> "keras.Model":
        """The whole network, from RGB pixels of 0..255 (B, size, size, 3) to logits (B, classes), flat."""
        return self.trained.model if which == "best" else self.trained.model_of(which)

    def rows(self, split: str) -> np.ndarray:
        """Positions in the run's images of what `probabilities`, `logits`, `features` give (train may be capped)."""
        return self.trained.rows(split)

    def logits(self, split: str, which: Which = "best") -> np.ndarray:
        """Logits of a split without dropout or augmentation, float32, shape (n, classes), in the order of `rows`."""
        return self.trained.logits(split, which)

    def probabilities(self, split: str, which: Which = "best") -> np.ndarray:
        """Class probabilities of a split, float32, shape (n, classes), in the order of `rows`."""
        return self.trained.probabilities(split, which)

    def val_logits(self) -> np.ndarray:
        """Logits of the val images after each epoch, float32, shape (epochs, n, classes)."""
        return self.trained.val_logits()

    def features(self, split: str, layer: str = "dense_1") -> np.ndarray:
        """Activations of a layer of the head for a split, float32, shape (n, width), in the order of `rows`.

        Args:
            split: train, val or test.
            layer: `dense_1` (the original's 512 features), `dense_2`, ...
        """
        return self.trained.activations(layer, split)


_fitted: dict[tuple[Any, ...], FineTunedNetwork] = {}  # building a network and finding its run takes a second


def fine_tune(
    recipe: FineTuningRecipe,
    images: SplitImages,
    settings: FineTuning,
    weights: str = "imagenet",
    progress: Callable[[str], None] = print,
    folder: Path | None = None,
) -> FineTunedNetwork:
    """Load or train a recipe.

    Args:
        recipe: scaled to the profile (`recipes.scaled`).
        images: those of the run.
        settings: the profile's section: cap, precision and cache limit are used.
        weights: `imagenet` or `random`.
        progress: receives one line an epoch.
        folder: parent of the run's folder and of kept activations; None: `data/cache`.

    Raises:
        LabError: what `fit` and `backbones.build` stop at, images in another range than the network expects, or a stage
            that freezes more than the one before it.
    """
    place = (images, settings, weights, folder, recipe)
    if place not in _fitted:
        splits = feeding.splits_of(images, settings.cap, size=recipe.size)
        _check_inputs(recipe, images)
        model = network(recipe, images.classes, weights=weights)
        if recipe.start:
            earlier = fine_tune(recipe.start, images, settings, weights, progress, folder)
            _begin_with(model, recipe, earlier)
        trained = fit(
            compiled(model, recipe, len(splits["train"])),
            splits["train"],
            splits["val"],
            others={"test": splits["test"]},
            **{"epochs": recipe.epochs, "batch": recipe.batch, "seed": recipe.seed, "folder": folder},
            **profile_options(settings),
            title=f"{recipe.name} ({recipe.network})",
            tolerance=None if recipe.start else NEAR,
            progress=progress,
        )
        _fitted[place] = FineTunedNetwork(recipe, trained)
    return _fitted[place]


def _check_inputs(recipe: FineTuningRecipe, images: SplitImages) -> None:
    """Check the range of the first val images as the network gets them (of the original's 1/255 it is wrong)."""
    if recipe.preprocessing == "right":
        pixels = np.asarray(images.pixels(recipe.size)[images.rows("val")[:16]])
        backbones.check_range(recipe.network, prepare(recipe, pixels))


def _begin_with(model: "keras.Model", recipe: FineTuningRecipe, earlier: FineTunedNetwork) -> None:
    """Copy the best weights of what an earlier stage trained; all else is as pretrained in both."""
    if earlier.recipe.frozen < recipe.frozen:
        raise LabError(
            f"{recipe.name} freezes {recipe.frozen} blocks and starts with {earlier.recipe.name}, which trained some "
            f"of them: freeze no more than {earlier.recipe.frozen}."
        )
    for layer in earlier.model().layers:
        if layer.trainable and layer.weights:
            model.get_layer(layer.name).set_weights(layer.get_weights())
