"""Classifiers for small data sets: heads on frozen features, compared by repeated nested cross-validation.

With fewer images than features, every head here depends on the standardised features only through their inner products.
So a fold computes those of each block once, and all candidates are fitted on the principal coordinates of their sums.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from lab_utils.core.errors import LabError
from lab_utils.stats.intervals import Accuracy, Difference, bootstrap_means
from lab_utils.training import features as network_features

AVERAGES = " averages"  # ends the name of a block that is read as a full-network embedding, made on each fold's train
STRENGTHS = (0.03, 0.1, 0.3)  # ridge penalties, relative to the squared norm of a sample


@dataclass(frozen=True)
class Candidate:
    """One way to classify: feature blocks joined side by side after standardisation, and a head.

    Attributes:
        blocks: names of feature blocks, each standardised and brought to the same length.
        head: `ridge`, `svm` (linear), `kernel` (RBF) or `centroid` (nearest, cosine).
        strength: ridge penalty relative to the squared norm of a sample, or the SVM's C.
        title: what the blocks are, in words; empty: their names.
    """

    blocks: tuple[str, ...]
    head: str = "ridge"
    strength: float = 0.1
    title: str = ""

    def __str__(self) -> str:
        return f"{self.title or ' + '.join(self.blocks)}, {self.head} ({self.strength:g})"


@dataclass
class Standardised:
    """Block-wise standardisation of joined features, fitted on train: constant columns become zero.

    Each sample's part of each block is then brought to the same length, so that no block outweighs another one and no
    odd image its neighbours; a sample has a squared norm of 1.

    Attributes:
        mean: shape (D,).
        scale: inverse standard deviation by which centred columns are multiplied, shape (D,).
        widths: columns of each block; they add up to D.
    """

    mean: np.ndarray
    scale: np.ndarray
    widths: tuple[int, ...]

    @classmethod
    def fit(cls, blocks: Sequence[np.ndarray]) -> "Standardised":
        """Fit on train features, one array (n, d) a block."""
        mean = np.concatenate([block.mean(0) for block in blocks])
        deviation = np.concatenate([np.sqrt(np.square(block - block.mean(0)).mean(0)) for block in blocks])
        constant = deviation <= 1e-6 * np.abs(mean) + 1e-12
        scale = np.where(constant, 0, 1 / np.where(constant, 1, deviation))
        return cls(mean.astype(np.float32), scale.astype(np.float32), tuple(block.shape[1] for block in blocks))

    def __call__(self, blocks: Sequence[np.ndarray]) -> np.ndarray:
        """Standardise blocks (n, d), bring each to length 1 / sqrt(blocks) and join them; shape (n, D)."""
        X = (np.concatenate(blocks, axis=1) - self.mean) * self.scale
        parts = np.split(X, np.cumsum(self.widths)[:-1], axis=1)
        lengths = [np.maximum(np.linalg.norm(part, axis=1, keepdims=True), 1e-12) for part in parts]
        return np.concatenate([part / length for part, length in zip(parts, lengths, strict=True)], 1) / np.sqrt(
            len(parts), dtype=np.float32
        )


def coordinates(products: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Principal coordinates with the given inner products: all that a linear or kernel head sees of the features.

    Args:
        products: inner products of the train samples, shape (n, n).
        others: those of other samples with the train samples, shape (m, n).

    Returns:
        Coordinates of train (n, r) and of the others (m, r) within the span of train, float32, r <= n.
    """
    values, vectors = np.linalg.eigh(products.astype(np.float64))
    kept = values > values.max() * 1e-7
    axes = vectors[:, kept] / np.sqrt(values[kept])
    return (products @ axes).astype(np.float32), (others @ axes).astype(np.float32)


def make_head(head: str, strength: float):
    """An unfitted scikit-learn classifier with `decision_function`.

    Raises:
        LabError: unknown head.
    """
    from sklearn.linear_model import RidgeClassifier
    from sklearn.svm import SVC, LinearSVC

    if head == "ridge":
        return RidgeClassifier(alpha=strength)
    if head == "svm":
        return LinearSVC(C=strength, max_iter=5000, random_state=0)
    if head == "kernel":
        return SVC(C=strength, gamma="scale", decision_function_shape="ovr")
    if head == "centroid":
        return Centroids()
    raise LabError(f"There is no head {head!r}; the heads are ridge, svm, kernel, centroid.")


