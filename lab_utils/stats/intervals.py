"""Numbers that carry what they are of: an accuracy with its n, an estimate with its interval, and their differences.

One kind of interval for one kind of question, in all chapters. Images of one accession lot are easy or hard together:
where lots are known they are drawn whole, where none are known images are drawn. `benchmarks/intervals.py` measures how
often each kind covers the truth.

* **An accuracy**: Wilson's score interval, n divided by the design effect (Kish 1965; Korn and Graubard 1998).
* **A difference of accuracies on the same images**: Bonett and Price's (2012), on the images that one of the two gets
  right and the other wrong, their numbers divided by the design effect. A bootstrap calls four such images of two
  hundred a clear difference.
* **A mean**: Student's, of the linearised variance over lots.
* **A difference of accuracies on other images**: from both intervals (Newcombe 1998, method 10).

Few lots, or lots of unequal size, leave the variance itself uncertain: all quantiles are Student's, with the effective
number of lots (sum of sizes squared over sum of squared sizes) less one as degrees of freedom.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

Z95 = 1.959963984540054  # the 97.5 % point of the normal distribution
SPLIT = re.compile(r", (?:train|val|test)$")  # where an accuracy says what split it is of


def wilson_interval(successes: float, n: float, quantile: float = Z95) -> tuple[float, float]:
    """95 % Wilson score interval of a proportion (Wilson 1927, doi:10.1080/01621459.1927.10502953).

    Args:
        successes: between 0 and `n`.
        n: number of trials, at least 1; no whole number where it is an effective one.
        quantile: half width in standard errors.

    Returns:
        Lower and upper bound, both within [0, 1].

    Raises:
        ValueError: `n` is below 1 or `successes` outside [0, n].
    """
    if n < 1 or not 0 <= successes <= n:
        raise ValueError(f"{successes} successes of {n}: a proportion needs n >= 1 and 0 <= successes <= n.")
    share, z = successes / n, quantile
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return max(0.0, centre - half), min(1.0, centre + half)


# ---- lots ------------------------------------------------------------------------------------------------------------
def sums_by_lot(values: np.ndarray, groups: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Sum of the values (n,) and number of images of each lot, (G,); without `groups` each image is a lot."""
    values = np.asarray(values, dtype=float)
    if groups is None:
        return values, np.ones(len(values))
    if len(groups) != len(values):
        raise ValueError(f"{len(values)} values and {len(groups)} lots do not match.")
    _, member = np.unique(np.asarray(groups).astype(str), return_inverse=True)
    return np.bincount(member, values), np.bincount(member).astype(float)


def effective_number(sizes: np.ndarray) -> float:
    """How many lots of one size would tell as much as lots of these sizes (G,): between 1 and G (Kish 1965)."""
    sizes = np.asarray(sizes, dtype=float)
    return float(sizes.sum() ** 2 / (sizes @ sizes))


def quantile(effective: float, tail: float = 0.025) -> float:
    """Half width of an interval in standard errors: Student's with `effective` lots; 0: images, the normal one."""
    if not effective and tail == 0.025:
        return Z95
    from scipy import special

    return float(-special.ndtri(tail) if not effective else -special.stdtrit(max(effective - 1, 1.0), tail))


def variance_of_mean(totals: np.ndarray, sizes: np.ndarray) -> float:
    """Variance of a mean over lots drawn whole, by Taylor linearisation (Kish 1965, section 6.5); NaN for one lot.

    Args:
        totals: sum of the values of each lot, shape (G,).
        sizes: images of each lot, shape (G,), at least 1 each.
    """
    lots, n = len(sizes), float(np.sum(sizes))
    if lots < 2:
        return math.nan
    residuals = np.asarray(totals, float) - np.sum(totals) / n * np.asarray(sizes, float)
    return lots / (lots - 1) * float(residuals @ residuals) / n**2


