"""Folds of cross-validation: those of the original, and those that keep an accession lot on one side."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from lab_utils.core.errors import LabError


@dataclass(frozen=True)
class Folds:
    """Positions to fit on and to score, fold by fold, with what had to be changed."""

    pairs: tuple[tuple[np.ndarray, np.ndarray], ...]
    note: str = ""

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        return iter(self.pairs)

    def __len__(self) -> int:
        return len(self.pairs)


def original_folds(labels: np.ndarray, rows: np.ndarray, folds: int = 5) -> Folds:
    """Folds as in the original: stratified by class, *not* shuffled, in the table's order (sorted by museum in MAMe).

    Args:
        labels: shape (N,).
        rows: positions of train in table order, shape (n,).
        folds: how many; fewer where no class has so many images.

    Raises:
        LabError: no class has two images.
    """
    from sklearn.model_selection import StratifiedKFold

    used, note = _possible_folds(labels[rows], folds)
    return _folds(StratifiedKFold(used).split(rows, labels[rows]), rows, note)


def grouped_folds(labels: np.ndarray, groups: np.ndarray, rows: np.ndarray, folds: int = 5, seed: int = 0) -> Folds:
    """Folds done right: shuffled, stratified by class, a group (accession lot) never on both sides.

    Args:
        labels: shape (N,).
        groups: what must stay together, shape (N,), e.g. `dataset.fold_groups`; an image of unknown lot ("") is alone.
        rows: positions of train, shape (n,).
        folds: how many; fewer where no class has so many images.
        seed: of the shuffling.

    Raises:
        LabError: no class has two images, or fewer groups than folds.
    """
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    used, note = _possible_folds(labels[rows], folds)
    named = np.array([str(group) or f"alone {row}" for row, group in zip(rows, groups[rows], strict=True)])
    distinct = len(np.unique(named))
    if distinct == len(named):
        note += "No two train images are known to share a lot: folds are shuffled by image, not grouped by lot. "
        return _folds(StratifiedKFold(used, shuffle=True, random_state=seed).split(rows, labels[rows]), rows, note)
    if distinct < used:
        raise LabError(f"{used} folds grouped by lot need {used} lots, there are {distinct}: ask for fewer folds.")
    splitter = StratifiedGroupKFold(used, shuffle=True, random_state=seed)
    return _folds(splitter.split(rows, labels[rows], named), rows, note)


def _possible_folds(labels: np.ndarray, folds: int) -> tuple[int, str]:
    most = int(np.unique(labels, return_counts=True)[1].max()) if len(labels) else 0
    if most < 2:
        raise LabError("Cross-validation needs at least two train images of some class: give more images.")
    note = f"{most} folds instead of {folds}: no class has more train images. " if most < folds else ""
    return min(folds, most), note


def _folds(pairs: Any, rows: np.ndarray, note: str) -> Folds:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The least populated class")
        return Folds(tuple((rows[fit], rows[held]) for fit, held in pairs if len(fit) and len(held)), note.strip())


def museum_gap(museums: np.ndarray, folds: Folds) -> float:
    """Largest difference between two folds in the share of the commonest museum, in [0, 1]; 0 if none is known."""
    museums = np.asarray(museums, dtype=object)
    known = museums[museums != ""]
    if not len(known):
        return 0.0
    commonest = pd.Series(known).mode()[0]
    shares = [float((museums[out] == commonest).mean()) for _, out in folds]
    return max(shares) - min(shares)
