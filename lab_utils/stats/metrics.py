"""How good a classifier is, class by class and group by group, how sure it is, and how sure we are of that.

Arrays in, plain results out. Every report checks its support against the table's counts: class names on the wrong rows
change no overall accuracy, and so go unseen without the check.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np
import pandas as pd

from lab_utils.core.errors import LabError
from lab_utils.stats.intervals import (
    Accuracy,
    Difference,
    Estimate,
    PartAccuracy,
    difference_of_gains,
    jackknife,
    mean_estimate,
)

ENOUGH = 100  # images whose mean cross-entropy has an interval that covers (benchmarks/intervals.py)
FEWEST_RANKED = 5  # things among which a rank is told: one of three has a third of the ranks by chance
AVERAGES = (
    *("accuracy", "balanced accuracy", "macro precision", "macro F1"),
    *("weighted precision", "weighted recall", "weighted F1"),
)


# ---- counts ----------------------------------------------------------------------------------------------------------
def confusion_matrix(truth: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Count images by true class (rows) and predicted class (columns).

    Args:
        truth: labels in 0..classes-1, shape (n,).
        predicted: labels, shape (n,).
        classes: number of classes.

    Returns:
        int (classes, classes).

    Raises:
        LabError: the arrays don't match or hold labels outside the range.
    """
    truth, predicted = np.asarray(truth), np.asarray(predicted)
    if truth.shape != predicted.shape or truth.ndim != 1:
        raise LabError(f"{truth.shape} labels and {predicted.shape} predictions don't match: give one for each image.")
    outside = [int(label) for part in (truth, predicted) for label in np.unique(part) if not 0 <= label < classes]
    if outside:
        raise LabError(f"label {outside[0]} is outside 0 to {classes - 1}: the classes of model and table differ.")
    return np.bincount(truth * classes + predicted, minlength=classes**2).reshape(classes, classes)


def classification_report(
    counts: np.ndarray, classes: Sequence[str], support: Mapping[str, int] | Sequence[int]
) -> pd.DataFrame:
    """Precision, recall and F1 of every class, with the support checked against the table's counts.

    Args:
        counts: confusion matrix, shape (C, C).
        classes: C names in label order.
        support: images of each class as the table counts them, by name or in label order.

    Returns:
        Columns name, precision, recall, f1, support; one row a class. A share of nothing is 0, as in scikit-learn.

    Raises:
        LabError: a support differs from the table's, with the class.
    """
    in_table = [support[name] for name in classes] if isinstance(support, Mapping) else list(support)
    check_support(counts.sum(1), classes, in_table)
    right = np.diag(counts).astype(float)
    precision, recall = _share(right, counts.sum(0)), _share(right, counts.sum(1))
    f1 = _share(2 * precision * recall, precision + recall)
    columns = {"precision": precision, "recall": recall, "f1": f1, "support": counts.sum(1)}
    return pd.DataFrame({"name": list(classes), **columns})


def check_support(evaluated: Sequence[int], classes: Sequence[str], in_table: Sequence[int]) -> None:
    """Stop where the images evaluated are not those that the table counts, class by class.

    Args:
        evaluated: images of each class, in label order.
        classes: their names.
        in_table: images of each class in the table.

    Raises:
        LabError: with the first class that differs.
    """
    if not len(evaluated) == len(classes) == len(in_table):
        counts = f"{len(evaluated)} rows for {len(classes)} classes, {len(in_table)} in the table"
        raise LabError(f"{counts}: a class was lost.")
    for name, count, expected in zip(classes, evaluated, in_table, strict=True):
        if count != expected:
            numbers = f"{count} images were evaluated, the table has {expected}"
            raise LabError(f"{name}: {numbers}: labels or names are mixed up.")


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.zeros(np.shape(part)), where=np.asarray(whole) > 0)