class Centroids:
    """Nearest class mean by cosine similarity, with scikit-learn's fit and decision_function."""

    def fit(self, X: np.ndarray, y: np.ndarray) -> "Centroids":
        """Fit on `X` (n, D) with labels (n,)."""
        self.classes_ = np.unique(y)
        means = np.stack([X[y == one].mean(0) for one in self.classes_])
        self.means = means / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)
        return self

    def decision_function(self, X: np.ndarray) -> np.ndarray:
        """Cosine similarity to each class mean, shape (n, classes)."""
        return X @ self.means.T / np.maximum(np.linalg.norm(X, axis=1, keepdims=True), 1e-12)


class Fold:
    """Train and test rows of one fold; inner products of a block are made once and shared by all candidates."""

    def __init__(self, features: Mapping[str, np.ndarray], labels: np.ndarray, train: np.ndarray, test: np.ndarray):
        """Keep what the fold is of: blocks (n, d) by name, labels (n,), positions of train and test."""
        self.features, self.labels, self.train, self.test = features, labels, train, test
        self._products: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        self._coordinates: dict[tuple[str, ...], tuple[np.ndarray, np.ndarray]] = {}

    def products(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Inner products of one standardised block: of train (n, n), and of test with train (m, n)."""
        if name not in self._products:
            block = self.features[name]
            if name.endswith(AVERAGES):
                block = network_features.full_network_embedding(block, self.train).astype(np.float32)
            standardise = Standardised.fit([block[self.train]])
            X = standardise([block[self.train]])
            self._products[name] = X @ X.T, standardise([block[self.test]]) @ X.T
        return self._products[name]

    def coordinates(self, blocks: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
        """Coordinates of train and test in joined blocks, each block with the same weight."""
        if blocks not in self._coordinates:
            sums = [sum(parts) / len(blocks) for parts in zip(*map(self.products, blocks), strict=True)]
            self._coordinates[blocks] = coordinates(*sums)
        return self._coordinates[blocks]

    def scores(self, tried: Candidate) -> np.ndarray:
        """Fit a candidate on train and score test; shape (m, classes of train)."""
        X, others = self.coordinates(tried.blocks)
        scores = make_head(tried.head, tried.strength).fit(X, self.labels[self.train]).decision_function(others)
        return two_columns(scores)

    def predicted(self, tried: Candidate) -> np.ndarray:
        """Labels that a candidate gives to test, shape (m,)."""
        return self.voted([tried])

    def voted(self, several: Sequence[Candidate]) -> np.ndarray:
        """Labels of test by the mean of the candidates' scores, each brought to the same spread; shape (m,)."""
        scores = [self.scores(tried) for tried in several]
        mean = np.mean([(one - one.mean()) / max(one.std(), 1e-12) for one in scores], axis=0)
        return np.unique(self.labels[self.train])[mean.argmax(1)]


def two_columns(scores: np.ndarray) -> np.ndarray:
    """Scores with one column a class, (n, C): scikit-learn gives a single one, shape (n,), for two classes."""
    return scores if scores.ndim == 2 else np.stack([-scores, scores], axis=1)


def cross_scores(
    features: Mapping[str, np.ndarray], labels: np.ndarray, tried: Candidate, folds: int, seed: int = 0
) -> np.ndarray:
    """Out-of-fold scores of a candidate in stratified, shuffled folds; shape (n, classes)."""
    scores = np.empty((len(labels), len(np.unique(labels))), np.float32)
    for train, test in stratified(labels, folds, seed):
        scores[test] = Fold(features, labels, train, test).scores(tried)
    return scores


def stratified(labels: np.ndarray, folds: int, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Stratified shuffled folds as (train, test) positions.

    Raises:
        LabError: a class has fewer images than folds.
    """
    from sklearn.model_selection import StratifiedKFold

    names, counts = np.unique(labels, return_counts=True)
    if counts.min() < folds:
        few = ", ".join(str(name) for name in names[counts < folds])
        raise LabError(f"Classes {few} have fewer than {folds} images: add images or lower the folds.")
    splitter = StratifiedKFold(folds, shuffle=True, random_state=seed)
    return list(splitter.split(np.zeros(len(labels)), labels))


@dataclass
class NestedResult:
    """Repeated nested cross-validation: each repeat predicts every image once.

    Attributes:
        chosen: what the inner folds chose in each repeat and outer fold.
        right: whether the chosen candidates were right, shape (repeats, n).
        right_plain: the same for the plain probe in the same outer folds, shape (repeats, n).
        times_chosen: how often each candidate was chosen.
    """

    right: np.ndarray
    right_plain: np.ndarray
    chosen: list[str] = field(default_factory=list)

    @property
    def times_chosen(self) -> dict[str, int]:
        """How often each candidate was chosen, most often first."""
        names, counts = np.unique(self.chosen, return_counts=True)
        return {str(names[k]): int(counts[k]) for k in np.argsort(-counts)}

    def accuracy(self, plain: bool = False) -> Accuracy:
        """Accuracy of one repeat's size: mean over repeats, with the n of the images (not of the repeats)."""
        right = self.right_plain if plain else self.right
        n = right.shape[1]
        return Accuracy(round(right.mean() * n), n, "plain probe" if plain else "chosen by inner folds")

    @property
    def gains_by_repeat(self) -> np.ndarray:
        """Chosen minus plain accuracy in each repeat, shape (repeats,)."""
        return (self.right.astype(float) - self.right_plain).mean(1)

    def gain(self, seed: int = 0) -> Difference:
        """Chosen minus plain in the same outer folds, paired by image: bootstrap over images of their mean gains."""
        gains = (self.right.astype(float) - self.right_plain).mean(0)
        low, high = np.quantile(bootstrap_means(gains, seed=seed), [0.025, 0.975])
        return Difference(float(gains.mean()), float(low), float(high), len(gains), "chosen minus plain probe")


def nested_cross_validation(
    features: Mapping[str, np.ndarray],
    labels: np.ndarray,
    candidates: Sequence[Candidate],
    plain: Candidate,
    outer: int = 3,
    inner: int = 2,
    repeats: int = 3,
    seed: int = 0,
    inner_repeats: int = 1,
    together: int = 1,
) -> NestedResult:
    """Choose candidates by inner folds of each outer train part, and test them and the plain probe on the outer rest.

    Args:
        features: blocks by name, each (n, d).
        labels: integer classes, shape (n,).
        candidates: what may be chosen.
        plain: the probe to compare with.
        outer: outer folds.
        inner: inner folds.
        repeats: how often all is repeated with other folds.
        seed: of the folds.
        inner_repeats: how often the inner folds are drawn anew for one choice.
        together: how many of the best are chosen; their scores are averaged.

    Returns:
        Hits by repeat and image.

    Raises:
        LabError: a class has fewer images than the folds need.
    """
    result = NestedResult(np.zeros((repeats, len(labels)), bool), np.zeros((repeats, len(labels)), bool))
    for repeat in range(repeats):
        for train, test in stratified(labels, outer, seed + repeat):
            inside = {name: block[train] for name, block in features.items()}
            best = ranked(inside, labels[train], candidates, inner, seed + repeat, inner_repeats)[:together]
            fold = Fold(features, labels, train, test)
            result.right[repeat, test] = fold.voted(best) == labels[test]
            result.right_plain[repeat, test] = fold.predicted(plain) == labels[test]
            result.chosen += [str(one) for one in best]
    return result


def ranked(
    features: Mapping[str, np.ndarray],
    labels: np.ndarray,
    candidates: Sequence[Candidate],
    folds: int,
    seed: int,
    repeats: int = 1,
) -> list[Candidate]:
    """Candidates by their hits in (repeated) stratified folds, the most first; as listed among equals."""
    hits = np.zeros(len(candidates), int)
    for repeat in range(repeats):
        for train, test in stratified(labels, folds, seed + 1000 * repeat):
            fold = Fold(features, labels, train, test)
            hits += [int((fold.predicted(tried) == labels[test]).sum()) for tried in candidates]
    return [candidates[k] for k in np.argsort(-hits, kind="stable")]
