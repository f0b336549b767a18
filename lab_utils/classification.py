"""Classifiers on extracted features: the original's protocol, the same done right, and what decides between them.

Arrays in, plain results out. Labels that must not be seen are `UNSEEN` in the label array, so no function here can
fit on them: `labels` holds the classes of train (and val where a search needs it), predictions come back for all rows.
"""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any, Literal

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin

from lab_utils.errors import LabError
from lab_utils.quantities import Accuracy, Estimate, bootstrap_estimate, bootstrap_means

UNSEEN = -1
VOTING = "Voting"
EXTERNAL = {"width": "Width", "height": "Height", "product": "Product size", "aspect": "Aspect ratio"}
Tables = Mapping[str, np.ndarray]  # view -> (N, D) table; classifiers name the view they read


# ---- tables ---------------------------------------------------------------------------------------------------------
def check_features(features: np.ndarray, rows: np.ndarray | None = None, name: str = "features") -> None:
    """Refuse features that no classifier can use.

    Args:
        features: shape (N, D).
        rows: positions that are fitted on, shape (n,); default all.
        name: of the features, for the sentence.

    Raises:
        LabError: not a table, no rows, values that are not finite, or nothing that varies over `rows`.
    """
    if features.ndim != 2 or not features.size:
        raise LabError(f"The {name} have shape {features.shape}: give one row an image and at least one column.")
    bad = ~np.isfinite(features).all(axis=1)
    if bad.any():
        raise LabError(
            f"The {name} hold values that are not finite in {bad.sum():,} of {len(bad):,} rows (first: row "
            f"{int(np.argmax(bad))}): look at that image, delete data/cache/features and extract again."
        )
    part = features if rows is None else features[rows]
    if not len(part) or (part == part[:1]).all():
        raise LabError(
            f"The {name} are the same in all {len(part):,} rows to fit on: nothing can be learned from them."
        )


