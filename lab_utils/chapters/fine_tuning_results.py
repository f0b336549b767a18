"""Chapters 06 to 12 and 14: what a fine-tuning run reached on val, and whether it can be set beside the original's.

Nothing here reads test.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lab_utils.core.records import reported
from lab_utils.data.splits import fold_groups
from lab_utils.networks import backbones
from lab_utils.stats.intervals import (
    Accuracy,
    Difference,
    Estimate,
    lot_likeness,
    mean_estimate,
    paired_difference,
    sums_by_lot,
)
from lab_utils.stats.metrics import cross_entropy

if TYPE_CHECKING:
    from lab_utils.core.profiles import FineTuning
    from lab_utils.lab import Lab
    from lab_utils.training.fit import Run
    from lab_utils.training.kept import KeptRun
    from lab_utils.training.setup import FineTuningSetup

# settings in tables, each with its column in data/reported/fine_tuning.csv
SETTINGS = {
    **{"network": "network", "input size": "size", "preprocessing": "preprocessing", "frozen blocks": "frozen"},
    **{"pooling": "pooling", "head": "head", "L2": "l2", "dropout": "dropout"},
    **{"learning rate": "learning_rate", "batch": "batch", "epochs": "epochs"},
}

VARIED = ("head", "L2", "dropout", "learning rate", "batch", "epochs")  # in the original's runs; the rest stays


# ---- a run -----------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class FineTuningResult:
    """A trained run with what its diagnosis needs.

    Attributes:
        name: of the run (`run 1`).
        network: title of its network.
        run: the trained network.
        settings: what it was trained with, read from the network itself; keys: those of `SETTINGS`.
        labels: of the val images, shape (n,).
        groups: lot of each val image, or object where the lot is unknown; shape (n,).
        train_groups: the same of each train image, shape (m,).
    """

    name: str
    network: str
    run: "Run | KeptRun"
    settings: dict[str, Any]
    labels: np.ndarray
    groups: np.ndarray
    train_groups: np.ndarray

    @property
    def counted_images(self) -> int:
        """How many train images an epoch counts: all of them."""
        return len(self.train_groups)

    @property
    def train_images(self) -> int:
        """How many train images a clean evaluation looked at: a sample as large as val."""
        return min(len(self.labels), self.counted_images)

    @property
    def history(self) -> pd.DataFrame:
        """One row an epoch."""
        return self.run.history

    def logits(self) -> np.ndarray:
        """Logits of the val images after each epoch, shape (epochs, n, classes)."""
        return self.run.val_logits()

    def predicted(self, epoch: int | None = None) -> np.ndarray:
        """Predicted val labels after an epoch (from 1; default the best one), shape (n,)."""
        return self.logits()[(epoch or self.run.best_epoch) - 1].argmax(-1)

    @property
    def val(self) -> Accuracy:
        """Val accuracy of the best epoch (chosen on the same images, so a little too good)."""
        return Accuracy.from_labels(self.labels, self.predicted(), f"{self.name}, val, best epoch", self.groups)

    @property
    def val_at_end(self) -> Accuracy:
        """Val accuracy of the last epoch."""
        answers = self.predicted(len(self.history))
        return Accuracy.from_labels(self.labels, answers, f"{self.name}, val, last epoch", self.groups)

    @property
    def train_at_end(self) -> Accuracy:
        """Clean train accuracy (no dropout, no augmentation) of the last epoch."""
        return self._on_train("clean_accuracy", -1, f"{self.name}, train, last epoch")

    @property
    def counted_at_end(self) -> Accuracy:
        """Train accuracy as it is counted while training (moving weights, dropout if any), last epoch."""
        return self._on_train("accuracy", -1, f"{self.name}, counted in training")

    def mean_accuracies(self, epochs: int) -> dict[str, Accuracy]:
        """Mean accuracy over the first so many epochs: `counted` and `clean` on train, and `val`."""
        first, of = slice(epochs), f"first {epochs} epochs"
        return {
            "counted": self._on_train("accuracy", first, f"{self.name}, counted, {of}"),
            "clean": self._on_train("clean_accuracy", first, f"{self.name}, clean, {of}"),
            "val": Accuracy.from_lots(*sums_by_lot(self._right(first), self.groups), f"{self.name}, val, {of}"),
        }

    def _right(self, epochs: int | slice) -> np.ndarray:
        """Share of some epochs (from 0) after which each val image was right, shape (n,)."""
        return (self.logits()[epochs].argmax(-1) == self.labels).reshape(-1, len(self.labels)).mean(0)

    def _on_train(self, column: str, epochs: int | slice, of: str) -> Accuracy:
        """Train accuracy (its mean over some epochs, from 0) of a column of the history.

        Training keeps numbers of right answers and not the answers, so how alike images of a lot are is taken from
        the same epochs' answers on val.
        """
        share = float(np.mean(self.history[column].to_numpy()[epochs]))
        likeness = lot_likeness(self._right(epochs), self.groups)
        n = self.train_images if column == "clean_accuracy" else self.counted_images
        return Accuracy.from_likeness(share, likeness, self.train_groups, of, n)


def result(lab: "Lab", here: "FineTuningSetup", run: "Run", name: str = "", keep: bool = False) -> FineTuningResult:
    """Gather what the diagnosis of a trained network needs; its val accuracy and seconds are recorded.

    Args:
        lab: the open lab.
        here: the settings that the run took from the profile.
        run: what `lab.fit` gave.
        name: of the run; "": that of `here`.
        keep: keep it under its name for the chapters that come after.
    """
    name, settings = name or here.name, settings_of(run, here)
    reached = _result(lab, name, here.title, run, settings)
    before = preparation(lab, here.size, run)
    more = {"network": here.title, "settings": settings}
    lab.cost(f"{here.title}, {name}", reached.predicted() == reached.labels, run.seconds, before, **more)
    if keep or lab.own:
        lab.keep(name, run, {**settings, "title": here.title})
    return reached


def kept(lab: "Lab", name: str) -> FineTuningResult:
    """A run that a chapter before has kept.

    Raises:
        LabError: none has.
    """
    run = lab.kept(name)
    settings = {setting: value for setting, value in run.settings.items() if setting in SETTINGS}
    return _result(lab, name, run.settings["title"], run, settings)


def _result(lab: "Lab", name: str, network: str, run: Any, settings: dict[str, Any]) -> FineTuningResult:
    groups = {split: np.asarray(fold_groups(lab.images.iloc[run.rows(split)])) for split in ("train", "val")}
    settings = {setting: tuple(value) if isinstance(value, list) else value for setting, value in settings.items()}
    return FineTuningResult(name, network, run, settings, lab.labels("val"), groups["val"], groups["train"])


def preparation(lab: "Lab", size: int, *runs: "Run | KeptRun") -> dict[str, float]:
    """Seconds of what comes before the training of some runs, each thing once, for `Lab.cost`.

    Decoding the train images; and where blocks are frozen, their pass over them.

    Args:
        lab: the open lab.
        size: side in pixels of their inputs.
        runs: as `lab.fit` gives them, or as they were kept.
    """
    decoding = lab.preparation(size, images=max(len(run.rows("train")) for run in runs))
    fronts = {run.front["name"]: run.front["seconds"] for run in runs if run.front}
    return {**decoding, "frozen blocks": sum(fronts.values())} if fronts else decoding


# ---- settings --------------------------------------------------------------------------------------------------------
def settings_of(run: "Run", here: "FineTuningSetup") -> dict[str, Any]:
    """What a network was trained with, read from the network itself and from its training; keys: `SETTINGS`."""
    import keras

    model = run.given
    kinds = {
        kind: [layer for layer in model.layers if isinstance(layer, kind)]
        for kind in (keras.layers.Dense, keras.layers.Dropout, keras.layers.Flatten)
    }
    dense, drops, flat = kinds.values()
    penalties = [float(getattr(layer.kernel_regularizer, "l2", 0) or 0) for layer in dense]
    scaled = [layer for layer in model.layers if type(layer) is keras.layers.Rescaling and layer.scale == 1 / 255]
    rate = model.optimizer.get_config()["learning_rate"]
    return {
        "network": here.title,
        "input size": model.input_shape[1],
        "preprocessing": "1/255" if scaled else "as pretrained",
        "frozen blocks": _frozen_blocks(model, here.network),
        "pooling": "flatten" if flat else "average",
        "head": tuple(layer.units for layer in dense[:-1]),
        "L2": max(penalties, default=0.0),
        "dropout": max((float(layer.rate) for layer in drops), default=0.0),
        "learning rate": float(f"{rate:.6g}") if isinstance(rate, float) else rate["class_name"],  # kept as float32
        **{name: run.settings[name] for name in ("batch", "epochs")},
    }


def _frozen_blocks(model: Any, network: str) -> int | None:
    """How many blocks are frozen, from the first on; None where the network isn't the one of that name."""
    try:
        blocks = backbones.blocks_of(model, network)
    except ValueError:
        return None
    trained = [any(layer.trainable and layer.weights for layer in block) for block in blocks]
    return trained.index(True) if True in trained else len(trained)


