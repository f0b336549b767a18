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
from lab_utils.training import recipes

if TYPE_CHECKING:
    from lab_utils.lab import Lab
    from lab_utils.training.fine_tuning import FineTunedNetwork


NEVER_VARIED = ("schedule", "warmup", "label_smoothing", "amsgrad", "seed")  # the same in all of the original's runs


# ---- a run -----------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class FineTuningResult:
    """A trained run with what its diagnosis needs.

    Attributes:
        run: the trained network.
        labels: of the val images, shape (n,).
        groups: lot of each val image, or object where the lot is unknown; shape (n,).
        train_groups: the same of each train image, shape (m,).
    """

    run: "FineTunedNetwork"
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
    def name(self) -> str:
        """The recipe's name."""
        return self.run.recipe.name

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


def reported_setting(run: str, setting: str) -> str:
    """What the original reports of a setting, from `data/reported/fine_tuning.csv`; "not reported" where nothing.

    Args:
        run: name of the recipe, `run 1` to `run 6` or `features run`.
        setting: a field of `FineTuningRecipe`.
    """
    row = reported("fine_tuning").set_index("run").loc[run.removeprefix("run ").removesuffix(" run")]
    value = row.get(setting)
    if value is None or pd.isna(value):
        return "not reported"
    text = str(value).removesuffix(".0")
    if setting == "head":
        return " + ".join(part.strip() for part in text.split(","))
    return f"{value:g}" if isinstance(value, float) else text


def result(lab: "Lab", recipe: Any, **changes: Any) -> FineTuningResult:
    """Train (or load) a recipe and gather what its diagnosis needs; its val accuracy and seconds are recorded.

    Args:
        lab: the open lab.
        recipe: number, name or recipe, as `lab.fine_tune` takes it.
        changes: settings to change.
    """
    run = lab.fine_tune(recipe, **changes)
    groups = {split: np.asarray(fold_groups(lab.images.iloc[run.rows(split)])) for split in ("train", "val")}
    reached = FineTuningResult(run, lab.labels("val"), groups["val"], groups["train"])
    title, right = lab.title(run.recipe.network), reached.predicted() == reached.labels
    about = {"before": preparation(lab, run), "network": title, "settings": run.recipe}
    lab.cost(f"{title}, {reached.name}", right, run.seconds, **about)
    return reached


def preparation(lab: "Lab", *runs: "FineTunedNetwork") -> dict[str, float]:
    """Seconds of what comes before the training of some runs, each thing once, for `Lab.cost`.

    Decoding the train images; and where blocks are frozen, their pass over them, for which the whole network's stands.
    """
    spent: dict[tuple[str, Any], float] = {}
    for run in runs:
        recipe, images = run.recipe, len(run.rows("train"))
        cached = recipe.network if recipe.frozen and not recipe.augment else ""
        for what, seconds in lab.preparation(recipe.size, cached, images=images).items():
            thing = recipe.size if what == "decoding" else (recipe.size, recipe.network)
            spent[what, thing] = max(seconds, spent.get((what, thing), 0.0))
    total: dict[str, float] = {}
    for (what, _), seconds in spent.items():
        total[what] = total.get(what, 0.0) + seconds
    return total


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
    settings, other = lab.settings.fine_tuning, recipes.RUNS[0]
    reasons = {
        "other images than MAMe's full list": lab.table.source != "mame",
        "missing images": lab.missing > 0,
        f"at most {settings.cap} train images a class": settings.cap is not None,
        "random weights": lab.settings.networks.weights != "imagenet",
        f"another network than {other.network}": settings.networks[0] != other.network,
        f"another input size than {other.size} pixels": settings.size != other.size,
    }
    words = [name for name, holds in reasons.items() if holds]
    if words or all(recipes.scaled(recipe, settings) == recipe for recipe in recipes.RUNS):
        return words
    return ["runs that are scaled to this profile"]


def like_the_original(lab: "Lab") -> bool:
    """Whether fine-tuning runs can be set beside the original's: all of MAMe, its network and weights, as printed."""
    return not unlike_the_original(lab)
