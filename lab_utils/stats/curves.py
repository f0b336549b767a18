"""What a training history says: is the loss still moving, who carries its rise, is the network too sure or too shy."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from lab_utils.core.errors import LabError
from lab_utils.stats.intervals import Difference, Estimate, mean_estimate, paired_difference
from lab_utils.stats.metrics import cross_entropy, softmax

LOW, HIGH = 0.10, 0.20  # gaps of train and val accuracy that the words of overfitting are taken to mean
LEVEL = 0.5  # share of its train images that a network gets right, at least, if it was trained to an end
FALL = 0.01  # a val cross-entropy that falls by a smaller share of itself at the end has stopped falling
END = 4  # the end of a curve is its last quarter; up to seven epochs, the last one
FEWEST = 5  # epochs that a slope is fitted to, at least: three leave one degree of freedom, and any slope fits them


def trend(values: np.ndarray, last: int | None = None, of: str = "", unit: str = " an epoch") -> Estimate:
    """Least-squares slope of the last values of a curve, with its 95 % t interval.

    Epochs follow each other, so their errors hang together: the interval is widened by what their correlation takes
    from the number of epochs (of lag 1, its bias by so few of them added; Kendall 1954).

    Args:
        values: one value an epoch, shape (epochs,).
        last: how many of the last epochs to use; default the last half.
        of: what the curve is, in words.
        unit: of the slope, for printing.

    Returns:
        Change an epoch.

    Raises:
        LabError: fewer epochs than `FEWEST` to use.
    """
    from scipy import stats

    values = np.asarray(values, dtype=float)
    count = min(len(values), len(values) // 2 if last is None else last)
    if count < FEWEST:
        raise LabError(f"A trend needs at least {FEWEST} epochs and there are {count} to use: raise the epochs.")
    tail, places = values[-count:], np.arange(count)
    if np.ptp(tail) == 0:
        return Estimate(0.0, 0.0, 0.0, count, of, digits=4, unit=unit)
    fit = stats.linregress(places, tail)
    off = tail - fit.intercept - fit.slope * places
    lag = float(off[1:] @ off[:-1] / max(off @ off, 1e-300))
    lag = min(max(0.0, lag + (1 + 4 * max(lag, 0.0)) / count), 0.9)
    half = stats.t.ppf(0.975, count - 2) * fit.stderr * np.sqrt((1 + lag) / (1 - lag))
    slope = float(fit.slope)
    return Estimate(slope, float(slope - half), float(slope + half), count, of, digits=4, unit=unit)


def has_trend(epochs: int) -> bool:
    """Whether the last half of so many epochs is enough for a slope."""
    return epochs // 2 >= FEWEST


def after_minimum(values: np.ndarray) -> int:
    """How many values a curve has from its (first) lowest one on, that one included; values: shape (epochs,)."""
    return len(values) - int(np.argmin(values))


def direction(slope: Estimate) -> str:
    """`rising`, `falling`, or `undecided` where the interval includes zero."""
    if not slope.excludes(0.0):
        return "undecided"
    return "rising" if slope.value > 0 else "falling"


def cut_short(history: pd.DataFrame) -> str:
    """Why a training can't be taken to have come to its end, in a clause; "" where it can.

    It was cut short where the val cross-entropy still falls at the last epoch beyond its noise: the mean of its end
    (`END`) lies below every mean as long before it, by more than the mean rise between neighbouring epochs of the
    last half, and by more than `FALL` of itself. Or where clean train accuracy is below `LEVEL`.

    Args:
        history: one row an epoch; columns val_cross_entropy and, where it was evaluated, clean_accuracy.
    """
    losses = history["val_cross_entropy"].to_numpy(dtype=float)
    width = max(1, len(losses) // END)
    means = np.convolve(losses, np.full(width, 1 / width), "valid")
    steps = np.diff(losses[-max(3, len(losses) // 2) :])
    noise = steps[steps > 0].mean() / np.sqrt(width) if (steps > 0).any() else 0.0
    if len(losses) < 3:
        return f"it has {len(losses)} epochs, too few for a trend"
    if means[:-width].min() - means[-1] > max(noise, FALL * means[-1]):
        return "its val loss still falls at the last epoch"
    clean = history["clean_accuracy"].iloc[-1] if "clean_accuracy" in history else LEVEL
    return f"it gets only {100 * clean:.0f} % of its train images right" if clean < LEVEL else ""


def overfitting(gap: Difference) -> str:
    """The rule: High above 20 points, Low below 10, Medium between, where the whole interval is; else open.

    The bounds are those that the original's labels of the networks from scratch come closest to.

    Args:
        gap: train minus val accuracy, in [-1, 1].
    """
    low, high = ("Low" if end < LOW else "High" if end > HIGH else "Medium" for end in (gap.low, gap.high))
    return low if low == high else f"open ({low} to {high})"


@dataclass(frozen=True)
class ConfidenceSplit:
    """Mean confidence and cross-entropy of right and wrong predictions by epoch; each array has shape (epochs,).

    `share_right * loss_right + (1 - share_right) * loss_wrong` is the mean cross-entropy. A mean over no prediction is
    NaN.
    """

    share_right: np.ndarray
    confidence_right: np.ndarray
    confidence_wrong: np.ndarray
    loss_right: np.ndarray
    loss_wrong: np.ndarray

    @property
    def loss(self) -> np.ndarray:
        """Mean cross-entropy in nats by epoch, shape (epochs,)."""
        right = np.nan_to_num(self.loss_right) * self.share_right
        return right + np.nan_to_num(self.loss_wrong) * (1 - self.share_right)


def confidence(logits: np.ndarray, labels: np.ndarray) -> ConfidenceSplit:
    """Split confidence and cross-entropy by right and wrong predictions.

    Args:
        logits: after each epoch, shape (epochs, n, classes).
        labels: true classes, shape (n,).

    Returns:
        Means by epoch.
    """
    right = logits.argmax(-1) == labels
    loss, sure = cross_entropy(logits, labels), softmax(logits).max(-1)
    return ConfidenceSplit(
        right.mean(1), _mean(sure, right), _mean(sure, ~right), _mean(loss, right), _mean(loss, ~right)
    )


def _mean(values: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    count = chosen.sum(1)
    return np.where(count > 0, (values * chosen).sum(1) / np.maximum(count, 1), np.nan)


@dataclass(frozen=True)
class LossRise:
    """How the mean cross-entropy changed between two epochs, and who carries the change (`right` and `wrong` add up).

    The first epoch was picked as the lowest on the same images, so the change is a little too large.

    Attributes:
        start: epoch (from 0) of the lowest cross-entropy.
        end: last epoch.
        total: change of the mean cross-entropy, nats.
        right: part of images that are right at the end, nats.
        wrong: part of images that are wrong at the end, nats.
        balance: `right` minus `wrong`, nats.
        accuracy: at the end minus that at the start, paired by image.
        surer_right: change of the mean confidence of images that are right at the end, share (0 of no image).
        surer_wrong: the same for images that are wrong at the end.
    """

    start: int
    end: int
    total: Estimate
    right: Estimate
    wrong: Estimate
    balance: Estimate
    accuracy: Difference
    surer_right: Estimate
    surer_wrong: Estimate

    @property
    def shown(self) -> bool:
        """Whether the cross-entropy rose beyond its interval."""
        return self.total.low > 0

    @property
    def evidence(self) -> dict[str, Estimate]:
        """What the claim on the rising loss is decided on."""
        names = ("total", "right", "wrong", "balance", "surer_right", "surer_wrong")
        return {name: getattr(self, name) for name in names}


def rise_since_best(logits: np.ndarray, labels: np.ndarray, groups: np.ndarray | None = None) -> LossRise:
    """Split the change of the cross-entropy since its lowest epoch by images that end right and wrong.

    Args:
        logits: shape (epochs, n, classes).
        labels: shape (n,).
        groups: what is drawn as a whole (lots), shape (n,); None: images.
    """
    loss = cross_entropy(logits, labels)
    start, end = int(loss.mean(1).argmin()), len(loss) - 1
    change, sure = loss[end] - loss[start], softmax(logits).max(-1)
    answers = logits[[start, end]].argmax(-1)
    right = answers[1] == labels
    parts = [change, change * right, change * ~right, change * np.where(right, 1, -1)]
    return LossRise(
        start,
        end,
        *(mean_estimate(part, "", groups, digits=3, unit=" nats") for part in parts),
        paired_difference(labels, answers[1], answers[0], "last epoch minus the lowest loss's", groups),
        *(_surer(sure[end] - sure[start], which, groups) for which in (right, ~right)),
    )


def _surer(change: np.ndarray, chosen: np.ndarray, groups: np.ndarray | None) -> Estimate:
    style = {"scale": 100, "unit": " points", "digits": 1}
    if not chosen.any():
        return Estimate(0.0, 0.0, 0.0, 0, **style)
    return mean_estimate(change[chosen], "", None if groups is None else groups[chosen], **style)