# ---- averages with intervals -----------------------------------------------------------------------------------------
def averages(counts: np.ndarray, of: str = "", parts: np.ndarray | None = None) -> dict[str, Estimate]:
    """Accuracy, balanced accuracy (macro recall), macro and weighted averages, each with its interval.

    Accuracy, and weighted recall, which is the same number, have the interval of `Accuracy`. The others are no means of
    images: theirs is the jackknife's, with each lot (or image) left out once. A bootstrap fails there: what it draws
    has fewer of the rare classes' right answers than the images have.

    Args:
        counts: confusion matrix, shape (C, C).
        of: what was evaluated, in words.
        parts: the matrix by lot (`group_confusions`), shape (G, C, C); None: images are drawn.

    Returns:
        `{name: Estimate}` for the names in `AVERAGES`, in percent when printed.
    """
    counts = np.asarray(counts)
    images = int(counts.sum())
    if parts is None:
        accuracy = Accuracy(int(np.trace(counts)), images)
    else:
        accuracy = Accuracy.from_lots(np.trace(parts, axis1=1, axis2=2), np.asarray(parts).sum((1, 2)))
    point = _averages(counts[None])[:, 0]
    low, high = jackknife(point, *_without_each(_averages, counts, parts))
    low, high = np.maximum(low, 0), np.minimum(high, 1)
    for place in (AVERAGES.index("accuracy"), AVERAGES.index("weighted recall")):
        low[place], high[place] = accuracy.interval
    style = {"scale": 100, "unit": " %", "digits": 1}
    return {
        name: Estimate(float(point[place]), float(low[place]), float(high[place]), images, f"{name} {of}", **style)
        for place, name in enumerate(AVERAGES)
    }


