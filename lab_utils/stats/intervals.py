"""Numbers that carry what they are of: an accuracy with its n, an estimate with its interval, and their differences.

One kind of interval for one kind of question, in all chapters:

* **An accuracy**: Wilson's score interval. Images of one accession lot are easy or hard together, so where lots are
  known their number counts, not that of the images: n is divided by the design effect (Kish 1965; Korn and Graubard
  1998). Where no lots are known, images are drawn.
* **A mean, a difference of accuracies on the same images**: percentile bootstrap over whole lots where they are known,
  else over images.
* **A difference of accuracies on other images**: from both intervals (Newcombe 1998, method 10).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

Z95 = 1.959963984540054  # the 97.5 % point of the normal distribution


def wilson_interval(successes: float, n: float) -> tuple[float, float]:
    """95 % Wilson score interval of a proportion (Wilson 1927, doi:10.1080/01621459.1927.10502953).

    Args:
        successes: between 0 and `n`.
        n: number of trials, at least 1; no whole number where it is an effective one.

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


def design_effect(hits: np.ndarray, sizes: np.ndarray) -> float:
    """How many times as much the share of right answers varies when whole groups are drawn as when images are.

    The variance of the ratio of both sums over groups (Taylor linearisation; Kish 1965, section 6.5), divided by that
    of as many images drawn one by one.

    Args:
        hits: right answers of each group, shape (G,).
        sizes: images of each group, shape (G,), at least 1 each.

    Returns:
        From 1 (groups of one image, or images of a group are no more alike than others) to the number of images; 1 too
        where all or none are right, or where there is one group, which doesn't tell how groups differ.
    """
    groups, n = len(sizes), float(np.sum(sizes))
    share = float(np.sum(hits)) / n
    if groups < 2 or share in (0.0, 1.0):
        return 1.0
    residuals = np.asarray(hits, float) - share * np.asarray(sizes, float)
    variance = groups / (groups - 1) * float(residuals @ residuals) / n**2
    return float(np.clip(variance / (share * (1 - share) / (n - 1)), 1.0, n))


_printed: dict[str, dict[str, Any]] = {}  # what was printed in this process, by its text


def _print(number: "Estimate | Accuracy | Difference", text: str) -> str:
    """Keep what a text was printed from, and return the text."""
    low, high = number.interval if isinstance(number, Accuracy) else (number.low, number.high)
    _printed[text] = {"value": number.value, "low": low, "high": high, "n": number.n}
    return text


def printed_in(sentence: str) -> list[dict[str, Any]]:
    """Value, interval and n of all accuracies, differences and estimates that were printed into a sentence."""
    return [values for text, values in _printed.items() if text in sentence]


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
        return _print(self, f"{value}{self.unit} ({low} to {high}, n = {self.n:,})")

    def to_record(self) -> dict[str, Any]:
        """Plain values for a record."""
        return _record(self, self.low, self.high)


@dataclass(frozen=True)
class Accuracy:
    """Right answers of `n`; prints itself with its interval and never as a bare percentage.

    Attributes:
        successes: number of right answers.
        n: number of images.
        of: what was evaluated, in words.
        effect: design effect of the lots that the images belong to; 1: images count one by one.
        lots: number of those lots; 0: unknown, images are drawn.
    """

    successes: int
    n: int
    of: str = ""
    effect: float = 1.0
    lots: int = 0

    @classmethod
    def from_labels(
        cls, truth: np.ndarray, predicted: np.ndarray, of: str = "", groups: np.ndarray | None = None
    ) -> "Accuracy":
        """Count agreements of two label arrays of shape (n,); `groups` as in `from_hits`."""
        truth, predicted = np.asarray(truth), np.asarray(predicted)
        if truth.shape != predicted.shape or truth.ndim != 1:
            raise ValueError(f"labels of shape {truth.shape} and predictions of shape {predicted.shape} do not match.")
        return cls.from_hits(truth == predicted, of, groups)

    @classmethod
    def from_hits(cls, right: np.ndarray, of: str = "", groups: np.ndarray | None = None) -> "Accuracy":
        """Count right answers.

        Args:
            right: whether each image is right, shape (n,).
            of: what was evaluated, in words.
            groups: lot of each image, shape (n,) (`data.splits.fold_groups`); None: unknown.
        """
        right = np.asarray(right, bool)
        if groups is None:
            return cls(int(right.sum()), len(right), of)
        if len(groups) != len(right):
            raise ValueError(f"{len(right)} answers and {len(groups)} lots do not match.")
        _, member = np.unique(np.asarray(groups).astype(str), return_inverse=True)
        return cls.from_lots(np.bincount(member, right), np.bincount(member), of)

    @classmethod
    def from_lots(cls, hits: np.ndarray, sizes: np.ndarray, of: str = "") -> "Accuracy":
        """Right answers (G,) and images (G,) of each lot."""
        return cls(int(np.sum(hits)), int(np.sum(sizes)), of, design_effect(hits, sizes), len(sizes))

    @classmethod
    def from_record(cls, record: Mapping[str, Any], of: str = "") -> "Accuracy":
        """Back from `to_record`."""
        return cls(record["successes"], record["n"], of or record["of"], record["effect"], record["lots"])

    @property
    def value(self) -> float:
        """The share of right answers in [0, 1]."""
        return self.successes / self.n

    @property
    def interval(self) -> tuple[float, float]:
        """95 % Wilson interval in [0, 1], of n over the design effect."""
        effective = self.n / self.effect
        return wilson_interval(min(self.value * effective, effective), effective)

    def __str__(self) -> str:
        low, high = self.interval
        return _print(self, f"{100 * self.value:.1f} % ({100 * low:.1f} to {100 * high:.1f}, n = {self.n:,})")

    def minus(self, other: "Accuracy") -> "Difference":
        """Difference to an accuracy on *other* images (Newcombe 1998, method 10, unpaired)."""
        (low, high), (other_low, other_high) = self.interval, other.interval
        gap = self.value - other.value
        below = math.hypot(self.value - low, other_high - other.value)
        above = math.hypot(high - self.value, other.value - other_low)
        return Difference(gap, gap - below, gap + above, min(self.n, other.n), f"{self.of} minus {other.of}")

    def to_record(self) -> dict[str, Any]:
        """Plain values for a record."""
        more = {"successes": self.successes, "effect": self.effect, "lots": self.lots}
        return _record(self, *self.interval) | more


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
            text = f"a tie ({100 * self.value:+.1f} points, {100 * self.low:+.1f} to {100 * self.high:+.1f})"
            return _print(self, text)
        low, high = sorted((abs(100 * self.low), abs(100 * self.high)))
        return _print(self, f"{'better' if self.value > 0 else 'worse'} by {points} ({low:.1f} to {high:.1f})")

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
