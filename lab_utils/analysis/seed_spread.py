"""How far accuracies of one network move by chance alone: runs that differ in a seed, and the spread between them."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from lab_utils.analysis.classification import evaluate, original_table
from lab_utils.data.splits import subsample
from lab_utils.stats.intervals import Z95, Accuracy


@dataclass(frozen=True)
class SeedSpread:
    """How far accuracies of one network move by chance alone: standard deviations between seeds, shares in [0, 1].

    Attributes:
        value: root mean square over classifiers and sources of chance.
        smallest: of a classifier and source.
        largest: of a classifier and source.
        seeds: runs behind each.
    """

    value: float
    smallest: float
    largest: float
    seeds: int

    def between(self, others: int = 1) -> float:
        """Difference that a run and the mean of `others` runs show by chance in 95 of 100 cases at most."""
        return Z95 * self.value * (1 + 1 / others) ** 0.5

    def __str__(self) -> str:
        value, smallest, largest = (f"{100 * share:.1f}" for share in (self.value, self.smallest, self.largest))
        return (
            f"{value} points of standard deviation between {self.seeds} seeds (smallest of a classifier {smallest}, "
            f"largest {largest})"
        )

    def to_record(self) -> dict[str, float | str]:
        """Plain values for a record."""
        return {**{name: getattr(self, name) for name in self.__dataclass_fields__}, "text": str(self)}


def noise_floor(runs: Mapping[str, Sequence[Mapping[str, Accuracy]]]) -> tuple[pd.DataFrame, SeedSpread]:
    """How far accuracies of one network move by chance alone: same classifier, other seed.

    Args:
        runs: source of chance -> runs that differ in its seed only, each classifier -> accuracy.

    Returns:
        One row a run and classifier (source, run, classifier, accuracy), and the spread between seeds.
    """
    table = pd.DataFrame(
        {"source": source, "run": number, "classifier": name, "accuracy": accuracy.value}
        for source, several in runs.items()
        for number, accuracies in enumerate(several)
        for name, accuracy in accuracies.items()
    )
    deviations = table.groupby(["source", "classifier"])["accuracy"].std(ddof=1)
    seeds = int(table.groupby(["source", "classifier"]).size().min())
    return table, SeedSpread(
        float((deviations**2).mean() ** 0.5), float(deviations.min()), float(deviations.max()), seeds
    )


def chance_runs(
    features: np.ndarray,
    images: pd.DataFrame,
    labels: np.ndarray,
    train: np.ndarray,
    val: np.ndarray,
    *,
    reduce: Callable[[int], Any],
    classifiers: Mapping[str, Any],
    seeds: int,
) -> dict[str, list[dict[str, Accuracy]]]:
    """Runs of the original's protocol on one network that differ in a seed only: of UMAP, or of the split.

    Args:
        features: shape (N, D).
        images: image table, N rows.
        labels: shape (N,), known on train and val.
        train: positions of train.
        val: positions of val; for other split seeds train and val are mixed and split again, same sizes.
        reduce: gives the protocol's reduction for a seed, counted from 0.
        classifiers: see `classification.evaluate`.
        seeds: runs of each kind.

    Returns:
        For `noise_floor`; the first run of both kinds is the protocol as it is.
    """

    def run(fit: np.ndarray, held: np.ndarray, seed: int) -> dict[str, Accuracy]:
        seen = np.sort(np.concatenate([fit, held]))
        train, val = np.searchsorted(seen, fit), np.searchsorted(seen, held)
        table = original_table(features[seen], images.iloc[seen], labels[seen], train, reduce(seed))
        result = evaluate(classifiers, table.to_numpy(), labels[seen], train)
        return {name: result.accuracy(name, val) for name in result.answers}

    splits = [(train, val), *(resplit(labels, train, val, seed) for seed in range(1, seeds))]
    first = run(train, val, 0)
    return {
        "UMAP seed": [first, *(run(train, val, seed) for seed in range(1, seeds))],
        "split seed": [first, *(run(fit, held, 0) for fit, held in splits[1:])],
    }


def resplit(labels: np.ndarray, train: np.ndarray, val: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Mix train and val and split them again at random, as many images of each class in each: (train, val)."""
    rows = np.concatenate([train, val])
    fit = rows[subsample(labels[rows], Counter(labels[train]), seed)]
    return np.sort(fit), np.setdiff1d(rows, fit)