def design_effect(totals: np.ndarray, sizes: np.ndarray, spread: float | None = None) -> float:
    """How many times as much a mean varies when whole lots are drawn as when as many images are drawn one by one.

    Args:
        totals: right answers (or sum of gains) of each lot, shape (G,).
        sizes: images of each lot, shape (G,), at least 1 each.
        spread: variance of the values over images; None: they are 0 or 1.

    Returns:
        From 1 (lots of one image, or images of a lot are no more alike than others) to the number of images. Where
        nothing varies or there is one lot, nothing tells how alike images of a lot are: then a lot counts once.
    """
    n = float(np.sum(sizes))
    share = float(np.sum(totals)) / n
    spread = share * (1 - share) if spread is None else spread
    if spread <= 0 or len(sizes) < 2:
        return n / effective_number(sizes)
    return float(np.clip(variance_of_mean(totals, sizes) / (spread / (n - 1)), 1.0, n))


def lot_likeness(right: np.ndarray, groups: np.ndarray) -> float:
    """How alike answers within a lot are, in [0, 1]: the correlation that their design effect implies (Kish 1965).

    Args:
        right: answers (n,), 0 to 1.
        groups: lot of each image, shape (n,).
    """
    totals, sizes = sums_by_lot(right, groups)
    size = float(sizes @ sizes / sizes.sum())  # of the lot that an image is in, on average
    return min(1.0, (design_effect(totals, sizes) - 1) / (size - 1)) if size > 1 else 0.0


_printed: dict[str, dict[str, Any]] = {}  # what was printed in this process, by its text


def _print(number: "Estimate | Accuracy | Difference", text: str) -> str:
    """Keep what a text was printed from, and return the text."""
    _printed[text] = {"value": number.value, "low": number.low, "high": number.high, "n": number.n}
    return text


def printed_in(sentence: str) -> list[dict[str, Any]]:
    """Value, interval and n of all accuracies, differences and estimates that were printed into a sentence."""
    return [values for text, values in _printed.items() if text in sentence]


