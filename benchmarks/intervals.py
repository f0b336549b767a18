"""How often do the lab's 95 % intervals hold the truth? Each kind, drawn again and again from a known population.

    python benchmarks/intervals.py [--draws 2000]

A population of 29 classes: images come in accession lots of 1 to 12, a lot has its own difficulty, and what is wrong
goes to a few other classes. Its true values are computed, not drawn. 232 images are val of the sample (8 a class), 430
its test (unequal classes). Wanted: between 90 and 98 %; a kind that misses it is not printed with an interval.
"""

import argparse
import math
from collections.abc import Callable, Iterator

import numpy as np
from scipy import stats

from lab_utils.stats import metrics
from lab_utils.stats.curves import trend
from lab_utils.stats.intervals import Accuracy, Difference, Estimate, mean_estimate, paired_difference

CLASSES, SPREAD = 29, 1.2  # classes; standard deviation of a lot's difficulty on the probit scale
SIZES = (1, 1, 1, 2, 3, 5, 12)  # images of a lot
Interval = Accuracy | Difference | Estimate
Kinds = dict[str, tuple[Interval, float]]


class Population:
    """Classes, how well each is recognised, and for which others its images are taken."""

    def __init__(self, seed: int = 0):
        rng = np.random.default_rng(seed)
        self.recall = np.clip(rng.beta(4, 2, CLASSES), 0.15, 0.97)
        taken = rng.dirichlet(np.full(CLASSES, 0.15), CLASSES)
        np.fill_diagonal(taken, 0)
        self.taken = taken / taken.sum(1, keepdims=True)
        self.unequal = rng.dirichlet(np.full(CLASSES, 3.0))
        self.floor = int(np.argmax(self.unequal))

    def confusion(self, shares: np.ndarray) -> np.ndarray:
        """True confusion matrix (C, C) of a population with these shares of the classes, summing to a billion."""
        return 1e9 * shares[:, None] * (np.diag(self.recall) + (1 - self.recall)[:, None] * self.taken)

    def draw(self, rng: np.random.Generator, n: int, balanced: bool, lots: bool) -> tuple[np.ndarray, ...]:
        """Labels, answers, answers of a second network, and lots of some images, each (n,)."""
        counts = np.full(CLASSES, n // CLASSES) if balanced else rng.multinomial(n, self.unequal)
        sizes = [_sizes(rng, count, lots) for count in counts]
        labels = np.repeat(np.arange(CLASSES), counts)
        member = np.repeat(np.arange(sum(map(len, sizes))), np.concatenate(sizes))
        difficulty = rng.normal(0, SPREAD, member.max() + 1)[member]
        level = stats.norm.ppf(self.recall)[labels] * math.hypot(1, SPREAD) + difficulty
        luck = rng.normal(size=len(labels))  # what both networks find easy or hard in an image
        own = rng.normal(size=(2, len(labels)))
        right = level > 0.8 * luck + 0.6 * own
        wrong = (self.taken[labels].cumsum(1) > rng.random(len(labels))[:, None]).argmax(1)
        first, second = np.where(right, labels, wrong)
        return labels, first, second, member


def _sizes(rng: np.random.Generator, count: int, lots: bool) -> np.ndarray:
    """Sizes of the lots of so many images of a class."""
    if not lots:
        return np.ones(count, int)
    sizes = rng.choice(SIZES, count)
    ends = np.cumsum(sizes)
    last = int(np.searchsorted(ends, count))
    return np.append(sizes[:last], count - (ends[last - 1] if last else 0)) if count else np.empty(0, int)


# ---- kinds of intervals: one draw -> value with interval, and the truth ----------------------------------------------
def answers(population: Population, rng: np.random.Generator, n: int, balanced: bool, lots: bool) -> Kinds:
    """What is told of answers: accuracy, paired difference, averages over classes, differences at one mix."""
    labels, first, second, member = population.draw(rng, n, balanced, lots)
    shares = np.full(CLASSES, 1 / CLASSES) if balanced else population.unequal
    true = dict(zip(metrics.AVERAGES, metrics._averages(population.confusion(shares)[None])[:, 0], strict=True))
    accuracy = Accuracy.from_labels(labels, first, "", member)
    kinds: Kinds = {"accuracy": (accuracy, true["accuracy"])}
    kinds["paired difference"] = (paired_difference(labels, first, second, "", member), 0.0)
    parts = metrics.group_confusions(labels, first, member, CLASSES)
    averages = metrics.averages(parts.sum(0), parts=parts)
    kinds |= {name: (averages[name], true[name]) for name in metrics.AVERAGES[1:5] + metrics.AVERAGES[6:]}
    side = rng.random(member.max() + 1)[member] < 0.4
    compared = metrics.standardised_difference(first == labels, labels, side, member)
    if compared:
        kinds["difference at one mix"] = (compared[0], 0.0)
    floor, best = labels == population.floor, np.ones(len(labels), bool)
    share = (true["accuracy"] - shares[population.floor]) / (1 - shares[population.floor])
    kinds["share of what is possible"] = (metrics.recovered_share(first == labels, best, floor, member), share)
    return kinds


def means(rng: np.random.Generator, n: int, lots: bool) -> Kinds:
    """Means: of purities in [0, 1], and of cross-entropies, which are skewed."""
    sizes = _sizes(rng, n, lots)
    member = np.repeat(np.arange(len(sizes)), sizes)
    level = 0.6 * rng.normal(size=len(sizes))[member] + 0.8 * rng.normal(size=n)
    purity = stats.norm.cdf(level + 0.8)
    true = {"mean of shares": float(stats.norm.cdf(0.8 / math.sqrt(2))), "mean cross-entropy": math.exp(0.32)}
    kinds = {"mean of shares": mean_estimate(purity, "", member, (0, 1))}
    kinds["mean cross-entropy"] = mean_estimate(np.exp(0.8 * level), "", member)
    return {name: (estimate, true[name]) for name, estimate in kinds.items()}


def slopes(rng: np.random.Generator, epochs: int) -> Kinds:
    """Slope of a falling curve with errors that hang together (correlation 0.3)."""
    noise = np.zeros(epochs)
    noise[0] = rng.normal()
    for place in range(1, epochs):
        noise[place] = 0.3 * noise[place - 1] + math.sqrt(1 - 0.09) * rng.normal()
    return {f"slope of {epochs} epochs": (trend(noise - 0.1 * np.arange(epochs), epochs), -0.1)}


def calibrated(rng: np.random.Generator, n: int) -> Kinds:
    """Range of the calibration error of a calibrated network, and the error of one."""
    sure = rng.beta(3, 1.2, n) * 0.5 + 0.5
    probabilities = np.stack([sure, 1 - sure], axis=1)
    labels = (rng.random(n) >= sure).astype(int)
    error, chance = metrics.calibration_error(probabilities, labels, seed=int(rng.integers(1 << 30)), draws=200)
    return {"calibration error by chance": (chance, error.value)}


def settings() -> Iterator[tuple[str, Callable[[np.random.Generator], Kinds]]]:
    """Names of the settings, and what draws the kinds in each."""
    population = Population()
    for n, balanced, name in ((232, True, "232 images, 8 a class"), (430, False, "430 images, unequal classes")):
        for lots in (False, True):
            told = f"{name}, {'in lots' if lots else 'single'}"
            yield told, lambda rng, n=n, b=balanced, lots=lots: answers(population, rng, n, b, lots)
    for n in (8, 30, 232):
        for lots in (False, True):
            yield f"{n} images, {'in lots' if lots else 'single'}", lambda rng, n=n, lots=lots: means(rng, n, lots)
    for epochs in (5, 10, 40):
        yield "curves", lambda rng, epochs=epochs: slopes(rng, epochs)
    yield "232 images, calibrated", lambda rng: calibrated(rng, 232)


def coverage(draw: Callable[[np.random.Generator], Kinds], draws: int, seed: int = 0) -> dict[str, float]:
    """Share of the draws in which each kind's interval holds the truth; those without an interval left out."""
    held: dict[str, list[bool]] = {}
    rng = np.random.default_rng(seed)
    for _ in range(draws):
        for name, (value, truth) in draw(rng).items():
            if math.isfinite(value.low):
                held.setdefault(name, []).append(value.low - 1e-12 <= truth <= value.high + 1e-12)
    return {name: float(np.mean(inside)) for name, inside in held.items()}


def main() -> None:
    """Print the coverage of every kind in every setting."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=2000, help="populations drawn")
    draws = parser.parse_args().draws
    for name, draw in settings():
        for kind, share in coverage(draw, draws).items():
            print(f"{name:40} {kind:30} {100 * share:5.1f} %")


if __name__ == "__main__":
    main()
