"""Training of the networks from scratch (`networks.scratch_specs`) on the images of a run."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lab_utils.core.profiles import Scratch
from lab_utils.data.splits import SplitImages
from lab_utils.networks import scratch_specs
from lab_utils.networks.scratch_specs import ScratchSpec
from lab_utils.stats.metrics import softmax
from lab_utils.training import loop
from lab_utils.training.plan import Plan

if TYPE_CHECKING:
    import keras


def plan(spec: ScratchSpec, settings: Scratch) -> Plan:
    """How a network is trained in a profile: epochs and rate by the profile's factors, batch at most the profile's."""
    epochs = min(settings.max_epochs, max(1, math.ceil(spec.epochs * settings.epochs)))
    rate = min(settings.max_learning_rate, spec.learning_rate * settings.learning_rate)
    return Plan(rate, min(spec.batch, settings.batch), epochs, settings.seed)


def scaling(settings: Scratch) -> str:
    """Say how the networks are scaled in this run, in one sentence."""
    parts = [f"images of {settings.size} pixels (the original: 256)"]
    if settings.size < 106:
        parts.append("pooling windows cut to the map where it is smaller")
    parts.append(f"epochs × {settings.epochs:g}, {settings.max_epochs} at most (the original prints no epochs)")
    parts.append(f"batches of {settings.batch} at most")
    if settings.learning_rate != 1:
        parts.append(f"learning rates × {settings.learning_rate:g}, {settings.max_learning_rate:g} at most")
    if settings.momentum != 0.99:
        parts.append(f"a momentum of {settings.momentum:g} in BatchNorm (there are few steps)")
    if settings.cap:
        parts.append(f"{settings.cap} train images a class at most")
    return f"The layers are the original's; this profile trains with {'; '.join(parts)}."


@dataclass(frozen=True, eq=False)
class ScratchNetwork:
    """A network from scratch, trained on the images of a run; or an ensemble of such networks.

    Attributes:
        spec: its entry in the table.
        images: those of the run.
        settings: the profile's section.
        trained: its history and weights (None: an ensemble).
        members: networks whose probabilities the ensemble averages.
    """

    spec: ScratchSpec
    images: SplitImages
    settings: Scratch
    trained: loop.TrainedModel | None
    members: "tuple[ScratchNetwork, ...]" = ()

    @property
    def history(self) -> pd.DataFrame:
        """One row an epoch (columns: `loop.TrainedModel`); of an ensemble empty."""
        return self.trained.history if self.trained else pd.DataFrame()

    @property
    def seconds(self) -> float:
        """Seconds of training (of an ensemble: of its members)."""
        return self.trained.seconds if self.trained else sum(member.seconds for member in self.members)

    def rows(self, split: str) -> np.ndarray:
        """Positions in the run's images of what `probabilities` gives (train may be capped), shape (n,)."""
        return self.images.rows(split, self.settings.cap)

    def probabilities(self, split: str) -> np.ndarray:
        """Class probabilities without dropout or augmentation, float32, shape (n, classes), in the order of `rows`."""
        if self.members:
            return np.mean([member.probabilities(split) for member in self.members], axis=0)
        return softmax(self.trained.logits(_examples(self.images, split, self.settings))).astype(np.float32)

    def model(self) -> "keras.Model":
        """The trained network, from images of 0..255 (B, size, size, 3) to logits (B, classes)."""
        return _averaged(self.members) if self.members else self.trained.use("best")


def _averaged(members: Sequence[ScratchNetwork]) -> "keras.Model":
    """Logarithms of the members' mean probabilities (logits too), as one model."""
    import keras

    models = [member.model() for member in members]
    inputs = keras.Input(models[0].input_shape[1:], name="image")
    shares = [keras.ops.softmax(model(inputs)) for model in models]
    return keras.Model(inputs, keras.ops.log(keras.ops.mean(keras.ops.stack(shares), axis=0)), name="scratch_13")


def train(
    number: "int | str | ScratchSpec",
    images: SplitImages,
    settings: Scratch,
    progress: Callable[[str], None] = print,
) -> ScratchNetwork:
    """Load or train one of the networks (an ensemble: its members).

    Args:
        number: in the table, or an entry of its own.
        images: those of the run.
        settings: the profile's section.
        progress: receives one line an epoch.

    Raises:
        LabError: there is no such network, or `loop.fit` stops it.
    """
    spec = scratch_specs.spec_of(number)
    if spec.members:
        members = tuple(train(member, images, settings, progress) for member in spec.members)
        return ScratchNetwork(spec, images, settings, None, members)
    layers = {"convs": spec.convs, "denses": spec.denses, "augment": spec.augment}
    identity = {"layers": layers, "size": settings.size, "data": images.data_hash, "classes": images.classes}
    identity["momentum"] = settings.momentum
    identity["rows"] = [images.rows(split, settings.cap) for split in ("train", "val")]
    model = scratch_specs.build(spec, images.classes, settings.size, settings.seed, settings.momentum)
    trained = loop.fit(
        loop.Trainer(model),
        _examples(images, "train", settings, spec.augment),
        _examples(images, "val", settings),
        plan(spec, settings),
        identity,
        folder=loop.cache_folder() / "models",
        title=f"scratch #{spec.number}",
        progress=progress,
    )
    return ScratchNetwork(spec, images, settings, trained)


def _examples(images: SplitImages, split: str, settings: Scratch, augment: bool = False) -> loop.Examples:
    rows = images.rows(split, settings.cap)
    moved = loop.augmenting(len(rows), settings.seed) if augment else None

    def transform(pixels: np.ndarray, places: np.ndarray, epoch: int | None) -> Any:
        return moved(pixels, places, epoch) if moved and epoch is not None else pixels.astype(np.float32)

    return loop.Examples(loop.Chosen(images.pixels(settings.size), rows), images.known_labels(rows), transform)


def table(specs: Sequence[ScratchSpec], settings: Scratch) -> pd.DataFrame:
    """The networks as they are trained in this run, one row each."""
    rows = []
    for spec in specs:
        row = {"#": spec.number, "idea": spec.idea, "layers": scratch_specs.describe(spec)}
        row |= dict.fromkeys(("batch", "learning rate", "epochs"), "")
        if not spec.members:
            how = plan(spec, settings)
            row |= {"batch": how.batch, "learning rate": f"{how.learning_rate:g}", "epochs": how.epochs}
        rows.append(row | {"augmented": "yes" if spec.augment else "", "not printed there": spec.assumed})
    return pd.DataFrame(rows)
