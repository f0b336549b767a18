"""Can hyperplanes part groups of classes in a feature space, and better than random groups of the same classes?"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits

from lab_utils.analysis.classifiers import LinearSVM
from lab_utils.analysis.lots import singleton_groups
from lab_utils.data.taxonomy import SUPER_GROUPS
from lab_utils.stats.intervals import Accuracy

FEWEST = 10  # images of a group that the test needs at least
SOFT, HARD = 0.1, 100.0  # penalty of slack: to tell new images, and to ask whether groups are separable at all
TESTED_GROUPS: dict[str, tuple[str, ...]] = {
    "metals": SUPER_GROUPS["metals"],
    "glass, porcelain and kin": SUPER_GROUPS["ceramics and glass"],
    "drawings and prints": (*SUPER_GROUPS["prints"], "Graphite", "Pen and brown ink"),
}


@dataclass(frozen=True)
class Separability:
    """How well hyperplanes part groups of classes.

    Attributes:
        held: accuracy on held-out images.
        fitted: accuracy on the images fitted on; 1 means that they are separable.
        chance: mean held-out accuracy when the classes are put into the groups at random.
        p: share of such permutations (the true groups included) that do at least as well.
        permutations: how many were tried.
    """

    held: Accuracy
    fitted: Accuracy
    chance: float
    p: float
    permutations: int


def group_of(names: Sequence[str]) -> np.ndarray:
    """Number of the tested group of each class name, −1 for none, (C,)."""
    number = {name: place for place, members in enumerate(TESTED_GROUPS.values()) for name in members}
    return np.array([number.get(name, -1) for name in names])


def separability(
    points: np.ndarray,
    labels: np.ndarray,
    names: Sequence[str],
    *,
    lots: Sequence[str] | None = None,
    permutations: int = 19,
    seed: int = 0,
) -> Separability | None:
    """Can hyperplanes part the three groups, and better than three random groups of the same classes?

    One hyperplane a group (linear support vectors) on points scaled to unit variance as a whole, five folds that keep a
    lot together.

    Args:
        points: shape (N, D).
        labels: shape (N,).
        names: of the classes by label.
        lots: of the images, "" for unknown; None: every image on its own.
        permutations: random assignments of classes to groups.
        seed: of folds and permutations.

    Returns:
        The result, or None where one of the three groups has fewer than ten images, or all images are of one lot.
    """
    group = group_of(names)
    used = group[labels] >= 0
    points, labels = points[used], labels[used]
    lots = np.asarray(lots, dtype=str)[used] if lots is not None else np.full(len(labels), "")
    sizes = np.bincount(group[labels], minlength=len(TESTED_GROUPS))
    if sizes.min() < FEWEST or len(np.unique(singleton_groups(lots))) < 2:
        return None
    points = points / max(float(points.std()), 1e-30)
    with threadpool_limits(1):  # many small fits: threads would only wait for each other
        right = _held_out(points, group[labels], lots, seed)
        permuted = _permuted(group, np.unique(labels), permutations, seed)
        chances = [_held_out(points, other[labels], lots, seed).mean() for other in permuted]
        fitted = LinearSVM(C=HARD).fit(points, group[labels]).predict(points) == group[labels]
    better = sum(chance >= right.mean() - 1e-12 for chance in chances)
    held, own = (Accuracy(int(hits.sum()), len(hits), "three groups") for hits in (right, fitted))
    return Separability(held, own, float(np.mean(chances)), float((1 + better) / (1 + permutations)), permutations)


def _permuted(group: np.ndarray, present: np.ndarray, permutations: int, seed: int) -> list[np.ndarray]:
    """Groups of the classes, those of the classes that are present permuted."""
    rng, permuted = np.random.default_rng(seed), [group.copy() for _ in range(permutations)]
    for groups in permuted:
        groups[present] = rng.permutation(group[present])
    return permuted


def _held_out(points: np.ndarray, groups: np.ndarray, lots: np.ndarray, seed: int) -> np.ndarray:
    """Whether each image is put in its group by hyperplanes fitted on the other folds, (N,)."""
    from sklearn.model_selection import GroupKFold

    together = singleton_groups(lots)
    folds = GroupKFold(min(5, len(np.unique(together))), shuffle=True, random_state=seed)
    right = np.zeros(len(groups), dtype=bool)
    for fit, held in folds.split(points, groups, together):
        if len(np.unique(groups[fit])) > 1:
            right[held] = LinearSVM(C=SOFT).fit(points[fit], groups[fit]).predict(points[held]) == groups[held]
    return right
