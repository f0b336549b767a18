"""Folds of cross-validation: how many the images allow, and those that keep an accession lot on one side."""

import warnings
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from lab_utils.core.errors import LabError

Folds = list[tuple[np.ndarray, np.ndarray]]  # positions to fit on and to score, fold by fold


def as_many_folds(folds: int, labels: np.ndarray, groups: np.ndarray | None = None) -> tuple[int, str]:
    """How many folds a cross-validation can have that is stratified by class and keeps groups together.

    Args:
        folds: how many are wanted.
        labels: of the images that are divided, shape (n,).
        groups: what must stay together, shape (n,); None: nothing.

    Returns:
        Their number, and in words what had to be changed, or which groups there are not; "" where all is as wanted.

    Raises:
        LabError: no class has two images, or all images are of one group.
    """
    most = int(np.unique(labels, return_counts=True)[1].max()) if len(labels) else 0
    if most < 2:
        raise LabError("Cross-validation needs at least two train images of some class: give more images.")
    distinct = len(labels) if groups is None else len(np.unique(groups))
    if distinct < 2:
        raise LabError("Folds that keep lots together need at least 2 lots, there is 1: give images of other lots.")
    possible, note = min(folds, most, distinct), []
    if possible < folds:
        reason = "no class has more train images" if most < distinct else "there are no more lots"
        note = [f"{possible} folds instead of {folds}: {reason}."]
    if groups is not None and distinct == len(labels):
        note.append("No two train images are known to share a lot, so folds divide single images.")
    return possible, " ".join(note)


def grouped_folds(labels: np.ndarray, groups: np.ndarray, rows: np.ndarray, folds: int = 5, seed: int = 0) -> Folds:
    """Folds that are shuffled, stratified by class, and never have a group (accession lot) on both sides.

    Args:
        labels: shape (N,).
        groups: what must stay together, shape (N,); an image of unknown group ("") is alone.
        rows: positions of the images that are divided, shape (n,).
        folds: how many; fewer where no class has so many images.
        seed: of the shuffling.

    Raises:
        LabError: no class has two images, or fewer groups than folds.
    """
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    used, _ = as_many_folds(folds, labels[rows])
    named = np.array([str(group) or f"alone {row}" for row, group in zip(rows, groups[rows], strict=True)])
    distinct = len(np.unique(named))
    if distinct < used:
        raise LabError(f"{used} folds grouped by lot need {used} lots, there are {distinct}: ask for fewer folds.")
    kind = StratifiedKFold if distinct == len(named) else StratifiedGroupKFold
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The least populated class")
        warnings.filterwarnings("ignore", message="The groups parameter is ignored")
        pairs = list(kind(used, shuffle=True, random_state=seed).split(rows, labels[rows], named))
    return [(rows[fit], rows[held]) for fit, held in pairs if len(fit) and len(held)]


def museum_gap(museums: Sequence[str] | np.ndarray, held: Iterable[np.ndarray]) -> float:
    """Largest difference between two folds in the share of the commonest museum, in [0, 1]; 0 if none is known.

    Args:
        museums: of all images, shape (N,), "" for unknown.
        held: positions that each fold scores.
    """
    museums = np.asarray(museums, dtype=object)
    known = museums[museums != ""]
    if not len(known):
        return 0.0
    commonest = pd.Series(known).mode()[0]
    shares = [float((museums[rows] == commonest).mean()) for rows in held]
    return max(shares) - min(shares)
