"""How good a classifier is, class by class and group by group, how sure it is, and how sure we are of that.

Arrays in, plain results out. Every report checks its support against the table's counts: class names on the wrong rows
change no overall accuracy, and so go unseen without the check.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import pandas as pd

from lab_utils.core.errors import LabError
from lab_utils.stats.intervals import Z95, Accuracy, Difference, Estimate, bootstrap_estimate

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
def averages(
    counts: np.ndarray, of: str = "", seed: int = 0, resamples: int = 2000, parts: np.ndarray | None = None
) -> dict[str, Estimate]:
    """Accuracy, balanced accuracy (macro recall), macro and weighted averages, each with its interval.

    Accuracy, and weighted recall, which is the same number, have the interval of `Accuracy`. For the others images are
    drawn with replacement; for a confusion matrix that is a multinomial draw of its cells. Where images of a group
    (a lot) share what makes them easy or hard, whole groups are drawn instead.

    Args:
        counts: confusion matrix, shape (C, C).
        of: what was evaluated, in words.
        seed: of the bootstrap.
        resamples: number of bootstrap samples.
        parts: the matrix by group (`group_confusions`), shape (G, C, C); None: images are drawn.

    Returns:
        `{name: Estimate}` for the names in `AVERAGES`, in percent when printed.
    """
    counts = np.asarray(counts)
    images = int(counts.sum())
    rng = np.random.default_rng(seed)
    if parts is None:
        drawn = rng.multinomial(images, counts.ravel() / images, size=resamples).reshape(-1, *counts.shape)
    else:
        drawn = np.tensordot(_draws(rng, len(parts), resamples), np.asarray(parts, float), 1)
    point, spread = _averages(counts[None])[:, 0], _averages(drawn)
    low, high = np.quantile(spread, [0.025, 0.975], axis=1)
    accuracy = Accuracy(int(np.trace(counts)), images)
    if parts is not None:
        accuracy = Accuracy.from_lots(np.trace(parts, axis1=1, axis2=2), np.asarray(parts).sum((1, 2)))
    for place in (AVERAGES.index("accuracy"), AVERAGES.index("weighted recall")):
        low[place], high[place] = accuracy.interval
    style = {"scale": 100, "unit": " %", "digits": 1}
    return {
        name: Estimate(float(point[place]), float(low[place]), float(high[place]), images, f"{name} {of}", **style)
        for place, name in enumerate(AVERAGES)
    }


def _draws(rng: np.random.Generator, groups: int, resamples: int) -> np.ndarray:
    """How often each group is in each bootstrap sample, float (resamples, groups)."""
    return rng.multinomial(groups, np.full(groups, 1 / groups), size=resamples).astype(float)


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


def independent_difference(first: Estimate | Accuracy, second: Estimate | Accuracy) -> Difference:
    """Difference of two estimates from different images (square-and-add; Newcombe 1998, method 10)."""
    (low, high), (other_low, other_high) = _bounds(first), _bounds(second)
    gap = first.value - second.value
    below, above = (
        np.hypot(first.value - low, other_high - second.value),
        np.hypot(high - first.value, second.value - other_low),
    )
    words = f"{first.of} minus {second.of}"
    return Difference(gap, float(gap - below), float(gap + above), min(first.n, second.n), words)


def _bounds(value: Estimate | Accuracy) -> tuple[float, float]:
    return value.interval if isinstance(value, Accuracy) else (value.low, value.high)


# ---- groups of images ------------------------------------------------------------------------------------------------
def group_accuracies(
    truth: np.ndarray, predicted: np.ndarray, groups: np.ndarray, of: str = "", lots: np.ndarray | None = None
) -> dict[str, Accuracy]:
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
    return {str(name): Accuracy.from_hits(right[mask], f"{of}, {name}", within[name]) for name, mask in masks.items()}


def largest_difference(accuracies: Mapping[str, Accuracy]) -> tuple[str, str, Difference]:
    """Best and worst group and their difference, its interval widened for the choice among all pairs (Bonferroni)."""
    order = sorted(accuracies, key=lambda name: accuracies[name].value)
    worst, best = order[0], order[-1]
    plain = accuracies[best].minus(accuracies[worst])
    pairs = len(order) * (len(order) - 1) / 2
    wider = NormalDist().inv_cdf(1 - 0.025 / pairs) / Z95
    low, high = (plain.value + wider * (end - plain.value) for end in (plain.low, plain.high))
    return best, worst, Difference(plain.value, low, high, plain.n, plain.of)


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
    right: np.ndarray, labels: np.ndarray, first: np.ndarray, groups: np.ndarray, seed: int = 0, resamples: int = 2000
) -> tuple[Difference, int] | None:
    """Accuracy of one part of the images minus that of the other, as if both held the same mix of classes.

    Direct standardisation: the mean over classes of the difference within each, weighted by the second part's images.
    Whole groups are drawn within each part; a class that one part of a draw lacks is left out of it.

    Args:
        right: whether each image was recognised, shape (n,).
        labels: class of each image, shape (n,).
        first: whether it belongs to the first part, shape (n,).
        groups: name of each image's group (lot), shape (n,).
        seed: of the bootstrap.
        resamples: number of bootstrap samples.

    Returns:
        The difference (n: images of the smaller part in the classes compared), and how many classes are on both sides;
        None where there is none.
    """
    labels, first = np.asarray(labels), np.asarray(first, bool)
    sides = [_hits(right[part], labels[part], groups[part], labels.max(initial=0) + 1) for part in (first, ~first)]
    whole = [side.sum(0, keepdims=True) for side in sides]
    images = np.minimum(*(side.sum((0, 1)) for side in whole))
    if not images.any():
        return None
    rng = np.random.default_rng(seed)
    drawn = [np.tensordot(_draws(rng, len(side), resamples), side, 1) for side in sides]
    low, high = np.nanquantile(_standardised(*drawn), [0.025, 0.975])
    words = "at the same mix of classes"
    gap = Difference(float(_standardised(*whole)[0]), float(low), float(high), int(images.sum()), words)
    return gap, int((images > 0).sum())


def _hits(right: np.ndarray, labels: np.ndarray, groups: np.ndarray, classes: int) -> np.ndarray:
    """Images of each group by class, those not recognised and those recognised, float (G, 2, C)."""
    names, member = np.unique(np.asarray(groups).astype(str), return_inverse=True)
    cells = (member * 2 + np.asarray(right, int)) * classes + labels
    return np.bincount(cells, minlength=len(names) * 2 * classes).reshape(len(names), 2, classes).astype(float)


def _standardised(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Mean difference of accuracies (B, 2, C) over the classes that both hold, at the second's mix; NaN where none."""
    sizes, weights = first.sum(1), np.where(first.sum(1) > 0, second.sum(1), 0)
    gaps = _share(first[:, 1], sizes) - _share(second[:, 1], second.sum(1))
    total = weights.sum(1)
    return np.divide((weights * gaps).sum(1), total, out=np.full(len(total), np.nan), where=total > 0)


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


