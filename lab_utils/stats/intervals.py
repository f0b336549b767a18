"""Numbers that carry what they are of: an accuracy with its n, an estimate with its interval, and their differences."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

Z95 = 1.959963984540054  # the 97.5 % point of the normal distribution


def wilson_interval(successes: int, n: int) -> tuple[float, float]:
    """95 % Wilson score interval of a proportion (Wilson 1927, doi:10.1080/01621459.1927.10502953).

    Args:
        successes: between 0 and `n`.
        n: number of trials, at least 1.

    Returns:
        Lower and upper bound, both within [0, 1].

    Raises:
        ValueError: `n` is below 1 or `successes` outside [0, n].
    """
    if n < 1 or not 0 <= successes <= n:
        raise ValueError(f"{successes} successes of {n}: a proportion needs n >= 1 and 0 <= successes <= n.")
    share, z = successes / n, Z95
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return max(0.0, centre - half), min(1.0, centre + half)


def _record(number: "Estimate | Accuracy | Difference", low: float, high: float) -> dict[str, Any]:
    return {"value": number.value, "low": low, "high": high, "n": number.n, "of": number.of, "text": str(number)}


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval and what it is of.

    `scale` 100 prints a share as percent; `unit` follows the number.
    """

    value: float
    low: float
    high: float
    n: int
    of: str = ""
    scale: float = 1.0
    unit: str = ""
    digits: int = 2

    def excludes(self, reference: float) -> bool:
        """Whether the interval lies wholly on one side of `reference`."""
        return not self.low <= reference <= self.high

    def __str__(self) -> str:
        value, low, high = (f"{self.scale * x:.{self.digits}f}" for x in (self.value, self.low, self.high))
        return f"{value}{self.unit} ({low} to {high}, n = {self.n:,})"

    def to_record(self) -> dict[str, Any]:
        """Plain values for a record."""
        return _record(self, self.low, self.high)


@dataclass(frozen=True)
class Accuracy:
    """Correct answers of `n`; prints itself with its Wilson interval and never as a bare percentage."""

    successes: int
    n: int
    of: str = ""

    @classmethod
    def from_labels(cls, truth: np.ndarray, predicted: np.ndarray, of: str = "") -> "Accuracy":
        """Count agreements of two label arrays of shape (n,)."""
        truth, predicted = np.asarray(truth), np.asarray(predicted)
        if truth.shape != predicted.shape or truth.ndim != 1:
            raise ValueError(f"labels of shape {truth.shape} and predictions of shape {predicted.shape} do not match.")
        return cls(int((truth == predicted).sum()), len(truth), of)

    @property
    def value(self) -> float:
        """The share of correct answers in [0, 1]."""
        return self.successes / self.n

    @property
    def interval(self) -> tuple[float, float]:
        """95 % Wilson interval in [0, 1]."""
        return wilson_interval(self.successes, self.n)

    def __str__(self) -> str:
        low, high = self.interval
        return f"{100 * self.value:.1f} % ({100 * low:.1f} to {100 * high:.1f}, n = {self.n:,})"

    def minus(self, other: "Accuracy") -> "Difference":
        """Difference to an accuracy on *other* images (Newcombe 1998, method 10, unpaired)."""
        (low, high), (other_low, other_high) = self.interval, other.interval
        gap = self.value - other.value
        below = math.hypot(self.value - low, other_high - other.value)
        above = math.hypot(high - self.value, other.value - other_low)
        return Difference(gap, gap - below, gap + above, min(self.n, other.n), f"{self.of} minus {other.of}")

    def to_record(self) -> dict[str, Any]:
        """Plain values for a record."""
        return _record(self, *self.interval) | {"successes": self.successes}


@dataclass(frozen=True)
class Difference:
    """A difference of two shares in [-1, 1] with its 95 % interval; one that includes zero is called a tie."""

    value: float
    low: float
    high: float
    n: int
    of: str = ""

    @property
    def tie(self) -> bool:
        """Whether zero lies within the interval."""
        return self.low <= 0 <= self.high

    def __str__(self) -> str:
        points = f"{abs(100 * self.value):.1f} points"
        if self.tie:
            return f"a tie ({100 * self.value:+.1f} points, {100 * self.low:+.1f} to {100 * self.high:+.1f})"
        low, high = sorted((abs(100 * self.low), abs(100 * self.high)))
        return f"{'better' if self.value > 0 else 'worse'} by {points} ({low:.1f} to {high:.1f})"

    def to_record(self) -> dict[str, Any]:
        """Plain values for a record."""
        return _record(self, self.low, self.high) | {"tie": self.tie}


def paired_difference(
    truth: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    of: str = "",
    groups: np.ndarray | None = None,
    seed: int = 0,
    resamples: int = 2000,
    comparisons: int = 1,
) -> Difference:
    """Accuracy of `first` minus that of `second` on the same images, by bootstrap over images or groups of them.

    Args:
        truth: labels, shape (n,).
        first: predicted labels, shape (n,).
        second: predicted labels, shape (n,).
        of: what is compared, in words.
        groups: cluster of each image, shape (n,) (lots, say); whole clusters are drawn. None: images are drawn.
        seed: of the resampling.
        resamples: number of bootstrap samples.
        comparisons: among how many differences this one was, or may be, picked: its interval is widened (Bonferroni).

    Returns:
        The difference with its 95 % percentile interval (Efron and Tibshirani 1993).
    """
    gain = (np.asarray(first) == np.asarray(truth)).astype(float) - (np.asarray(second) == np.asarray(truth))
    tail = 0.025 / max(1, comparisons)
    low, high = np.quantile(bootstrap_means(gain, groups, seed, resamples), [tail, 1 - tail])
    return Difference(float(gain.mean()), float(low), float(high), len(gain), of)


def bootstrap_means(
    values: np.ndarray, groups: np.ndarray | None = None, seed: int = 0, resamples: int = 2000
) -> np.ndarray:
    """Means of bootstrap samples of `values` (n,), drawn by image or by whole `groups` (n,); shape (resamples,)."""
    values = np.asarray(values, dtype=float)
    if groups is None:
        totals, sizes = values, np.ones(len(values))
    else:
        _, member = np.unique(np.asarray(groups).astype(str), return_inverse=True)
        totals, sizes = np.bincount(member, values), np.bincount(member).astype(float)
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(len(totals), np.full(len(totals), 1 / len(totals)), size=resamples)
    return (counts @ totals) / (counts @ sizes)


def bootstrap_estimate(
    values: np.ndarray, of: str = "", groups: np.ndarray | None = None, seed: int = 0, **style: Any
) -> Estimate:
    """Mean of `values` (n,) with a 95 % percentile bootstrap interval; `style` goes to `Estimate`."""
    low, high = np.quantile(bootstrap_means(values, groups, seed), [0.025, 0.975])
    return Estimate(float(np.mean(values)), float(low), float(high), len(values), of, **style)