def _record(number: "Estimate | Accuracy | Difference") -> dict[str, Any]:
    numbers = {name: getattr(number, name) for name in ("value", "low", "high", "n")}
    return numbers | {"of": number.of, "text": str(number)}


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval and what it is of.

    `scale` 100 prints a share as percent; `unit` follows the number. Both ends are NaN where no interval is given:
    where there is too little to make one of, or none that covers the truth as often as it says.
    """

    value: float
    low: float
    high: float
    n: int
    of: str = ""
    scale: float = 1.0
    unit: str = ""
    digits: int = 2

    @property
    def has_interval(self) -> bool:
        """Whether it has an interval."""
        return math.isfinite(self.low) and math.isfinite(self.high)

    def excludes(self, reference: float) -> bool:
        """Whether the interval lies wholly on one side of `reference`; False where there is none."""
        return self.has_interval and not self.low <= reference <= self.high

    def __str__(self) -> str:
        value, low, high = (f"{self.scale * x:.{self.digits}f}" for x in (self.value, self.low, self.high))
        interval = f"{low} to {high}, " if self.has_interval else ""
        return _print(self, f"{value}{self.unit} ({interval}n = {self.n:,})")

    def to_record(self) -> dict[str, Any]:
        """Plain values for a record."""
        return _record(self)


@dataclass(frozen=True)
class Accuracy:
    """Right answers of `n`; prints itself with its interval and never as a bare percentage.

    Attributes:
        successes: number of right answers.
        n: number of images.
        of: what was evaluated, in words.
        effect: design effect of the lots that the images belong to; 1: images count one by one.
        lots: number of those lots; 0: unknown, images are drawn.
        effective: number of lots of one size that would tell as much; 0: unknown.
    """

    successes: int
    n: int
    of: str = ""
    effect: float = 1.0
    lots: int = 0
    effective: float = 0.0

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
        return cls.from_lots(*sums_by_lot(right, groups), of)

    @classmethod
    def from_lots(cls, hits: np.ndarray, sizes: np.ndarray, of: str = "") -> "Accuracy":
        """Right answers (G,) and images (G,) of each lot; a mean of several answers to an image may count in part."""
        about = {"effect": design_effect(hits, sizes), "lots": len(sizes), "effective": effective_number(sizes)}
        return cls(round(float(np.sum(hits))), int(np.sum(sizes)), of, **about)

    @classmethod
    def from_likeness(
        cls, share: float, likeness: float, groups: np.ndarray, of: str = "", n: int | None = None
    ) -> "Accuracy":
        """A share of right answers of which only their number is kept: its lots are as alike as those of others.

        Args:
            share: of right answers, in [0, 1].
            likeness: of answers within a lot (`lot_likeness`), known from other images.
            groups: lot of each image, or of all images that these were drawn from, shape (N,).
            of: what was evaluated, in words.
            n: number of images; None: all N.
        """
        _, sizes = sums_by_lot(np.zeros(len(groups)), groups)
        n, size = len(groups) if n is None else n, float(sizes @ sizes / sizes.sum())
        effect = 1 + likeness * (size - 1) * n / len(groups)  # of N images, n were drawn: their lots are smaller
        return cls(round(share * n), n, of, effect, len(sizes), min(float(n), effective_number(sizes)))

    @classmethod
    def from_record(cls, record: Mapping[str, Any], of: str = "") -> "Accuracy":
        """Back from `to_record`."""
        about = (record[name] for name in ("effect", "lots", "effective"))
        return cls(record["successes"], record["n"], of or record["of"], *about)

    @property
    def value(self) -> float:
        """The share of right answers in [0, 1]."""
        return self.successes / self.n

    @property
    def wrong(self) -> "Accuracy":
        """The share of wrong answers, likewise."""
        return replace(self, successes=self.n - self.successes)

    @property
    def interval(self) -> tuple[float, float]:
        """95 % Wilson interval in [0, 1], of n over the design effect."""
        trials = self.n / self.effect
        return wilson_interval(min(self.value * trials, trials), trials, quantile(self.effective))

    @property
    def low(self) -> float:
        """Lower end of its interval."""
        return self.interval[0]

    @property
    def high(self) -> float:
        """Upper end of its interval."""
        return self.interval[1]

    def __str__(self) -> str:
        low, high = self.interval
        return _print(self, f"{100 * self.value:.1f} % ({100 * low:.1f} to {100 * high:.1f}, n = {self.n:,})")

    def minus(self, other: "Accuracy") -> "Difference":
        """Difference to an accuracy on *other* images (Newcombe 1998, method 10, unpaired).

        Raises:
            ValueError: both say that they are of one split and have as many images: those are compared in pairs; or
                one is of a part of the images, whose mix of classes is its own.
        """
        if isinstance(self, PartAccuracy) or isinstance(other, PartAccuracy):
            raise ValueError(f"{self.of} and {other.of} hold other mixes of classes: use standardised_difference.")
        splits = {match.group() for accuracy in (self, other) if (match := SPLIT.search(accuracy.of))}
        if len(splits) == 1 and self.n == other.n and SPLIT.search(self.of) and SPLIT.search(other.of):
            raise ValueError(f"{self.of} and {other.of} are of the same images: use paired_difference.")
        (low, high), (other_low, other_high) = self.interval, other.interval
        gap = self.value - other.value
        below = math.hypot(self.value - low, other_high - other.value)
        above = math.hypot(high - self.value, other.value - other_low)
        return Difference(gap, gap - below, gap + above, min(self.n, other.n), f"{self.of} minus {other.of}")

    def to_record(self) -> dict[str, Any]:
        """Plain values for a record."""
        more = {name: getattr(self, name) for name in ("successes", "effect", "lots", "effective")}
        return _record(self) | more


@dataclass(frozen=True)
class PartAccuracy(Accuracy):
    """Accuracy on a part of the images (a museum's, say): told as it is, but never subtracted.

    Parts hold other mixes of classes. `metrics.standardised_difference` compares them within classes.
    """


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

    def reversed(self) -> "Difference":
        """The second minus the first."""
        return replace(self, value=-self.value, low=-self.high, high=-self.low)

    def __str__(self) -> str:
        points = f"{abs(100 * self.value):.1f} points"
        if self.tie:
            text = f"a tie ({100 * self.value:+.1f} points, {100 * self.low:+.1f} to {100 * self.high:+.1f})"
            return _print(self, text)
        low, high = sorted((abs(100 * self.low), abs(100 * self.high)))
        return _print(self, f"{'better' if self.value > 0 else 'worse'} by {points} ({low:.1f} to {high:.1f})")

    def to_record(self) -> dict[str, Any]:
        """Plain values for a record."""
        return _record(self) | {"tie": self.tie}


def paired_difference(
    truth: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    of: str = "",
    groups: np.ndarray | None = None,
    comparisons: int = 1,
) -> Difference:
    """Accuracy of `first` minus that of `second` on the same images.

    The adjusted interval of Bonett and Price (2012, doi:10.3102/1076998611411915), with the effective number of images.

    Args:
        truth: labels, shape (n,).
        first: predicted labels, shape (n,).
        second: predicted labels, shape (n,).
        of: what is compared, in words.
        groups: lot of each image, shape (n,); None: images are drawn.
        comparisons: among how many differences this one was, or may be, picked: its interval is widened (Bonferroni).

    Returns:
        The difference with its 95 % interval.
    """
    gain = (np.asarray(first) == np.asarray(truth)).astype(float) - (np.asarray(second) == np.asarray(truth))
    return difference_of_gains(gain, of, groups, comparisons)


def difference_of_gains(
    gain: np.ndarray, of: str = "", groups: np.ndarray | None = None, comparisons: int = 1
) -> Difference:
    """As `paired_difference`, of images that the first alone gets right (1), the second alone (−1), and others (0).

    Args:
        gain: shape (n,).
        of: what is compared, in words.
        groups: lot of each image, shape (n,); None: images are drawn.
        comparisons: as there.
    """
    totals, sizes = sums_by_lot(gain, groups)
    n = float(sizes.sum())
    effect = design_effect(totals, sizes, float(np.var(gain)))
    better, worse = ((float(np.sum(np.sign(gain) == sign)) / effect + 1) / (n / effect + 2) for sign in (1, -1))
    spread = math.sqrt((better + worse - (better - worse) ** 2) / (n / effect + 2))
    half = quantile(0.0 if groups is None else effective_number(sizes), 0.025 / max(1, comparisons)) * spread
    low, high = max(-1.0, better - worse - half), min(1.0, better - worse + half)
    return Difference(float(np.mean(gain)), low, high, len(gain), of)


def mean_estimate(
    values: np.ndarray,
    of: str = "",
    groups: np.ndarray | None = None,
    within: tuple[float, float] = (-math.inf, math.inf),
    **style: Any,
) -> Estimate:
    """Mean of some values with Student's 95 % interval; none of a single image or lot.

    Args:
        values: shape (n,).
        of: what they are, in words.
        groups: lot of each image, shape (n,); None: images are drawn.
        within: what the mean can't leave.
        style: of `Estimate`.
    """
    totals, sizes = sums_by_lot(values, groups)
    mean = float(totals.sum() / sizes.sum())
    half = quantile(effective_number(sizes)) * math.sqrt(variance_of_mean(totals, sizes))
    low, high = np.clip([mean - half, mean + half], *within)  # NaN of one lot
    return Estimate(mean, float(low), float(high), len(values), of, **style)


def jackknife(
    value: np.ndarray, without: np.ndarray, sizes: np.ndarray, comparisons: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """95 % interval of what is no mean (macro F1, say), from its values with each lot left out (Tukey 1958).

    Args:
        value: of all images, shape (k,) for k statistics.
        without: of all but one lot, shape (k, G).
        sizes: images of each lot, shape (G,).
        comparisons: as of `paired_difference`.

    Returns:
        Lower and upper ends, shape (k,); NaN for one lot.
    """
    lots = len(sizes)
    if lots < 2:
        return np.full(np.shape(value), np.nan), np.full(np.shape(value), np.nan)
    spread = np.sqrt((lots - 1) * without.var(axis=1))
    half = quantile(effective_number(sizes), 0.025 / comparisons) * spread
    return value - half, value + half


def bootstrap_means(
    values: np.ndarray, groups: np.ndarray | None = None, seed: int = 0, resamples: int = 2000
) -> np.ndarray:
    """Means of bootstrap samples of `values` (n,), drawn by image or by whole `groups` (n,); shape (resamples,)."""
    totals, sizes = sums_by_lot(values, groups)
    counts = np.random.default_rng(seed).multinomial(len(totals), np.full(len(totals), 1 / len(totals)), size=resamples)
    return (counts @ totals) / (counts @ sizes)
