"""Can hyperplanes part groups of classes in a feature space, and better than random groups of the same classes?"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits

from lab_utils.analysis.classifiers import LinearSVM
from lab_utils.analysis.lots import singleton_groups
from lab_utils.data.taxonomy import SUPER_GROUPS
from lab_utils.stats.intervals import Accuracy, Estimate

FEWEST = 10  # images of a group that the test needs at least
RIDGE = 0.1  # penalty of the hyperplanes that tell new images, relative to the points' variance times their number
HARD = 100.0  # penalty of slack of those that are asked whether groups are separable at all
TESTED_GROUPS: dict[str, tuple[str, ...]] = {
    "metals": SUPER_GROUPS["metals"],
    "glass, porcelain and kin": SUPER_GROUPS["ceramics and glass"],
    "drawings and prints": (*SUPER_GROUPS["prints"], "Graphite", "Pen and brown ink"),
}


@dataclass(frozen=True)
class Separability:
    """How well hyperplanes part groups of classes.

    Attributes:
        held: accuracy on held-out images, lots drawn.
        fitted: accuracy on the images fitted on; 1 means that they are separable.
        chance: mean held-out accuracy when the classes are put into the groups at random, from the least to the most.
        p: share of such permutations (the true groups included) that do at least as well.
    """

    held: Accuracy
    fitted: Accuracy
    chance: Estimate
    p: float


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
    permutations: int = 999,
    seed: int = 0,
) -> Separability | None:
    """Can hyperplanes part the three groups, and better than three random groups of the same classes?

    One hyperplane a group (ridge) on points scaled to unit variance as a whole, five folds that keep a lot together. A
    group's hyperplane is the sum of its classes', so all assignments of classes share one factorisation a fold.

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
    together = singleton_groups(lots)
    if sizes.min() < FEWEST or len(np.unique(together)) < 2:
        return None
    points = points / max(float(points.std()), 1e-30)
    kinds, codes = np.unique(labels, return_inverse=True)
    with threadpool_limits(1):  # small fits: threads would only wait for each other
        scores = _held_out_scores(points, codes, together, seed)
        fitted = LinearSVM(C=HARD).fit(points, group[labels]).predict(points) == group[labels]

    def right(groups: np.ndarray) -> np.ndarray:
        """Whether each image is put in its group, where each class is put in one: (C,) -> (N,)."""
        return (scores @ np.eye(len(TESTED_GROUPS))[groups]).argmax(1) == groups[codes]

    rng = np.random.default_rng(seed)
    chances = [right(rng.permutation(group[kinds])).mean() for _ in range(permutations)]
    held = Accuracy.from_hits(right(group[kinds]), "three groups, held out", together)
    better = sum(chance >= held.value - 1e-12 for chance in chances)
    style = {"scale": 100, "unit": " %", "digits": 0}
    chance = Estimate(float(np.mean(chances)), min(chances), max(chances), permutations, "random groups", **style)
    own = Accuracy.from_hits(fitted, "three groups, fitted on", together)
    return Separability(held, own, chance, float((1 + better) / (1 + permutations)))


def _held_out_scores(points: np.ndarray, codes: np.ndarray, lots: np.ndarray, seed: int) -> np.ndarray:
    """Scores of each image for each class by ridge hyperplanes fitted on the other folds, (N, C)."""
    from scipy.linalg import solve
    from sklearn.model_selection import GroupKFold

    members, scores = np.eye(codes.max() + 1)[codes], np.empty((len(codes), codes.max() + 1))
    folds = GroupKFold(min(5, len(np.unique(lots))), shuffle=True, random_state=seed)
    for fit, held in folds.split(points, codes, lots):
        middle, shares = points[fit].mean(0), members[fit].mean(0)
        centred = points[fit] - middle
        gram = centred.T @ centred + RIDGE * len(fit) * np.eye(points.shape[1])
        weights = solve(gram, centred.T @ (members[fit] - shares), assume_a="pos")
        scores[held] = (points[held] - middle) @ weights + shares
    return scores
