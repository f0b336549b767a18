"""How similar is ImageNet's task to ours? Probes on a network's outputs and features, LogME, neighbours.

Arrays in, plain results out; every number carries an interval.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from lab_utils.analysis.classifiers import few_threads, fit, squared_distances
from lab_utils.analysis.feature_tables import check_features
from lab_utils.core.errors import LabError
from lab_utils.stats.intervals import (
    Accuracy,
    Difference,
    Estimate,
    effective_number,
    paired_difference,
    quantile,
    sums_by_lot,
    wilson_interval,
)
from lab_utils.stats.metrics import recovered_share, softmax

ENOUGH_NETWORKS = 5
LAYERS = ("ImageNet outputs", "logits", "penultimate features")  # as the probes name them, from the top down


# ---- the probe and its controls --------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Probe:
    """What a linear classifier reads from features.

    Attributes:
        of: target and features in words.
        predicted: target predicted for each evaluated image, shape (m,).
        truth: the target there, shape (m,).
        guess: the commonest target of train, predicted for all (what no features give), shape (m,).
        lots: lot of each evaluated image, shape (m,), for the intervals; None: unknown.
    """

    of: str
    predicted: np.ndarray
    truth: np.ndarray
    guess: np.ndarray
    lots: np.ndarray | None = None

    @property
    def accuracy(self) -> Accuracy:
        """Of the probe."""
        return Accuracy.from_labels(self.truth, self.predicted, self.of, self.lots)

    @property
    def floor(self) -> Accuracy:
        """Of the commonest target."""
        return Accuracy.from_labels(self.truth, self.guess, f"commonest answer, {self.of}", self.lots)

    def minus(self, other: "Probe", groups: np.ndarray | None = None) -> Difference:
        """Difference to another probe of the same target on the same images, paired; lots (n,) are drawn."""
        of = f"{self.of} minus {other.of}"
        return paired_difference(self.truth, self.predicted, other.predicted, of, groups)


def probe(
    model: Any,
    features: np.ndarray,
    targets: np.ndarray,
    train: np.ndarray,
    held: np.ndarray,
    of: str = "",
    lots: np.ndarray | None = None,
) -> Probe:
    """Fit a classifier on train and ask it about other images, of which only those count whose target is known.

    On the 1,000 ImageNet outputs a linear one is the lab's "ImageNet-output probe", our definition of the original's
    "task similarity measure"; on penultimate features it is that probe's ceiling.

    Args:
        model: scikit-learn classifier or pipeline; it is copied.
        features: shape (N, D).
        targets: shape (N,), class labels or any other target (museum, lot); "" or a negative label is unknown.
        train: positions to fit on.
        held: positions to ask about.
        of: words for the result.
        lots: lot of every image, shape (N,), for the intervals; None: unknown.

    Raises:
        LabError: no known target on one of the sides, unusable features, or none that varies over train.
    """
    known = (targets != "") if targets.dtype.kind in "OUT" else targets >= 0
    rows, asked = train[known[train]], held[known[held]]
    if not len(rows) or not len(asked):
        side = "ask about" if len(rows) else "fit on"
        raise LabError(f"{of or 'The probe'}: no image with a known target to {side}.")
    check_features(features, rows, f"features ({of})" if of else "features")
    mean, deviation = features[rows].mean(0, dtype=np.float64), features[rows].std(0, dtype=np.float64)
    if not (deviation > 1e-9 * np.abs(mean)).any():
        raise LabError(f"{of or 'The probe'}: no feature varies over the train images, so there is nothing to read.")
    answers = targets.astype(str)
    predicted = fit(model, features[rows], answers[rows]).predict(features[asked])
    kinds, counts = np.unique(answers[rows], return_counts=True)
    guess, groups = np.full(len(asked), kinds[counts.argmax()]), None if lots is None else lots[asked]
    return Probe(of, predicted, answers[asked], guess, groups)


def range_of(values: Sequence[float], of: str) -> Estimate:
    """Mean of some shares, from the least to the most (a range, no interval); n is their number."""
    words = f"{of}, mean and range of {len(values)} permutations"
    return Estimate(float(np.mean(values)), min(values), max(values), len(values), words, 100, " %", 1)


def outputs(logits: np.ndarray, weights: str = "imagenet", spread: float = 1.0) -> np.ndarray:
    """A network's outputs, shape (n, Z), from its logits, shape (n, Z).

    Untrained logits lie within 1e-11 of each other, and their softmax is 1/Z to the last digits; so those of random
    weights are first brought to an overall standard deviation of `spread`, which changes no order.

    Args:
        logits: of the images.
        weights: `imagenet` (nothing is done before the softmax) or `random`.
        spread: deviation of the logits of a pretrained network on the same images, or 1.
    """
    if weights == "imagenet":
        return softmax(logits)
    centred = logits.astype(np.float64) - logits.mean(dtype=np.float64)
    return softmax(centred * (spread / max(centred.std(), 1e-300)))


def recovered(output: Probe, ceiling: Probe, groups: np.ndarray | None = None) -> Estimate:
    """Share of the ceiling's accuracy above the commonest-class floor that the outputs keep (`recovered_share`).

    Args:
        output: probe on the 1,000 outputs.
        ceiling: probe on penultimate features, same images.
        groups: what is drawn together, shape (m,).
    """
    hits = (predicted == output.truth for predicted in (output.predicted, ceiling.predicted, output.guess))
    return recovered_share(*hits, groups)


# ---- transferability measures (train split only) ---------------------------------------------------------------------
def _conditional(source: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """P(y | z), shape (K, Z); source classes without probability get zeros."""
    joint = np.eye(codes.max() + 1)[codes].T @ source
    mass = joint.sum(0, keepdims=True)
    return np.divide(joint, mass, out=np.zeros_like(joint), where=mass > 0)


def resampled(
    measure: Callable[[np.ndarray, np.ndarray], float],
    source: np.ndarray,
    labels: np.ndarray,
    of: str,
    groups: np.ndarray | None = None,
    resamples: int = 100,
    seed: int = 0,
) -> Estimate:
    """A measure with its bootstrap interval: value ± 1.96 bootstrap deviations (repeats in a draw shift LEEP upwards).

    Args:
        measure: of rows of `source` and their labels.
        source: shape (n, Z).
        labels: shape (n,).
        of: words for the result.
        groups: what is drawn together, shape (n,); None: images.
        resamples: number of draws.
        seed: of the draws.
    """
    draws = (np.repeat(np.arange(len(labels)), times) for times in _draws(len(labels), groups, seed, resamples))
    drawn = [measure(source[rows], labels[rows]) for rows in draws]
    return _normal(measure(source, labels), drawn, len(labels), of)


def logme(features: np.ndarray, labels: np.ndarray) -> float:
    """Logarithm of maximum evidence (You et al. 2021, arXiv 2102.11005), mean over classes and images.

    For each class the evidence of a Bayesian linear model of its 0/1 target, maximised over the precisions of weights
    and noise by the fixed point of the paper's algorithm 1; one eigendecomposition of the smaller Gram matrix serves
    all classes. Higher is better.

    Args:
        features: shape (n, D), as they are (no standardising, no intercept, as published).
        labels: shape (n,).

    Returns:
        Log evidence an image in nats.
    """
    from scipy.linalg import eigh

    check_features(features)
    _, codes = np.unique(labels, return_inverse=True)
    targets = np.eye(codes.max() + 1)[codes]
    F = features.astype(np.float64)
    tall = len(F) > F.shape[1]
    spectrum, vectors = eigh(F.T @ F if tall else F @ F.T)
    kept = spectrum > spectrum[-1] * 1e-10
    spectrum, vectors = spectrum[kept], vectors[:, kept]
    left = F @ vectors / np.sqrt(spectrum) if tall else vectors
    z, total = (left.T @ targets) ** 2, (targets**2).sum(0)
    evidences = [_evidence(spectrum, z[:, k], total[k], *F.shape) for k in range(targets.shape[1])]
    return float(np.mean(evidences))


def _evidence(spectrum: np.ndarray, z: np.ndarray, total: float, n: int, width: int) -> float:
    """Maximum log evidence an image of one target: `z` its squared projections, `total` its squared norm."""
    alpha, beta = 1.0, 1.0
    for _ in range(200):
        ratio = alpha / beta
        effective = (spectrum / (spectrum + ratio)).sum()
        weights = (spectrum * z / (spectrum + ratio) ** 2).sum()
        residual = (z * (ratio / (spectrum + ratio)) ** 2).sum() + max(total - z.sum(), 0)
        alpha, beta = effective / max(weights, 1e-12), (n - effective) / max(residual, 1e-12)
        if abs(alpha / beta - ratio) <= 1e-6 * ratio:
            break
    ratio = alpha / beta
    weights = (spectrum * z / (spectrum + ratio) ** 2).sum()
    residual = (z * (ratio / (spectrum + ratio)) ** 2).sum() + max(total - z.sum(), 0)
    determinant = np.log(alpha + beta * spectrum).sum() + (width - len(spectrum)) * np.log(alpha)
    value = width * np.log(alpha) + n * np.log(beta) - determinant - beta * residual - alpha * weights
    return float((value - n * np.log(2 * np.pi)) / (2 * n))


def logme_estimate(
    features: np.ndarray, labels: np.ndarray, groups: np.ndarray | None = None, resamples: int = 20, seed: int = 0
) -> Estimate:
    """LogME with its interval: value ± 1.96 deviations over random halves of the images (or lots).

    Repeats in a bootstrap would feign evidence (a repeated image is explained by itself); halves drawn without them
    vary as much as whole samples do (Politis and Romano 1994). Few draws, since each needs its own spectrum.
    """
    member = np.arange(len(labels)) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    rng, kinds = np.random.default_rng(seed), int(member.max()) + 1
    halves = [np.isin(member, rng.permutation(kinds)[: max(1, kinds // 2)]) for _ in range(resamples)]
    with few_threads(features.size):
        drawn = [logme(features[half], labels[half]) for half in halves]
    return _normal(logme(features, labels), drawn, len(labels), "LogME (nats)")


def nearest_neighbours(features: np.ndarray, labels: np.ndarray, k: int = 1) -> np.ndarray:
    """Leave-one-out prediction by the k nearest other images, Euclidean on features scaled to unit length.

    Args:
        features: shape (n, D).
        labels: integers, shape (n,).
        k: neighbours; with fewer other images, all of them. In a tied vote the smallest label wins.

    Returns:
        Predicted labels, shape (n,).

    Raises:
        LabError: fewer than two images.
    """
    if len(features) < 2:
        raise LabError("Neighbours need at least two images: give more train images.")
    check_features(features)
    unit = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
    k = min(k, len(unit) - 1)
    kinds, codes = np.unique(labels, return_inverse=True)
    votes = np.zeros((len(unit), len(kinds)), int)
    for start in range(0, len(unit), 2048):
        part = np.arange(start, min(start + 2048, len(unit)))
        distances = squared_distances(unit[part], unit)
        distances[np.arange(len(part)), part] = np.inf
        near = np.argpartition(distances, k - 1, axis=1)[:, :k]
        np.add.at(votes, (part[:, None], codes[near]), 1)
    return kinds[votes.argmax(1)]


def neighbour_estimate(
    features: np.ndarray, labels: np.ndarray, k: int = 1, groups: np.ndarray | None = None
) -> Accuracy:
    """Leave-one-out accuracy of the k nearest neighbours, lots (n,) drawn (neighbours fixed)."""
    return Accuracy.from_hits(nearest_neighbours(features, labels, k) == labels, f"{k}-NN leave-one-out", groups)


# ---- comparison of measures and of classes ---------------------------------------------------------------------------
def rank_agreement(
    measure: Mapping[str, Estimate | Accuracy], probes: Mapping[str, Accuracy], seed: int = 0, resamples: int = 2000
) -> Estimate | str:
    """Kendall's rank correlation of a measure with the probe over networks, or a sentence where there are too few.

    Args:
        measure: network -> estimate.
        probes: network -> accuracy of the probe; the same networks.
        seed: of the parametric bootstrap (normal draws within both intervals).
        resamples: number of draws.

    Returns:
        The correlation in [-1, 1] with its interval, n the number of networks.
    """
    from scipy.stats import kendalltau

    names = list(measure)
    if len(names) < ENOUGH_NETWORKS:
        return (
            f"With {len(names)} network{'s' * (len(names) != 1)} a rank agreement would be chance "
            f"(at least {ENOUGH_NETWORKS} are needed), so none is given."
        )
    rng = np.random.default_rng(seed)
    first = np.array([(measure[name].value, (measure[name].high - measure[name].low) / 3.92) for name in names])
    second = np.array([(probes[name].value, (probes[name].high - probes[name].low) / 3.92) for name in names])
    draws = [kendalltau(rng.normal(*first.T), rng.normal(*second.T)).statistic for _ in range(resamples)]
    low, high = np.nanquantile(draws, [0.025, 0.975])
    tau = kendalltau(first[:, 0], second[:, 0]).statistic
    return Estimate(float(tau), float(low), float(high), len(names), "Kendall's tau", digits=2)


def stand_ins(
    source: np.ndarray,
    labels: np.ndarray,
    classes: Sequence[str],
    source_names: Sequence[str],
    groups: np.ndarray | None = None,
) -> pd.DataFrame:
    """Which ImageNet class stands for which medium: for each medium the source class that speaks most for it.

    Among the source classes that carry at least half an image of the medium (so that rare ones can't win by accident),
    the one with the highest P(medium | source class); where there is none, the one that carries most of the medium.

    Args:
        source: probabilities of the source classes, shape (n, Z).
        labels: shape (n,), positions in `classes`.
        classes: names of the mediums.
        source_names: Z names.
        groups: lot of each image, shape (n,); None: images are drawn.

    Returns:
        One row a medium that occurs: medium, ImageNet class, P(medium | ImageNet class) as an `Estimate` (n: effective
        number of images that carry it, (sum p)² / sum p²), and the share of the medium's probability that it carries.
    """
    present, codes = np.unique(labels, return_inverse=True)
    joint = np.eye(len(present))[codes].T @ source
    conditional = _conditional(source, codes)
    best = np.where(joint >= 0.5, conditional, -1).argmax(1)
    best = np.where((joint >= 0.5).any(1), best, joint.argmax(1))
    rows = []
    for code, z in enumerate(best):
        chance = _ratio_estimate(source[:, z], codes == code, groups)
        share = joint[code, z] / joint[code].sum()
        rows.append((classes[present[code]], source_names[z], chance, share))
    return pd.DataFrame(rows, columns=["medium", "ImageNet class", "P(medium | class)", "share of the medium"])


def conditional_table(
    source: np.ndarray, labels: np.ndarray, classes: Sequence[str], source_names: Sequence[str], columns: int = 20
) -> pd.DataFrame:
    """P(medium | ImageNet class) of the `columns` source classes that carry most probability over all images, in %.

    Returns:
        Mediums that occur in rows, ImageNet classes in columns (the heaviest first); columns sum to 100.
    """
    present, codes = np.unique(labels, return_inverse=True)
    chosen = np.argsort(-source.sum(0), kind="stable")[:columns]
    values = 100 * _conditional(source, codes)[:, chosen]
    return pd.DataFrame(values, [classes[code] for code in present], [source_names[z] for z in chosen])


def _ratio_estimate(mass: np.ndarray, member: np.ndarray, groups: np.ndarray | None) -> Estimate:
    """Share of a mass (n,) that lies on members (n,): Wilson's interval, n the images that carry it (Kish 1965)."""
    carried, whole = max(1.0, float(mass.sum() ** 2 / max((mass**2).sum(), 1e-300))), max(float(mass.sum()), 1e-300)
    value = float(np.clip(mass[member].sum() / whole, 0, 1))
    residuals, _ = sums_by_lot(mass * (member - value), groups)
    spread, lots = float(residuals @ residuals) / whole**2, effective_number(sums_by_lot(mass, groups)[0] + 1e-300)
    trials = float(np.clip(value * (1 - value) / spread, 1, carried)) if spread > 0 else max(1.0, min(lots, carried))
    low, high = wilson_interval(value * trials, trials, quantile(lots))
    return Estimate(value, low, high, round(carried), "P(medium | ImageNet class)", 100, " %", 0)


def _draws(n: int, groups: np.ndarray | None, seed: int, resamples: int) -> np.ndarray:
    """How often each image is drawn in each bootstrap sample, by image or by whole groups: shape (resamples, n)."""
    member = np.arange(n) if groups is None else np.unique(np.asarray(groups).astype(str), return_inverse=True)[1]
    size = int(member.max()) + 1
    return np.random.default_rng(seed).multinomial(size, np.full(size, 1 / size), resamples)[:, member]


def _normal(value: float, drawn: Sequence[float], n: int, of: str) -> Estimate:
    half = 1.96 * float(np.std(drawn, ddof=1)) if len(drawn) > 1 else np.nan
    return Estimate(value, value - half, value + half, n, of, digits=2)