def printed_row(name: str) -> pd.Series:
    """What the original reports of a run, from `data/reported/fine_tuning.csv`."""
    return reported("fine_tuning").set_index("run").loc[name.removeprefix("run ").removesuffix(" run")]


def printed_setting(name: str, setting: str) -> str:
    """What the original reports of a run's setting, in words; "not reported" where nothing."""
    value = printed_row(name).get(SETTINGS[setting])
    if value is None or pd.isna(value):
        return "not reported"
    if setting == "head":
        return " + ".join(part.strip() for part in str(value).split(","))
    return f"{value:g}" if isinstance(value, float) else str(value)


def in_words(value: Any) -> str:
    """Value of a setting in tables."""
    if value is None:
        return "unknown"
    if isinstance(value, tuple):
        return " + ".join(map(str, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def changed(first: FineTuningResult, second: FineTuningResult) -> list[str]:
    """Settings in which two runs differ here."""
    return [name for name in SETTINGS if first.settings.get(name) != second.settings.get(name)]


def settings_table(result: FineTuningResult, before: FineTuningResult | None = None) -> pd.DataFrame:
    """Settings as the slide reports them and here, of a run and of the one before it; changes are marked.

    Columns that are called reported are the original's. Of two runs only those are shown that the original varies, and
    those that differ here.
    """
    pair = [before, result] if before else [result]
    shown = [name for name in SETTINGS if name in VARIED or name in changed(before, result)] if before else SETTINGS
    rows = []
    for setting in shown:
        printed = [printed_setting(result.name, setting) for result in pair]
        here = [in_words(result.settings.get(setting)) for result in pair]
        where = [word for word, values in (("slide", printed), ("here", here)) if len(set(values)) > 1]
        rows.append((setting, *printed, *here, " and ".join(where)))
    columns = [*(f"{result.name}, reported" for result in pair), *(f"{result.name}, here" for result in pair)]
    table = pd.DataFrame(rows, columns=["setting", *columns, "changed"])
    return table if before else table.drop(columns="changed")


# ---- comparisons on val ----------------------------------------------------------------------------------------------
def compare(result: FineTuningResult, other: FineTuningResult, comparisons: int = 1) -> Difference:
    """Val accuracy of a run minus another's, best epochs, paired by image; `comparisons` as of `paired_difference`."""
    pair = f"{result.name} minus {other.name}"
    answers = (result.predicted(), other.predicted())
    return paired_difference(result.labels, *answers, pair, result.groups, comparisons)


def compare_loss(result: FineTuningResult, other: FineTuningResult) -> Estimate:
    """Val cross-entropy (nats, no penalty) of a run minus another's at their ends, paired by image; lots are drawn."""
    ends = [cross_entropy(which.logits()[-1], which.labels) for which in (result, other)]
    return mean_estimate(ends[0] - ends[1], f"{result.name} minus {other.name}", result.groups, digits=3, unit=" nats")


def steps(results: Sequence[FineTuningResult]) -> list[Difference]:
    """Each run minus the one before it, on val."""
    return [compare(later, earlier) for earlier, later in pairwise(results)]


# ---- beside the original ---------------------------------------------------------------------------------------------
def unlike_the_original(lab: "Lab") -> list[str]:
    """What keeps this run's fine-tuning from being set beside the original's, in words; empty where nothing does."""
    settings, printed = lab.settings.fine_tuning, printed_row("run 1")
    reasons = {
        "other images than MAMe's full list": lab.table.source != "mame",
        "missing images": lab.missing > 0,
        f"at most {settings.cap} train images a class": settings.cap is not None,
        "random weights": lab.settings.networks.weights != "imagenet",
        f"another network than {printed['network']}": settings.networks[0] != printed["network"].lower(),
        f"another input size than {printed['size']:.0f} pixels": settings.size != printed["size"],
    }
    words = [name for name, holds in reasons.items() if holds]
    return words if words or _as_printed(settings) else ["runs that are shortened in this profile"]


def _as_printed(settings: "FineTuning") -> bool:
    return settings.runs == type(settings)().runs


def like_the_original(lab: "Lab") -> bool:
    """Whether fine-tuning runs can be set beside the original's: all of MAMe, its network and weights, as printed."""
    return not unlike_the_original(lab)
