"""Classifiers for small data sets: heads on frozen features, compared by repeated nested cross-validation.

With fewer images than features, every head here depends on the standardised features only through their inner products.
So each fold is rotated once onto its at most n - 1 principal axes, without loss, and all heads are fitted there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from lab_utils.errors import LabError
from lab_utils.quantities import Accuracy, Difference, bootstrap_means

ALPHAS = (0.01, 0.1, 1.0)  # ridge penalties, as a share of the number of features


@dataclass(frozen=True)
class Candidate:
    """One way to classify: feature blocks joined side by side after standardisation, and a head.

    Attributes:
        blocks: names of feature blocks, each standardised and divided by the square root of its width.
        head: `ridge`, `svm` (linear), `kernel` (RBF) or `centroid` (nearest, cosine).
        strength: ridge penalty relative to the mean squared norm of a sample, or the SVM's C.
    """

    blocks: tuple[str, ...]
    head: str = "ridge"
    strength: float = 0.1

    def __str__(self) -> str:
        return f"{' + '.join(self.blocks)}, {self.head} ({self.strength:g})"


@dataclass
class Standardised:
    """Block-wise standardisation of joined features, fitted on train: constant columns become zero.

    Attributes:
        mean: shape (D,).
        scale: factor by which centred columns are multiplied, shape (D,).
    """

    mean: np.ndarray
    scale: np.ndarray

    @classmethod
    def fit(cls, blocks: Sequence[np.ndarray]) -> "Standardised":
        """Fit on train features, one array (n, d) a block; every block gets the same total weight."""
        means, scales = [], []
        for block in blocks:
            deviation = block.std(0, dtype=np.float64)
            weight = np.sqrt(block.shape[1])
            inverse = np.divide(1.0, deviation * weight, out=np.zeros_like(deviation), where=deviation > 1e-9)
            means.append(block.mean(0, dtype=np.float64))
            scales.append(inverse)
        return cls(np.concatenate(means).astype(np.float32), np.concatenate(scales).astype(np.float32))

    def __call__(self, blocks: Sequence[np.ndarray]) -> np.ndarray:
        """Standardise and join blocks (n, d); shape (n, D)."""
        return (np.concatenate(blocks, axis=1) - self.mean) * self.scale


def rotation(X: np.ndarray) -> np.ndarray:
    """Axes that span the rows of `X` (n, D), shape (D, r) with r <= n: `X @ axes` keeps all inner products."""
    values, vectors = np.linalg.eigh((X @ X.T).astype(np.float64))
    kept = values > values.max() * 1e-7
    return (X.T @ (vectors[:, kept] / np.sqrt(values[kept]))).astype(np.float32)


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


def fold_scores(
    features: Mapping[str, np.ndarray], labels: np.ndarray, train: np.ndarray, test: np.ndarray, tried: Candidate
) -> np.ndarray:
    """Fit a candidate on `train` rows and score `test` rows; shape (n_test, classes of train)."""
    chosen = [features[name] for name in tried.blocks]
    standardise = Standardised.fit([block[train] for block in chosen])
    X = standardise([block[train] for block in chosen])
    axes = rotation(X)
    model = make_head(tried.head, tried.strength).fit(X @ axes, labels[train])
    scores = model.decision_function(standardise([block[test] for block in chosen]) @ axes)
    return scores if scores.ndim == 2 else np.stack([-scores, scores], axis=1)


def cross_predict(
    features: Mapping[str, np.ndarray], labels: np.ndarray, tried: Candidate, folds: int, seed: int
) -> np.ndarray:
    """Out-of-fold predicted labels of a candidate in stratified, shuffled folds; shape (n,)."""
    predicted = np.empty_like(labels)
    for train, test in stratified(labels, folds, seed):
        classes = np.unique(labels[train])
        predicted[test] = classes[fold_scores(features, labels, train, test, tried).argmax(1)]
    return predicted


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
        chosen: what the inner folds chose, one a repeat and outer fold.
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
) -> NestedResult:
    """Choose a candidate by inner folds of each outer train part, and test it and the plain probe on the outer rest.

    Args:
        features: blocks by name, each (n, d).
        labels: integer classes, shape (n,).
        candidates: what may be chosen.
        plain: the probe to compare with.
        outer: outer folds.
        inner: inner folds.
        repeats: how often all is repeated with other folds.
        seed: of the folds.

    Returns:
        Hits by repeat and image.

    Raises:
        LabError: a class has fewer images than the folds need.
    """
    result = NestedResult(np.zeros((repeats, len(labels)), bool), np.zeros((repeats, len(labels)), bool))
    for repeat in range(repeats):
        for train, test in stratified(labels, outer, seed + repeat):
            inside = {name: block[train] for name, block in features.items()}
            best = choose(inside, labels[train], candidates, inner, seed + repeat)
            classes = np.unique(labels[train])
            for tried, hits in ((best, result.right), (plain, result.right_plain)):
                scores = fold_scores(features, labels, train, test, tried)
                hits[repeat, test] = classes[scores.argmax(1)] == labels[test]
            result.chosen.append(str(best))
    return result


def choose(
    features: Mapping[str, np.ndarray], labels: np.ndarray, candidates: Sequence[Candidate], folds: int, seed: int
) -> Candidate:
    """The candidate with the most hits in stratified folds; the first one listed among equals."""
    hits = [(cross_predict(features, labels, tried, folds, seed) == labels).sum() for tried in candidates]
    return candidates[int(np.argmax(hits))]
