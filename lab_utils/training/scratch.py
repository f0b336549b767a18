"""Training of the networks from scratch (`networks.scratch_specs`) on the images of a run."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from lab_utils.core.profiles import Scratch
from lab_utils.data.splits import SplitImages
from lab_utils.networks import scratch_specs
from lab_utils.networks.scratch_specs import ScratchSpec
from lab_utils.training import feeding
from lab_utils.training.fit import Run, fit

if TYPE_CHECKING:
    import keras

NEAR = 0.5  # nats from ln(classes) within which a network from scratch starts


@dataclass(frozen=True)
class Plan:
    """How a network is trained: Adam's learning rate, images a step, passes over the train images, seed."""

    learning_rate: float
    batch: int
    epochs: int
    seed: int


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
    trained: Run | None
    members: "tuple[ScratchNetwork, ...]" = ()

    @property
    def history(self) -> pd.DataFrame:
        """One row an epoch (columns: `fit.Run`); of an ensemble empty."""
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
        return self.trained.probabilities(split)

    def model(self) -> "keras.Model":
        """The trained network, from images of 0..255 (B, size, size, 3) to logits (B, classes)."""
        return _averaged(self.members) if self.members else self.trained.model


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
    folder: Path | None = None,
) -> ScratchNetwork:
    """Load or train one of the networks (an ensemble: its members).

    Args:
        number: in the table, or an entry of its own.
        images: those of the run.
        settings: the profile's section.
        progress: receives one line an epoch.
        folder: parent of the run's folder; None: `data/cache`.

    Raises:
        LabError: there is no such network, or `fit` stops it.
    """
    spec = scratch_specs.spec_of(number)
    if spec.members:
        members = tuple(train(member, images, settings, progress, folder) for member in spec.members)
        return ScratchNetwork(spec, images, settings, None, members)
    how, splits = plan(spec, settings), feeding.splits_of(images, settings.cap, size=settings.size)
    trained = fit(
        compiled(spec, images.classes, settings),
        splits["train"],
        splits["val"],
        others={"test": splits["test"]},
        **{"epochs": how.epochs, "batch": how.batch, "seed": how.seed, "precision": None, "folder": folder},
        title=f"scratch #{spec.number}",
        tolerance=NEAR,
        progress=progress,
    )
    return ScratchNetwork(spec, images, settings, trained)


def compiled(spec: ScratchSpec, classes: int, settings: Scratch) -> "keras.Model":
    """A network of the table as this profile trains it."""
    import keras

    model = scratch_specs.build(spec, classes, settings.size, settings.seed, settings.momentum)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(plan(spec, settings).learning_rate), loss)
    return model


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
