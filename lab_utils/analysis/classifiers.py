"""The classifiers of chapters 05, 12 and 15: the original's four, and the same made for full features at full size."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, clone

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

FEW = 64  # leading components that the boosting reads on full features: its time grows with every one


class Ridge(ClassifierMixin, BaseEstimator):
    """Linear probe: least squares on ±1 targets, its penalty chosen by exact leave-one-out on the rows fitted on.

    One eigendecomposition of the smaller Gram matrix gives all penalties and all leave-one-out residuals in closed
    form (Golub, Heath and Wahba 1979), so no fold and no val image is spent on the choice. Rows should be
    standardised. Equals scikit-learn's `RidgeClassifierCV`, in float32 and without its singular value decomposition.
    """

    def __init__(self, alphas: Sequence[float] = (1e0, 1e1, 1e2, 1e3, 1e4, 1e5)):
        self.alphas = alphas

    def fit(self, X: np.ndarray, y: np.ndarray) -> "Ridge":
        """Fit on X (n, D) and integer or text labels y (n,)."""
        X = np.asarray(X, np.float32)
        self.classes_, codes = np.unique(y, return_inverse=True)
        targets = 2 * np.eye(len(self.classes_), dtype=np.float32)[codes] - 1
        self.mean_, middle = X.mean(0), targets.mean(0)
        X, targets = X - self.mean_, targets - middle
        basis, spectrum = _left_basis(X)
        projected = basis.T @ targets
        best = (np.inf, 0.0, targets)
        for alpha in self.alphas:
            shrink = spectrum / (spectrum + alpha)
            residual = targets - basis @ (shrink[:, None] * projected)
            leverage = (basis**2) @ shrink + 1 / len(X)
            error = float(((residual / np.maximum(1 - leverage, 1e-6)[:, None]) ** 2).mean())
            best = min(best, (error, alpha, residual), key=lambda item: item[0])
        _, self.alpha_, residual = best
        self.coef_, self.intercept_ = X.T @ residual / self.alpha_, middle
        return self

    def decision_function(self, X: np.ndarray) -> np.ndarray:
        """Scores, shape (m, K)."""
        return (X - self.mean_) @ self.coef_ + self.intercept_

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Labels, shape (m,)."""
        return self.classes_[self.decision_function(X).argmax(1)]