def standardise(features: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Centre and scale columns by the mean and deviation of `rows`; constant columns become zero; float32 (N, D)."""
    part = features[rows]
    mean, deviation = part.mean(0, dtype=np.float64), part.std(0, dtype=np.float64)
    deviation[deviation < 1e-12 * np.maximum(1, np.abs(mean))] = np.inf
    return ((features - mean.astype(np.float32)) / deviation.astype(np.float32)).astype(np.float32)


def external_columns(images: pd.DataFrame) -> pd.DataFrame:
    """The original's columns from outside the picture: sizes, aspect ratio, one column a museum.

    Args:
        images: image table with width, height, product, aspect, museum; an unknown museum ("") gets a column of its
            own, and none is made where no museum is known.

    Returns:
        N rows of floats; columns named as in the original (`Museum_...`).
    """
    table = images[list(EXTERNAL)].rename(columns=EXTERNAL).astype(float).reset_index(drop=True)
    museum = images["museum"].fillna("").astype(str).reset_index(drop=True)
    if (museum == "").all():
        return table
    onehot = pd.get_dummies(museum.replace("", "unknown"), prefix="Museum").astype(float)
    return pd.concat([table, onehot], axis=1)


@dataclass(frozen=True)
class Reduction:
    """A way to make features fewer, fitted on given rows only.

    Attributes:
        method: `none`; `pca`; `umap` (labels unused); `supervised umap` (labels used, as in the original).
        dimensions: number of columns kept; more than the data allow means as many as they allow.
        seed: of the reduction.
        epochs: of UMAP's layout; None is its default (500 below 10,000 rows, else 200).
        first: components of a PCA run before UMAP, 0 for none (the original: none). At MAMe's size a UMAP transform is
            25 times faster after 100 components; its neighbours are then those of the leading components.
    """

    method: Literal["none", "pca", "umap", "supervised umap"] = "none"
    dimensions: int = 0
    seed: int = 0
    epochs: int | None = None
    first: int = 0

    def __str__(self) -> str:
        words = {"none": "all", "pca": "PCA", "umap": "UMAP", "supervised umap": "supervised UMAP"}[self.method]
        return f"{words}-{self.dimensions}" if self.method != "none" else words

    def apply(self, features: np.ndarray, labels: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Standardise and reduce, both fitted on `rows`.

        Args:
            features: shape (N, D).
            labels: shape (N,); only `labels[rows]` are looked at, and only by the supervised method.
            rows: positions to fit on, shape (n,).

        Returns:
            float32 table, shape (N, k).
        """
        check_features(features, rows)
        table = standardise(features, rows)
        if self.method == "none":
            return table
        if self.method == "pca":
            return pca(table, rows, self.dimensions, self.seed)
        return self._umap(pca(table, rows, self.first, self.seed) if self.first else table, labels, rows)

    def _umap(self, table: np.ndarray, labels: np.ndarray, rows: np.ndarray) -> np.ndarray:
        neighbours = min(15, len(rows) - 1)
        if neighbours < 2:
            raise LabError(f"UMAP needs at least 3 images to fit on, there are {len(rows)}: give more train images.")
        import umap

        mapper = umap.UMAP(
            n_components=self.dimensions,
            n_neighbors=neighbours,
            n_epochs=self.epochs,
            random_state=self.seed,
            init="spectral" if len(rows) > self.dimensions + 2 else "random",
        )
        known, out = labels[rows] if self.method == "supervised umap" else None, np.ones(len(table), bool)
        reduced = np.empty((len(table), self.dimensions), np.float32)
        out[rows] = False
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            reduced[rows] = mapper.fit_transform(table[rows], known)
            if out.any():
                reduced[out] = mapper.transform(table[out])
        return np.nan_to_num(reduced)


def pca(table: np.ndarray, rows: np.ndarray, components: int, seed: int = 0) -> np.ndarray:
    """Scores on the leading principal components of `rows`, float32 (N, min(components, n - 1, D)).

    Randomised beyond 500 components' worth of data (Halko et al. 2011): the leading subspace to far below the noise.
    """
    from sklearn.decomposition import PCA

    kept = max(1, min(components, len(rows) - 1, table.shape[1]))
    solver = "randomized" if kept < 0.3 * min(len(rows), table.shape[1]) else "full"
    return PCA(kept, svd_solver=solver, random_state=seed).fit(table[rows]).transform(table).astype(np.float32)


def original_table(
    features: np.ndarray, images: pd.DataFrame, labels: np.ndarray, rows: np.ndarray, reduction: Reduction
) -> pd.DataFrame:
    """The table that the original gave to its classifiers: external columns, `umap_0` ..., museum one-hot.

    Args:
        features: shape (N, D).
        images: image table, N rows.
        labels: shape (N,); those of `rows` are used by a supervised reduction.
        rows: positions of train, on *all* of which the reduction is fitted before any fold is made (as there).
        reduction: the original's is `Reduction("supervised umap", 8)`.

    Returns:
        N rows; sizes standardised.
    """
    external = external_columns(images)
    sizes = list(EXTERNAL.values())
    external[sizes] = standardise(external[sizes].to_numpy(), rows)
    reduced = reduction.apply(features, labels, rows)
    columns = pd.DataFrame(reduced, columns=[f"umap_{i}" for i in range(reduced.shape[1])])
    return pd.concat([external[sizes], columns, external.drop(columns=sizes)], axis=1)


# ---- folds ----------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Folds:
    """Positions to fit on and to score, fold by fold, with what had to be changed."""

    pairs: tuple[tuple[np.ndarray, np.ndarray], ...]
    note: str = ""

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        return iter(self.pairs)

    def __len__(self) -> int:
        return len(self.pairs)


def original_folds(labels: np.ndarray, rows: np.ndarray, folds: int = 5) -> Folds:
    """Folds as in the original: stratified by class, *not* shuffled, in the table's order (sorted by museum in MAMe).

    Args:
        labels: shape (N,).
        rows: positions of train in table order, shape (n,).
        folds: how many; fewer where no class has so many images.

    Raises:
        LabError: no class has two images.
    """
    from sklearn.model_selection import StratifiedKFold

    used, note = _possible_folds(labels[rows], folds)
    return _folds(StratifiedKFold(used).split(rows, labels[rows]), rows, note)


def grouped_folds(labels: np.ndarray, groups: np.ndarray, rows: np.ndarray, folds: int = 5, seed: int = 0) -> Folds:
    """Folds done right: shuffled, stratified by class, a group (accession lot) never on both sides.

    Args:
        labels: shape (N,).
        groups: what must stay together, shape (N,), e.g. `dataset.fold_groups`; an image of unknown lot ("") is alone.
        rows: positions of train, shape (n,).
        folds: how many; fewer where no class has so many images.
        seed: of the shuffling.

    Raises:
        LabError: no class has two images, or fewer groups than folds.
    """
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    used, note = _possible_folds(labels[rows], folds)
    named = np.array([str(group) or f"alone {row}" for row, group in zip(rows, groups[rows], strict=True)])
    distinct = len(np.unique(named))
    if distinct == len(named):
        note += "No two train images are known to share a lot: folds are shuffled by image, not grouped by lot. "
        return _folds(StratifiedKFold(used, shuffle=True, random_state=seed).split(rows, labels[rows]), rows, note)
    if distinct < used:
        raise LabError(f"{used} folds grouped by lot need {used} lots, there are {distinct}: ask for fewer folds.")
    splitter = StratifiedGroupKFold(used, shuffle=True, random_state=seed)
    return _folds(splitter.split(rows, labels[rows], named), rows, note)


def _possible_folds(labels: np.ndarray, folds: int) -> tuple[int, str]:
    most = int(np.unique(labels, return_counts=True)[1].max()) if len(labels) else 0
    if most < 2:
        raise LabError("Cross-validation needs at least two train images of some class: give more images.")
    note = f"{most} folds instead of {folds}: no class has more train images. " if most < folds else ""
    return min(folds, most), note


def _folds(pairs: Any, rows: np.ndarray, note: str) -> Folds:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The least populated class")
        return Folds(tuple((rows[fit], rows[held]) for fit, held in pairs if len(fit) and len(held)), note.strip())


# ---- classifiers ----------------------------------------------------------------------------------------------------
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
        self.classes_, codes = np.unique(y, return_inverse=True)
        targets = 2.0 * np.eye(len(self.classes_), dtype=X.dtype)[codes] - 1
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
    spectrum, vectors = eigh(X.T @ X if tall else X @ X.T, check_finite=False)
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
        found = minimize(objective, np.zeros(np.prod(shape)), jac=True, method="L-BFGS-B", options=options)
        self.weights_, self.converged_ = found.x.reshape(shape).astype(np.float32), bool(found.success)
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


def squared_distances(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Squared Euclidean distances, shape (n, m), by one matrix product."""
    cross = first @ second.T
    return np.maximum((first**2).sum(1)[:, None] - 2 * cross + (second**2).sum(1), 0)


def _pieces(X: np.ndarray, size: int = 2048) -> Iterator[np.ndarray]:
    return (X[start : start + size] for start in range(0, len(X), size))


@dataclass(frozen=True)
class Classifier:
    """An estimator and the view of the data that it reads.

    Attributes:
        estimator: with scikit-learn's `fit` and `predict`.
        view: key into the tables.
        votes: whether it is one of the voters.
    """

    estimator: Any
    view: str = "all"
    votes: bool = True


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


def original_classifiers(rounds: int = 100, trees: int = 100, seed: int = 0) -> dict[str, Classifier]:
    """The original's four voters, default settings (`rounds` and `trees` of 100 are the libraries' defaults)."""
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.svm import SVC, LinearSVC

    name, boosted = boosting(rounds, seed)
    return {
        name: Classifier(boosted),
        "Linear SVM": Classifier(LinearSVC(random_state=seed)),
        "Random forest": Classifier(RandomForestClassifier(trees, random_state=seed, n_jobs=-1)),
        "RBF SVM": Classifier(SVC()),
    }


def full_classifiers(width: int, rounds: int = 100, trees: int = 100, seed: int = 0) -> dict[str, Classifier]:
    """The same voters for full features, made for speed, and the linear probe (which does not vote).

    Traded against the plain four: the linear SVM is solved by L-BFGS (same objective); the RBF SVM, the forest and the
    boosting read the leading principal components (view "pca") instead of all columns, the RBF SVM with the gamma that
    `SVC` would take on all `width` columns. `benchmarks/classification.py` measures what that costs.
    """
    name, boosted = boosting(rounds, seed)
    from sklearn.ensemble import RandomForestClassifier

    return {
        name: Classifier(boosted, "pca"),
        "Linear SVM": Classifier(LinearSVM()),
        "Random forest": Classifier(RandomForestClassifier(trees, random_state=seed, n_jobs=-1), "pca"),
        "RBF SVM": Classifier(RBFSVM(gamma=1 / width), "pca"),
        "Ridge": Classifier(Ridge(), votes=False),
    }


def full_views(features: np.ndarray, rows: np.ndarray, components: int = 256, seed: int = 0) -> Tables:
    """Tables for `full_classifiers`, fitted on `rows`: all columns standardised, and their principal components."""
    check_features(features, rows)
    table = standardise(features, rows)
    return {"all": table, "pca": pca(table, rows, components, seed)}


def vote(predictions: Sequence[np.ndarray]) -> np.ndarray:
    """Hard vote of integer labels, each of shape (n,): the commonest, the smallest in a tie (as scikit-learn's)."""
    stacked = np.stack(predictions)
    counts = np.zeros((stacked.shape[1], stacked.max(initial=0) + 1), int)
    for one in stacked:
        counts[np.arange(len(one)), one] += 1
    return counts.argmax(1)


def fit_predict(estimator: Any, X: np.ndarray, y: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Fit on X (n, D), y (n,) and predict `others` (m, D); one class alone is predicted without a fit."""
    kinds, codes = np.unique(y, return_inverse=True)
    if len(kinds) == 1:
        return np.full(len(others), kinds[0])
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Liblinear failed to converge")
        estimator.fit(X, codes)
    return kinds[estimator.predict(others)] if len(others) else np.empty(0, kinds.dtype)


# ---- the comparison -------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Outcome:
    """What a set of classifiers did on one table.

    Attributes:
        predictions: classifier -> label for every row, shape (N,); rows fitted on hold their own labels.
        folds: classifier -> accuracy in each fold of train.
        held: classifier -> its cross-validated prediction for each train row, shape (N,), UNSEEN elsewhere.
        fitted: classifier -> the estimator fitted on train.
    """

    predictions: dict[str, np.ndarray]
    folds: dict[str, list[Accuracy]]
    held: dict[str, np.ndarray]
    fitted: dict[str, Any] = field(repr=False, default_factory=dict)

    def cv(self, classifier: str) -> Accuracy:
        """Accuracy over all folds together."""
        parts = self.folds[classifier]
        return Accuracy(sum(one.successes for one in parts), sum(one.n for one in parts), f"{classifier}, CV")

    def accuracy(self, classifier: str, truth: np.ndarray, rows: np.ndarray, of: str = "") -> Accuracy:
        """Accuracy on `rows` whose labels are `truth`."""
        return Accuracy.from_labels(truth, self.predictions[classifier][rows], of or classifier)


def compare(
    tables_of: Callable[[np.ndarray], Tables],
    labels: np.ndarray,
    rows: np.ndarray,
    classifiers: dict[str, Classifier],
    folds: Folds | None = None,
) -> Outcome:
    """Cross-validate classifiers on `rows`, then fit on all of them and predict every other row.

    Args:
        tables_of: gives the tables (N rows each) fitted on the positions it is given and on nothing else. One that
            ignores its argument puts the preprocessing *before* the folds, as the original did.
        labels: shape (N,); only those of `rows` are looked at.
        rows: positions of train, shape (n,).
        classifiers: name -> classifier; those that vote get the companion "Voting".
        folds: of `rows`; None leaves cross-validation out.

    Returns:
        Predictions, accuracies by fold, fitted estimators.
    """
    held = {name: np.full(len(labels), UNSEEN) for name in (*classifiers, VOTING)}
    scores: dict[str, list[Accuracy]] = {name: [] for name in held}
    for number, (fit, out) in enumerate(folds or (), 1):
        predicted, _ = _fit_all(tables_of(fit), labels, fit, out, classifiers)
        for name, guess in predicted.items():
            held[name][out] = guess
            scores[name].append(Accuracy.from_labels(labels[out], guess, f"{name}, fold {number}"))
    others = np.setdiff1d(np.arange(len(labels)), rows)
    predicted, fitted = _fit_all(tables_of(rows), labels, rows, others, classifiers)
    whole = {name: labels.copy() for name in predicted}
    for name, guess in predicted.items():
        whole[name][others] = guess
    return Outcome(whole, {name: scores[name] for name in predicted}, held, fitted)


def _fit_all(
    tables: Tables, labels: np.ndarray, fit: np.ndarray, out: np.ndarray, classifiers: dict[str, Classifier]
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    from sklearn.base import clone

    predicted, fitted = {}, {}
    for name, one in classifiers.items():
        table, fitted[name] = tables[one.view], clone(one.estimator)
        predicted[name] = fit_predict(fitted[name], table[fit], labels[fit], table[out])
    voters = [predicted[name] for name, one in classifiers.items() if one.votes]
    if len(voters) > 1:
        predicted[VOTING] = vote(voters)
    return predicted, fitted


def as_in_the_original(
    features: np.ndarray,
    images: pd.DataFrame,
    labels: np.ndarray,
    rows: np.ndarray,
    *,
    reduction: Reduction | None = None,
    classifiers: dict[str, Classifier] | None = None,
    folds: int = 5,
) -> tuple[Outcome, pd.DataFrame]:
    """The original's protocol, its flaws included: reduction on all of train with its labels, then unshuffled folds.

    Args:
        features: shape (N, D).
        images: image table, N rows.
        labels: shape (N,), known at `rows`.
        rows: positions of train in table order.
        reduction: default supervised UMAP to 8 dimensions.
        classifiers: default the original's four.
        folds: number of folds, 0 for none.

    Returns:
        The outcome, and the table the classifiers saw (N rows).
    """
    table = original_table(features, images, labels, rows, reduction or Reduction("supervised umap", 8))
    fixed = {"all": table.to_numpy(np.float32)}
    made = original_folds(labels, rows, folds) if folds else None
    return compare(lambda _: fixed, labels, rows, classifiers or original_classifiers(), made), table


def done_right(
    features: np.ndarray,
    labels: np.ndarray,
    rows: np.ndarray,
    folds: Folds | None,
    *,
    reduction: Reduction | None = None,
    classifiers: dict[str, Classifier] | None = None,
    components: int = 256,
) -> Outcome:
    """The same question without the flaws: whatever is fitted is fitted inside the fold; no external columns.

    Args:
        features: shape (N, D).
        labels: shape (N,), known at `rows`.
        rows: positions of train.
        folds: shuffled and grouped by lot (`grouped_folds`).
        reduction: None keeps all columns.
        classifiers: default `full_classifiers` on all columns, the original's four and the probe on a reduction.
        components: of the view "pca".
    """
    chosen = classifiers or full_classifiers(features.shape[1])
    if reduction is None or reduction.method == "none":
        return compare(lambda fit: full_views(features, fit, components), labels, rows, chosen, folds)

    def tables(fit: np.ndarray) -> Tables:
        table = reduction.apply(features, labels, fit)
        return {"all": table, "pca": table}

    return compare(tables, labels, rows, chosen, folds)


def importances(outcome: Outcome, columns: Sequence[str]) -> pd.DataFrame:
    """Importance of each column as the tree ensembles report it (one column a classifier that has one)."""
    found = {name: one.feature_importances_ for name, one in outcome.fitted.items() if _has_importances(one)}
    return pd.DataFrame(found, index=pd.Index(list(columns), name="column"))


def _has_importances(estimator: Any) -> bool:
    try:
        return getattr(estimator, "feature_importances_", None) is not None
    except Exception:  # not fitted, as on a train split of one class
        return False


def permutation_importance(
    predict: Callable[[np.ndarray], np.ndarray],
    table: np.ndarray,
    truth: np.ndarray,
    groups: Mapping[str, Sequence[int]],
    repeats: int = 10,
    seed: int = 0,
) -> dict[str, Estimate]:
    """How much accuracy is lost when columns are shuffled over the images (Breiman 2001), by group of columns.

    Columns of a group are shuffled together: one-hot columns alone can stand in for each other.

    Args:
        predict: table (m, D) -> labels (m,).
        table: val (or test) rows, shape (m, D).
        truth: their labels, shape (m,).
        groups: name -> column positions.
        repeats: shuffles a group.
        seed: of the shuffles.

    Returns:
        name -> loss of accuracy in [-1, 1], mean over shuffles, bootstrapped over images.
    """
    rng, right, lost = np.random.default_rng(seed), predict(table) == truth, {}
    for name, columns in groups.items():
        share = np.zeros(len(truth))
        for _ in range(repeats):
            shuffled = table.copy()
            shuffled[:, columns] = table[rng.permutation(len(table))][:, columns]
            share += (predict(shuffled) == truth) / repeats
        lost[name] = bootstrap_estimate(right - share, f"loss without {name}", scale=100, unit=" points", digits=1)
    return lost


# ---- is it the classifier or the features? ---------------------------------------------------------------------------
@dataclass(frozen=True)
class Decomposition:
    """Shares of the variance of accuracy over the cells of a two-way table (features × classifier).

    Attributes:
        features: share of the row effect in [0, 1].
        classifier: share of the column effect.
        interaction: what is left.
        lead: features' share minus the classifier's; its interval decides.
        spread: standard deviation of the cells' accuracies.
    """

    features: Estimate
    classifier: Estimate
    interaction: Estimate
    lead: Estimate
    spread: Estimate


def decompose(correct: np.ndarray, groups: np.ndarray | None = None, seed: int = 0) -> Decomposition:
    """Two-way analysis of variance of accuracy, with bootstrap intervals over images (or lots).

    The sums of squares of a complete table without replicates (Scheffé 1959, chapter 4), as shares of their total. The
    sampling noise of a finite set of images spreads over all three, most on the interaction.

    Args:
        correct: whether features `i` with classifier `j` were right on image `k`, shape (I, J, n), I and J >= 2.
        groups: lot of each image, shape (n,); whole lots are drawn.
        seed: of the bootstrap.

    Raises:
        LabError: fewer than two rows or columns.
    """
    correct = np.asarray(correct, float)
    if min(correct.shape[:2]) < 2:
        raise LabError(f"A variance decomposition needs two feature sets and two classifiers, not {correct.shape[:2]}.")
    cells = [[bootstrap_means(cell, groups, seed, 1000) for cell in row] for row in correct]
    drawn, seen = _shares(np.array(cells).transpose(2, 0, 1)), _shares(correct.mean(2)[None])
    names = ("features", "classifier", "interaction", "lead", "spread")
    low, high = np.quantile(drawn, [0.025, 0.975], axis=1)
    n = correct.shape[2]
    return Decomposition(**{key: Estimate(seen[i, 0], low[i], high[i], n, key) for i, key in enumerate(names)})


def _shares(tables: np.ndarray) -> np.ndarray:
    """Shares of rows, columns, rest, rows minus columns, and the spread, of each table in (B, I, J): shape (5, B)."""
    centred = tables - tables.mean((1, 2), keepdims=True)
    total = (centred**2).mean((1, 2))
    safe = np.where(total > 0, total, 1)
    rows, columns = (centred.mean(2) ** 2).mean(1) / safe, (centred.mean(1) ** 2).mean(1) / safe
    return np.stack([rows, columns, np.where(total > 0, 1 - rows - columns, 0), rows - columns, np.sqrt(total)])


def noise_floor(
    runs: Mapping[str, Sequence[Outcome]], truth: np.ndarray, rows: np.ndarray
) -> tuple[pd.DataFrame, Estimate]:
    """How far accuracies of one network move by chance alone: same data and classifier, other seed.

    Args:
        runs: source of chance -> outcomes that differ in its seed only.
        truth: labels of `rows`.
        rows: positions scored in all of them.

    Returns:
        One row a run and classifier (source, run, classifier, accuracy), and the floor: the mean over classifiers and
        sources of the gap between the best and the worst seed, with the smallest and the largest gap as its ends.
    """
    table = pd.DataFrame(
        {"source": source, "run": number, "classifier": name, "accuracy": one.accuracy(name, truth, rows).value}
        for source, outcomes in runs.items()
        for number, one in enumerate(outcomes)
        for name in one.predictions
    )
    gaps = table.groupby(["source", "classifier"])["accuracy"].agg(np.ptp)
    style = {"scale": 100, "unit": " points", "digits": 1}
    return table, Estimate(gaps.mean(), gaps.min(), gaps.max(), len(gaps), "gap between seeds", **style)


# ---- shortcuts ------------------------------------------------------------------------------------------------------
def guess_by(keys: np.ndarray, labels: np.ndarray, rows: np.ndarray, fallback: np.ndarray | None = None) -> np.ndarray:
    """Predict from a key alone (museum, lot): the commonest class among train images that share it.

    Args:
        keys: shape (N,); "" is unknown.
        labels: shape (N,), known at `rows`.
        rows: positions of train.
        fallback: prediction where the key is unknown or unseen, shape (N,); default the commonest class of train.

    Returns:
        Predicted labels, shape (N,).
    """
    keys = pd.Series(np.asarray(keys, dtype=object)).fillna("").astype(str)
    table = pd.DataFrame({"key": keys.iloc[rows].to_numpy(), "label": labels[rows]})
    best = table[table["key"] != ""].groupby("key")["label"].agg(lambda part: part.value_counts().idxmax())
    default = np.full(len(labels), table["label"].value_counts().idxmax()) if fallback is None else fallback
    return keys.map(best).fillna(pd.Series(default)).to_numpy(int)


def forest(trees: int = 300, leaf: int = 3, seed: int = 0) -> Classifier:
    """The forest that reads external columns: at least `leaf` rows a leaf, or it learns them by heart."""
    from sklearn.ensemble import RandomForestClassifier

    return Classifier(RandomForestClassifier(trees, min_samples_leaf=leaf, random_state=seed, n_jobs=-1))


def half_images(images: np.ndarray) -> dict[str, np.ndarray]:
    """Images without their middle and without their border, both keeping half of the area; the rest is mid-grey.

    Args:
        images: uint8, shape (N, H, W, 3).

    Returns:
        {"border alone": (N, H, W, 3), "middle alone": (N, H, W, 3)}.
    """
    height, width = images.shape[1:3]
    top, left = round(height * (1 - 0.5**0.5) / 2), round(width * (1 - 0.5**0.5) / 2)
    inside = np.zeros((height, width, 1), bool)
    inside[top : height - top, left : width - left] = True
    grey = np.uint8(128)
    return {"border alone": np.where(inside, grey, images), "middle alone": np.where(inside, images, grey)}