def _without_each(
    function: Callable[[np.ndarray], np.ndarray], counts: np.ndarray, parts: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """What a function gives with each lot left out, (k, G), and the images of each lot, (G,); for `jackknife`.

    Args:
        function: from confusion matrices (B, C, C) to k values of each, (k, B).
        counts: confusion matrix, shape (C, C).
        parts: the matrix by lot, shape (G, C, C); None: each image is a lot (images of one cell are alike).
    """
    times = np.ones(0 if parts is None else len(parts), int)
    if parts is None:
        cells = np.flatnonzero(counts)
        parts, times = np.eye(counts.size, dtype=int)[cells].reshape(-1, *counts.shape), counts.ravel()[cells]
    pieces = [function(counts - parts[start : start + 4096]) for start in range(0, len(parts), 4096)]
    return np.concatenate(pieces, axis=1).repeat(times, axis=1), parts.sum((1, 2)).repeat(times)


def group_confusions(truth: np.ndarray, predicted: np.ndarray, groups: np.ndarray, classes: int) -> np.ndarray:
    """Confusion matrix of each group of images, int (G, C, C), in the order of the groups' names.

    Args:
        truth: labels, shape (n,).
        predicted: labels, shape (n,).
        groups: name of each image's group, shape (n,).
        classes: number of classes C.
    """
    names, member = np.unique(np.asarray(groups).astype(str), return_inverse=True)
    cells = (member * classes + truth) * classes + predicted
    return np.bincount(cells, minlength=len(names) * classes**2).reshape(len(names), classes, classes)


def _averages(counts: np.ndarray) -> np.ndarray:
    """The values of `AVERAGES` for confusion matrices (B, C, C), shape (7, B); absent classes don't count in macro."""
    right = np.diagonal(counts, axis1=1, axis2=2).astype(float)
    support, claimed = counts.sum(2), counts.sum(1)
    precision, recall = _share(right, claimed), _share(right, support)
    f1 = _share(2 * precision * recall, precision + recall)
    there = support > 0
    macro = [_share((part * there).sum(1), there.sum(1)) for part in (recall, precision, f1)]
    weighted = [_share((part * support).sum(1), support.sum(1)) for part in (precision, recall, f1)]
    accuracy = _share(right.sum(1), support.sum(1))
    return np.stack([accuracy, macro[0], macro[1], macro[2], *weighted])


def independent_difference(
    first: Estimate | Accuracy | Difference, second: Estimate | Accuracy | Difference
) -> Difference:
    """Difference of two estimates from different images (square-and-add; Newcombe 1998, method 10)."""
    gap = first.value - second.value
    below = np.hypot(first.value - first.low, second.high - second.value)
    above = np.hypot(first.high - first.value, second.value - second.low)
    words = f"{first.of} minus {second.of}"
    return Difference(gap, float(gap - below), float(gap + above), min(first.n, second.n), words)


# ---- groups of images ------------------------------------------------------------------------------------------------
def group_accuracies(
    truth: np.ndarray, predicted: np.ndarray, groups: np.ndarray, of: str = "", lots: np.ndarray | None = None
) -> dict[str, PartAccuracy]:
    """Accuracy in each group of images, largest group first.

    Args:
        truth: labels, shape (n,).
        predicted: labels, shape (n,).
        groups: name of each image's group, shape (n,); "" is left out.
        of: what was evaluated, in words.
        lots: lot of each image, shape (n,), for the intervals; None: unknown.
    """
    names = pd.Series(np.asarray(groups, dtype=object))
    order = [name for name in names.value_counts(sort=True).index if name != ""]
    masks = {name: (names == name).to_numpy() for name in order}
    right, within = truth == predicted, {name: None if lots is None else lots[mask] for name, mask in masks.items()}
    return {
        str(name): PartAccuracy.from_hits(right[mask], f"{of}, {name}", within[name]) for name, mask in masks.items()
    }


def seen_in_train(values: Sequence[str], train: Sequence[str], what: str = "lot") -> np.ndarray:
    """Say for each image whether its lot (or object) has images in train.

    Args:
        values: lots of the images, shape (n,); "" where unknown.
        train: lots of the train images.
        what: the word for it.

    Returns:
        Shape (n,): `"lot seen in train"`, `"lot not seen"`, or "" where unknown.
    """
    known = set(train) - {""}
    words = {True: f"{what} seen in train", False: f"{what} not seen"}
    return np.array([words[value in known] if value else "" for value in values], dtype=object)


def standardised_difference(
    values: np.ndarray,
    labels: np.ndarray,
    first: np.ndarray,
    groups: np.ndarray,
    of: str = "at one mix of classes",
    comparisons: int = 1,
) -> tuple[Difference, int] | None:
    """Mean of one part of the images minus that of the other, as if both held the same mix of classes.

    Direct standardisation: the mean over classes of the difference within each, weighted by the second part's images;
    its interval is the jackknife's over lots (one that lies in both parts is left out of both).

    Args:
        values: whether each image was recognised (or what else is compared), in [0, 1], shape (n,).
        labels: class of each image, shape (n,).
        first: whether it belongs to the first part, shape (n,).
        groups: name of each image's lot, shape (n,).
        of: what is compared, in words.
        comparisons: among how many differences this one may be picked: its interval is widened (Bonferroni).

    Returns:
        The difference (n: images of the smaller part in the classes compared), and how many classes are on both sides;
        None where there is none, or one lot only.
    """
    values, labels, first = np.asarray(values, float), np.asarray(labels), np.asarray(first, bool)
    names, member = np.unique(np.asarray(groups).astype(str), return_inverse=True)
    cells, size = member * (int(labels.max(initial=0)) + 1) + labels, (len(names), int(labels.max(initial=0)) + 1)

    def sums(part: np.ndarray) -> np.ndarray:
        """Images and sum of their values by lot and class, (G, 2, C)."""
        weights = (None, values[part])
        counted = [np.bincount(cells[part], weight, size[0] * size[1]).reshape(size) for weight in weights]
        return np.stack(counted, axis=1).astype(float)

    sides = [sums(first), sums(~first)]
    whole = [side.sum(0, keepdims=True) for side in sides]
    images = np.minimum(whole[0][0, 0], whole[1][0, 0])
    if not images.any():
        return None
    value = _standardised(*whole)
    without = _standardised(*(total - side for total, side in zip(whole, sides, strict=True)))
    kept = np.isfinite(without)  # a lot without which no class is on both sides
    low, high = jackknife(value, without[kept][None], np.bincount(member)[kept], comparisons)
    if not np.isfinite(low[0]):
        return None
    bounds = max(-1.0, float(low[0])), min(1.0, float(high[0]))
    return Difference(float(value[0]), *bounds, int(images.sum()), of), int((images > 0).sum())


def _standardised(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Mean difference of means over the classes that both hold, at the second's mix; NaN where none, shape (B,).

    Args:
        first: images and sum of their values by class, (B, 2, C).
        second: the same of the other part.
    """
    weights = np.where(first[:, 0] > 0, second[:, 0], 0)
    gaps = _share(first[:, 1], first[:, 0]) - _share(second[:, 1], second[:, 0])
    total = weights.sum(1)
    return np.divide((weights * gaps).sum(1), total, out=np.full(len(total), np.nan), where=total > 0)


def largest_difference(
    right: np.ndarray, labels: np.ndarray, parts: np.ndarray, groups: np.ndarray
) -> tuple[str, str, Difference, int] | None:
    """The two parts of the images that differ most at one mix of classes, widened for the choice among all pairs.

    Args:
        right: whether each image was recognised, shape (n,).
        labels: class of each image, shape (n,).
        parts: name of the part (museum) of each image, shape (n,); "" is left out.
        groups: name of each image's lot, shape (n,).

    Returns:
        The better and the worse part, their difference, and the classes that both have; None where no two share one.
    """
    names = sorted({str(name) for name in parts if name != ""})
    pairs, comparisons = list(combinations(names, 2)), []
    for first, second in pairs:
        inside = np.isin(parts, [first, second])
        arrays = (np.asarray(values)[inside] for values in (right, labels, parts == first, groups))
        compared = standardised_difference(*arrays, f"{first} minus {second}, at one mix of classes", len(pairs))
        if compared:
            comparisons.append((first, second, *compared))
    if not comparisons:
        return None
    first, second, gap, classes = max(comparisons, key=lambda pair: abs(pair[2].value))
    return (first, second, gap, classes) if gap.value >= 0 else (second, first, gap.reversed(), classes)


def recovered_share(
    reached: np.ndarray, possible: np.ndarray, floor: np.ndarray, groups: np.ndarray | None = None
) -> Estimate:
    """Share of what is possible above a floor that is reached.

    Its interval is that of a ratio (linearised); there is none where what is possible is not clearly above the floor.

    Args:
        reached: whether each image is right, shape (n,).
        possible: by the best there can be, shape (n,).
        floor: by a guess that knows nothing, shape (n,).
        groups: lot of each image, shape (n,); None: images are drawn.
    """
    part, whole = (np.asarray(hits, float) - np.asarray(floor, float) for hits in (reached, possible))
    value = float(part.sum() / whole.sum()) if whole.sum() else np.nan
    off = mean_estimate(part - value * whole, "", groups)
    scale = whole.mean() if difference_of_gains(whole, "", groups).low > 0 else np.nan
    low, high = value + off.low / scale, value + off.high / scale
    return Estimate(value, low, high, len(part), "recovered", scale=100, unit=" %", digits=0)


# ---- priors ----------------------------------------------------------------------------------------------------------
def precision_at_equal_priors(counts: np.ndarray) -> np.ndarray:
    """Precision that the same recalls and confusions would give if every class had as many images.

    Args:
        counts: confusion matrix, shape (C, C).

    Returns:
        Shape (C,) in [0, 1]: the diagonal of the row-normalised matrix over its column sums; NaN for a class that is
        never predicted.
    """
    rows = _share(counts, np.broadcast_to(counts.sum(1, keepdims=True), counts.shape))
    columns = rows.sum(0)
    return np.divide(np.diag(rows), columns, out=np.full(len(rows), np.nan), where=columns > 0)


def precision_rank(counts: np.ndarray, place: int, parts: np.ndarray | None = None) -> Estimate:
    """Rank from below of a class's precision at equal priors; its interval is that of `rank_estimate`.

    Args:
        counts: confusion matrix, shape (C, C).
        place: the class.
        parts: the matrix by lot, shape (G, C, C); None: images are drawn.

    Returns:
        1 is the lowest of all classes; `n` is the number of images of the class. A class that is never predicted has no
        right prediction and counts as 0.
    """

    def negative(tables: np.ndarray) -> np.ndarray:
        rows = _share(tables, np.broadcast_to(tables.sum(2, keepdims=True), tables.shape))
        return -_share(np.diagonal(rows, axis1=1, axis2=2), rows.sum(1)).T

    of, n = "rank of precision at equal priors", int(counts[place].sum())
    return rank_estimate(negative(counts[None])[:, 0], *_without_each(negative, counts, parts), place, of, n)


def rank_estimate(
    values: np.ndarray, without: np.ndarray, sizes: np.ndarray, place: int, of: str, n: int, blur: float = 0.0
) -> Estimate:
    """Rank of one of several values, 1 the highest, with an interval that holds it in at least 95 of 100 cases.

    Bootstrapped ranks don't: what is drawn is noisier than the images are, and an extreme rank hardly occurs in it. So
    the interval leaves out a rank only where others are clearly above, or clearly below (jackknife over lots, widened
    for the number of others): few images, or many rivals, leave it wide. A rank among fewer than `FEWEST_RANKED` says
    nothing and has no interval.

    Args:
        values: shape (k,); equal ones share their mean rank.
        without: the same with each lot left out, shape (k, G).
        sizes: images of each lot, shape (G,).
        place: whose rank.
        of: what it is, in words.
        n: number of images that it is told of.
        blur: a difference up to this is none.
    """
    low, high = jackknife(values - values[place], without - without[place], sizes, max(1, len(values) - 1))
    if len(values) < FEWEST_RANKED:
        low = high = np.full(len(values), np.nan)
    equal = int((values == values[place]).sum())
    rank = float((values > values[place]).sum()) + (equal + 1) / 2
    above, below = int((low > blur).sum()), int((high < -blur).sum())
    ends = (1.0 + above, float(len(values) - below)) if np.isfinite(low).any() else (np.nan, np.nan)
    return Estimate(rank, *ends, n, of, digits=0)


# ---- confusions ------------------------------------------------------------------------------------------------------
def largest_confusions(counts: np.ndarray, classes: Sequence[str], n: int = 10) -> pd.DataFrame:
    """The `n` largest cells off the diagonal; columns truth, predicted, count, share (of the true class)."""
    off = np.where(np.eye(len(counts), dtype=bool), 0, counts)
    order = [cell for cell in np.argsort(-off, axis=None, kind="stable")[:n] if off.ravel()[cell] > 0]
    rows = [divmod(int(cell), len(counts)) for cell in order]
    return pd.DataFrame(
        [(classes[t], classes[p], int(counts[t, p]), counts[t, p] / counts[t].sum()) for t, p in rows],
        columns=["truth", "predicted", "count", "share"],
    )


def pair_rank(counts: np.ndarray, first: int, second: int, parts: np.ndarray | None = None) -> Estimate:
    """Rank (from 1) of a pair of classes among all pairs by how often the two are taken for each other.

    Args:
        counts: confusion matrix, shape (C, C).
        first: of the pair.
        second: of the pair.
        parts: the matrix by lot, shape (G, C, C); None: images are drawn.

    Returns:
        Both directions count, as shares of their classes; a pair that is never confused shares the last ranks. A pair
        is above another only where the difference is more than one image makes.
    """
    upper = np.triu_indices(len(counts), 1)

    def shares(tables: np.ndarray) -> np.ndarray:
        rows = _share(tables, np.broadcast_to(tables.sum(2, keepdims=True), tables.shape))
        return (rows + rows.transpose(0, 2, 1))[:, upper[0], upper[1]].T

    place = int(np.flatnonzero((upper[0] == min(first, second)) & (upper[1] == max(first, second)))[0])
    images = int(counts[[first, second]].sum())
    more = 1 / max(1, counts.sum(1)[counts.sum(1) > 0].min(initial=images or 1))
    of = "rank among confused pairs"
    return rank_estimate(shares(counts[None])[:, 0], *_without_each(shares, counts, parts), place, of, images, more)


def confused_pairs(counts: np.ndarray, n: int = 5) -> list[tuple[int, int]]:
    """The `n` pairs of classes confused most, both directions together as shares of their classes; largest first."""
    rows = _share(counts, np.broadcast_to(counts.sum(1, keepdims=True), counts.shape))
    both = np.triu(rows + rows.T, 1)
    cells = np.argsort(-both, axis=None, kind="stable")[:n]
    return [divmod(int(cell), len(counts)) for cell in cells if both.ravel()[cell] > 0]


# ---- how sure it is --------------------------------------------------------------------------------------------------
def reliability(
    probabilities: np.ndarray, truth: np.ndarray, bins: int = 15, lots: np.ndarray | None = None
) -> pd.DataFrame:
    """Confidence against accuracy in bins of equal width (Guo et al., arXiv 1706.04599).

    Args:
        probabilities: shape (n, C), rows sum to 1.
        truth: labels, shape (n,).
        bins: number of bins over (0, 1].
        lots: lot of each image, shape (n,), for the intervals; None: unknown.

    Returns:
        Columns low, high, confidence (mean), accuracy (`Accuracy`), n; only bins that hold images.
    """
    confidence, right = probabilities.max(1), probabilities.argmax(1) == truth
    place, rows = _bins_of(confidence, bins), []
    for lower in np.unique(place):
        inside = place == lower
        known = None if lots is None else lots[inside]
        accuracy = Accuracy.from_hits(right[inside], f"confidence bin {lower + 1} of {bins}", known)
        rows.append((lower / bins, (lower + 1) / bins, float(confidence[inside].mean()), accuracy, int(inside.sum())))
    return pd.DataFrame(rows, columns=["low", "high", "confidence", "accuracy", "n"])


def _bins_of(confidence: np.ndarray, bins: int) -> np.ndarray:
    return np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)


def calibration_error(
    probabilities: np.ndarray, truth: np.ndarray, of: str = "", bins: int = 15, seed: int = 0, draws: int = 1000
) -> tuple[Estimate, Estimate]:
    """Expected calibration error, and what chance makes of it where a network is calibrated (Bröcker and Smith 2007).

    The error is the mean gap of confidence and accuracy over the bins, weighted by images, in [0, 1]. It is too large,
    the more the fewer images there are: chance alone opens a gap in each bin. No bootstrap interval of it covers the
    truth as often as it says, so none is given. Beside it stands its range where each answer is right with just the
    probability that is given for it: an error above that range is more than chance.

    Args:
        probabilities: shape (n, C), rows sum to 1.
        truth: labels, shape (n,).
        of: what was evaluated, in words.
        bins: number of bins over (0, 1].
        seed: of the draws.
        draws: of right and wrong answers of a calibrated network.

    Returns:
        The error, without interval; mean and 95 % range of a calibrated network's.
    """
    confidence, right = probabilities.max(1), probabilities.argmax(1) == truth
    place, n, rng = _bins_of(confidence, bins), len(truth), np.random.default_rng(seed)

    def error(answers: np.ndarray) -> float:
        return float(np.abs(np.bincount(place, answers - confidence)).sum() / n)

    chance = [error(rng.random(n) < confidence) for _ in range(draws)]
    low, high = np.quantile(chance, [0.025, 0.975])
    return (
        Estimate(error(right), np.nan, np.nan, n, of, digits=3),
        Estimate(float(np.mean(chance)), float(low), float(high), n, f"{of}, calibrated", digits=3),
    )


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities of logits, float64; both of shape (..., C)."""
    from scipy import special

    return special.softmax(np.asarray(logits, np.float64), axis=-1)


def cross_entropy(logits: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Cross-entropy of each image in nats (its negative log likelihood), from logits: nothing is clipped.

    Args:
        logits: shape (..., n, C), for example one set an epoch.
        truth: labels, shape (n,).

    Returns:
        float64, shape (..., n).
    """
    from scipy import special

    logs = special.log_softmax(np.asarray(logits, np.float64), axis=-1)
    labels = np.broadcast_to(np.asarray(truth), logs.shape[:-1])[..., None]
    return -np.take_along_axis(logs, labels, axis=-1)[..., 0]


def mean_cross_entropy(
    logits: np.ndarray, truth: np.ndarray, of: str = "", lots: np.ndarray | None = None, digits: int = 2
) -> Estimate:
    """Mean of `cross_entropy` of logits (n, C) and labels (n,); `lots` (n,) are drawn where they are known.

    A few surely wrong answers carry much of it: of fewer than `ENOUGH` images there is no interval.
    """
    mean = mean_estimate(cross_entropy(logits, truth), of, lots, digits=digits)
    return mean if mean.n >= ENOUGH else replace(mean, low=np.nan, high=np.nan)


def temperature(logits: np.ndarray, truth: np.ndarray, spread: float = 0.0) -> float:
    """The one temperature that makes these (val) images likeliest (Guo et al., arXiv 1706.04599).

    `softmax(logits / temperature)` are the calibrated probabilities; the order of the classes stays.

    Args:
        logits: of val images, shape (n, C).
        truth: their labels, shape (n,).
        spread: share of each image's target that goes evenly to the other classes.

    Returns:
        Between 0.05 and 20; above 1 the network was too sure.
    """
    from scipy import optimize, special

    logits, labels = np.asarray(logits, np.float64), np.asarray(truth)[:, None]

    def loss(log_temperature: float) -> float:
        losses = -special.log_softmax(logits / np.exp(log_temperature), axis=1)
        right = np.take_along_axis(losses, labels, axis=1)[:, 0]
        others = losses.sum(1) - right
        return float(((1 - spread) * right + spread * others / max(1, losses.shape[1] - 1)).mean())

    return float(np.exp(optimize.minimize_scalar(loss, bounds=(np.log(0.05), np.log(20)), method="bounded").x))