def precision_rank(counts: np.ndarray, place: int, seed: int = 0, resamples: int = 500) -> Estimate:
    """Rank from below of a class's precision at equal priors, with a bootstrap over the images of every class.

    Args:
        counts: confusion matrix, shape (C, C).
        place: the class.
        seed: of the bootstrap.
        resamples: number of bootstrap samples.

    Returns:
        1 is the lowest of all classes; `n` is the number of images of the class.
    """
    rng, support = np.random.default_rng(seed), counts.sum(1)
    rows = _share(counts, np.broadcast_to(support[:, None], counts.shape))
    drawn = [
        _rank([rng.multinomial(n, row) for n, row in zip(support, rows, strict=True)], place) for _ in range(resamples)
    ]
    value, (low, high) = _rank(counts, place), np.quantile(drawn, [0.025, 0.975])
    of = "rank of precision at equal priors"
    return Estimate(value, min(value, float(low)), max(value, float(high)), int(support[place]), of, digits=0)


def _rank(counts: Sequence[np.ndarray] | np.ndarray, place: int) -> int:
    """Rank from below; a class that is never predicted has no right prediction and counts as 0."""
    values = np.nan_to_num(precision_at_equal_priors(np.asarray(counts)))
    return int((values < values[place]).sum()) + 1


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