def _left_basis(X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Left singular vectors (n, r) and squared singular values (r,) of X, by the smaller Gram matrix."""
    from scipy.linalg import eigh

    tall = len(X) > X.shape[1]
    gram = X.T @ X if tall else X @ X.T
    spectrum, vectors = eigh(gram, check_finite=False, overwrite_a=True, driver="evd")  # in float32 faster and closer
    kept = spectrum > spectrum[-1] * 1e-6
    spectrum, vectors = spectrum[kept], vectors[:, kept]
    return (X @ vectors / np.sqrt(spectrum) if tall else vectors), spectrum


class LinearSVM(ClassifierMixin, BaseEstimator):
    """The objective of scikit-learn's `LinearSVC` (squared hinge, one against rest, C = 1), all classes at once.

    Two matrix products an iteration of L-BFGS instead of coordinate descent class by class: the same minimum (penalised
    intercept included), reached to `tolerance` relative decrease in float32. Traded: the last digits of the weights.
    """

    def __init__(self, C: float = 1.0, iterations: int = 300, tolerance: float = 1e-5):
        self.C, self.iterations, self.tolerance = C, iterations, tolerance

    def fit(self, X: np.ndarray, y: np.ndarray) -> "LinearSVM":
        """Fit on X (n, D) and labels y (n,)."""
        from scipy.optimize import minimize

        self.classes_, codes = np.unique(y, return_inverse=True)
        signs = 2 * np.eye(len(self.classes_), dtype=np.float32)[codes] - 1
        X = np.asarray(X, np.float32)
        shape = (X.shape[1] + 1, len(self.classes_))

        def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
            weights = flat.reshape(shape).astype(np.float32)
            slack = np.maximum(0, 1 - signs * (X @ weights[:-1] + weights[-1]))
            pull = -2 * self.C * signs * slack
            gradient = weights + np.vstack([X.T @ pull, pull.sum(0)])
            loss = 0.5 * np.sum(weights**2, dtype=float) + self.C * np.sum(slack**2, dtype=float)
            return loss, gradient.astype(float).ravel()

        options = {"maxiter": self.iterations, "ftol": self.tolerance, "gtol": 1e-4, "maxcor": 8}
        minimum = minimize(objective, np.zeros(np.prod(shape)), jac=True, method="L-BFGS-B", options=options)
        self.weights_, self.converged_ = minimum.x.reshape(shape).astype(np.float32), bool(minimum.success)
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Labels, shape (m,)."""
        return self.classes_[(X @ self.weights_[:-1] + self.weights_[-1]).argmax(1)]


class RBFSVM(ClassifierMixin, BaseEstimator):
    """scikit-learn's `SVC` with its default kernel, predicting by matrix products: the same votes, many times faster.

    `gamma` may be given, so that the kernel on leading principal components is the one of the full features.
    """

    def __init__(self, C: float = 1.0, gamma: float | str = "scale"):
        self.C, self.gamma = C, gamma

    def fit(self, X: np.ndarray, y: np.ndarray) -> "RBFSVM":
        """Fit on X (n, D) and labels y (n,)."""
        from sklearn.svm import SVC

        self.gamma_ = 1 / (X.shape[1] * max(float(X.var()), 1e-30)) if self.gamma == "scale" else self.gamma
        self.svc_ = SVC(C=self.C, gamma=self.gamma_, cache_size=1000).fit(X, y)
        self.classes_ = self.svc_.classes_
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Labels, shape (m,): most votes among the pairs of classes, the first class in a tie (as in libsvm)."""
        return self.classes_[np.concatenate([self._votes(part) for part in _pieces(X)]).argmax(1)]

    def _votes(self, X: np.ndarray) -> np.ndarray:
        svc, kinds = self.svc_, len(self.classes_)
        sign = 1 if kinds > 2 else -1  # scikit-learn turns the two-class decision round
        kernel = np.exp(-self.gamma_ * squared_distances(X, svc.support_vectors_))
        parts = np.split(np.arange(len(svc.support_)), np.cumsum(svc.n_support_)[:-1])
        scores = [kernel[:, part] @ svc.dual_coef_[:, part].T for part in parts]
        votes = np.zeros((len(X), kinds), int)
        for pair, (i, j) in enumerate(combinations(range(kinds), 2)):
            decision = sign * (scores[i][:, j - 1] + scores[j][:, i] + svc.intercept_[pair])
            votes[np.arange(len(X)), np.where(decision > 0, i, j)] += 1
        return votes


def few_threads(size: int) -> AbstractContextManager:
    """One thread for tables of fewer than forty million values, all of them for larger ones.

    On small tables the threads' waiting for each other costs more than the sums (on a busy machine 100 times more).
    It holds from the call on, and as a context manager until the end of the block.
    """
    from threadpoolctl import threadpool_limits

    return threadpool_limits(1) if size < 40_000_000 else nullcontext()


def squared_distances(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Squared Euclidean distances, shape (n, m), by one matrix product."""
    cross = first @ second.T
    return np.maximum((first**2).sum(1)[:, None] - 2 * cross + (second**2).sum(1), 0)


def _pieces(X: np.ndarray, size: int = 2048) -> Iterator[np.ndarray]:
    return (X[start : start + size] for start in range(0, len(X), size))


def boosting(rounds: int = 100, seed: int = 0) -> tuple[str, Any]:
    """XGBoost with its default settings, or where it can't load scikit-learn's, under its own name.

    Returns:
        Name and estimator.
    """
    try:
        from xgboost import XGBClassifier
    except Exception:  # not installed, or (XGBoostError, a ValueError) its OpenMP library is missing
        from sklearn.ensemble import HistGradientBoostingClassifier

        return "Histogram boosting", HistGradientBoostingClassifier(max_iter=rounds, random_state=seed)
    return "XGBoost", XGBClassifier(n_estimators=rounds, random_state=seed)


def original_classifiers(rounds: int = 100, trees: int = 100, seed: int = 0) -> dict[str, BaseEstimator]:
    """The original's four voters, default settings (`rounds` and `trees` of 100 are the libraries' defaults)."""
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.svm import SVC, LinearSVC

    name, boosted = boosting(rounds, seed)
    return {
        name: boosted,
        "Linear SVM": LinearSVC(random_state=seed),
        "Random forest": RandomForestClassifier(trees, random_state=seed, n_jobs=-1),
        "RBF SVM": SVC(),
    }


def full_classifiers(
    width: int, components: int = 256, rounds: int = 100, trees: int = 100, seed: int = 0
) -> dict[str, "Pipeline"]:
    """The same voters for full features, made for speed, and the linear probe (which does not vote), as in chapter 05.

    Traded against the plain four: the linear SVM is solved by L-BFGS (same objective); RBF SVM and forest read the
    leading principal components instead of all columns, the boosting the first of them; the RBF SVM has the gamma that
    `SVC` would take on all `width` columns. `benchmarks/classification.py` measures what that costs.

    Args:
        width: number of columns.
        components: principal components that are kept; fewer than the images that are fitted on.
        rounds: of boosting.
        trees: of the forest.
        seed: of boosting, forest and components.
    """
    from sklearn.decomposition import PCA
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    def on_components(kept: int, classifier: BaseEstimator) -> "Pipeline":
        return make_pipeline(StandardScaler(), PCA(kept, random_state=seed), classifier)

    name, boosted = boosting(rounds, seed)
    return {
        name: on_components(min(FEW, components), boosted),
        "Linear SVM": make_pipeline(StandardScaler(), LinearSVM()),
        "Random forest": on_components(components, RandomForestClassifier(trees, random_state=seed, n_jobs=-1)),
        "RBF SVM": on_components(components, RBFSVM(gamma=1 / width)),
        "Ridge": make_pipeline(StandardScaler(), Ridge()),
    }


@dataclass(frozen=True)
class Fitted:
    """A classifier fitted on labels of any kind.

    Attributes:
        estimator: as scikit-learn fits it, on the positions of the labels in `kinds` (boosting takes no others).
        kinds: the labels that were seen, ascending; one alone is answered without a fit.
    """

    estimator: Any
    kinds: np.ndarray

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Labels of X (m, D), shape (m,)."""
        if len(self.kinds) == 1 or not len(X):
            return np.full(len(X), self.kinds[0])
        return self.kinds[self.estimator.predict(X)]


def fit(estimator: Any, X: np.ndarray, y: np.ndarray) -> Fitted:
    """Fit a copy of an estimator on X (n, D) and labels y (n,)."""
    kinds, codes = np.unique(y, return_inverse=True)
    copy = clone(estimator)
    if len(kinds) > 1:
        with warnings.catch_warnings(), few_threads(X.size):
            warnings.filterwarnings("ignore", message="Liblinear failed to converge")
            copy.fit(X, codes)
    return Fitted(copy, kinds)