def confused_pairs(counts: np.ndarray, n: int = 5) -> list[tuple[int, int]]:
    """The `n` pairs of classes confused most, both directions together as shares of their classes; largest first."""
    rows = _share(counts, np.broadcast_to(counts.sum(1, keepdims=True), counts.shape))
    both = np.triu(rows + rows.T, 1)
    cells = np.argsort(-both, axis=None, kind="stable")[:n]
    return [divmod(int(cell), len(counts)) for cell in cells if both.ravel()[cell] > 0]


# ---- how sure it is --------------------------------------------------------------------------------------------------
def reliability(probabilities: np.ndarray, truth: np.ndarray, bins: int = 15) -> pd.DataFrame:
    """Confidence against accuracy in bins of equal width (Guo et al., arXiv 1706.04599).

    Args:
        probabilities: shape (n, C), rows sum to 1.
        truth: labels, shape (n,).
        bins: number of bins over (0, 1].

    Returns:
        Columns low, high, confidence (mean), accuracy (`Accuracy`), n; only bins that hold images.
    """
    confidence, right = probabilities.max(1), probabilities.argmax(1) == truth
    place = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    rows = []
    for lower in np.unique(place):
        inside = place == lower
        accuracy = Accuracy(int(right[inside].sum()), int(inside.sum()), f"confidence bin {lower + 1} of {bins}")
        rows.append((lower / bins, (lower + 1) / bins, float(confidence[inside].mean()), accuracy, int(inside.sum())))
    return pd.DataFrame(rows, columns=["low", "high", "confidence", "accuracy", "n"])


def calibration_error(probabilities: np.ndarray, truth: np.ndarray, bins: int = 15) -> float:
    """Expected calibration error: mean gap of confidence and accuracy over the bins, weighted by images; in [0, 1]."""
    table = reliability(probabilities, truth, bins)
    gaps = (table["confidence"] - [accuracy.value for accuracy in table["accuracy"]]).abs()
    return float((gaps * table["n"]).sum() / table["n"].sum())


def calibration_estimate(
    probabilities: np.ndarray, truth: np.ndarray, of: str = "", bins: int = 15, seed: int = 0, resamples: int = 200
) -> Estimate:
    """`calibration_error` with a bootstrap interval over images (it is biased upwards where images are few)."""
    rng = np.random.default_rng(seed)
    draws = rng.integers(0, len(truth), size=(resamples, len(truth)))
    spread = [calibration_error(probabilities[draw], truth[draw], bins) for draw in draws]
    value, (low, high) = calibration_error(probabilities, truth, bins), np.quantile(spread, [0.025, 0.975])
    return Estimate(value, min(float(low), value), max(float(high), value), len(truth), of, digits=3)


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


def mean_cross_entropy(logits: np.ndarray, truth: np.ndarray, of: str = "", seed: int = 0) -> Estimate:
    """Mean of `cross_entropy` of logits (n, C) and labels (n,), with a bootstrap interval over images."""
    return bootstrap_estimate(cross_entropy(logits, truth), of, seed=seed)


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


# ---- two classifiers on the same images ------------------------------------------------------------------------------
@dataclass(frozen=True)
class McNemar:
    """Exact McNemar test of two classifiers on the same images.

    Attributes:
        first_only: images that only the first gets right.
        second_only: images that only the second gets right.
        p: two-sided probability of so uneven a split if both were equally good.
    """

    first_only: int
    second_only: int
    p: float

    def __str__(self) -> str:
        return f"{self.first_only} against {self.second_only} images, exact McNemar p = {self.p:.2g}"


def mcnemar(truth: np.ndarray, first: np.ndarray, second: np.ndarray) -> McNemar:
    """Compare two classifiers on the images that only one of them gets right (McNemar 1947, exact binomial)."""
    from scipy.stats import binomtest

    first_right, second_right = np.asarray(first) == truth, np.asarray(second) == truth
    first_only, second_only = int((first_right & ~second_right).sum()), int((second_right & ~first_right).sum())
    n = first_only + second_only
    return McNemar(first_only, second_only, float(binomtest(first_only, n).pvalue) if n else 1.0)
