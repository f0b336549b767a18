"""Classifiers on extracted features: the original's protocol, the same done right, and what decides between them.

Arrays in, plain results out. Labels that must not be seen are `UNSEEN` in the label array, so no function here can
fit on them: `labels` holds the classes of train (and val where a search needs it), predictions come back for all rows.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from lab_utils.analysis.classifiers import (
    RBFSVM,
    EstimatorOnView,
    few_threads,
    fit_predict,
    full_classifiers,
    original_classifiers,
    vote,
)
from lab_utils.analysis.feature_tables import check_features, pca, standardise
from lab_utils.analysis.folds import Folds, original_folds
from lab_utils.analysis.reductions import Reduction
from lab_utils.data.splits import subsample
from lab_utils.stats.intervals import Accuracy, Difference, mean_estimate

UNSEEN = -1
VOTING = "Voting"
FEW = 64  # leading components that the boosting reads on full features: its time grows with every one
EXTERNAL = {"width": "Width", "height": "Height", "product": "Product size", "aspect": "Aspect ratio"}
Tables = Mapping[str, np.ndarray]  # view -> (N, D) table; classifiers name the view they read


# ---- tables ---------------------------------------------------------------------------------------------------------


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


def full_views(
    features: np.ndarray, rows: np.ndarray, components: int = 256, seed: int = 0, leading: bool = True
) -> Tables:
    """Tables for `full_classifiers`, fitted on `rows`: standardised columns and (if `leading`) their components."""
    check_features(features, rows)
    table = standardise(features, rows)
    if not leading:
        return {"all": table}
    with few_threads(table.size):
        scores = pca(table, rows, components, seed)
    return {"all": table, "pca": scores, "few": scores[:, :FEW]}


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


# ---- the comparison -------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class CVResult:
    """What a set of classifiers did on one table.

    Attributes:
        predictions: classifier -> label for every row, shape (N,); rows fitted on hold their own labels.
        folds: classifier -> accuracy in each fold of train.
        held: classifier -> its cross-validated prediction for each train row, shape (N,), UNSEEN elsewhere.
        fitted: classifier -> the estimator fitted on train.
        seconds: classifier -> seconds of the last fit and prediction (voting: of all voters), and of its columns.
        lots: lot of each row, shape (N,), for the intervals; None: unknown.
        labels: label of each row, shape (N,), where lots are known; only those of train are looked at.
    """

    predictions: dict[str, np.ndarray]
    folds: dict[str, list[Accuracy]]
    held: dict[str, np.ndarray]
    fitted: dict[str, Any] = field(repr=False, default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    lots: np.ndarray | None = field(repr=False, default=None)
    labels: np.ndarray | None = field(repr=False, default=None)

    def cv(self, classifier: str) -> Accuracy:
        """Accuracy over all folds together."""
        if self.lots is None:
            parts = self.folds[classifier]
            return Accuracy(sum(fold.successes for fold in parts), sum(fold.n for fold in parts), f"{classifier}, CV")
        held = self.held[classifier]
        rows = np.flatnonzero(held != UNSEEN)
        return Accuracy.from_labels(self.labels[rows], held[rows], f"{classifier}, CV", self._lots_of(rows))

    def accuracy(self, classifier: str, truth: np.ndarray, rows: np.ndarray, of: str = "") -> Accuracy:
        """Accuracy on `rows` whose labels are `truth`."""
        return Accuracy.from_labels(truth, self.predictions[classifier][rows], of or classifier, self._lots_of(rows))

    def _lots_of(self, rows: np.ndarray) -> np.ndarray | None:
        return None if self.lots is None else self.lots[rows]


def compare(
    tables_of: Callable[[np.ndarray], Tables],
    labels: np.ndarray,
    rows: np.ndarray,
    classifiers: dict[str, EstimatorOnView],
    folds: Folds | None = None,
    lots: np.ndarray | None = None,
    spent: float = 0.0,
) -> CVResult:
    """Cross-validate classifiers on `rows`, then fit on all of them and predict every other row.

    Args:
        tables_of: gives the tables (N rows each) fitted on the positions it is given and on nothing else. One that
            ignores its argument puts the preprocessing *before* the folds, as the original did.
        labels: shape (N,); only those of `rows` are looked at.
        rows: positions of train, shape (n,).
        classifiers: name -> classifier; those that vote get the companion "Voting".
        folds: of `rows`; None leaves cross-validation out.
        lots: lot of each row, shape (N,), for the intervals; None: unknown.
        spent: seconds that tables took which `tables_of` only hands over.

    Returns:
        Predictions, accuracies by fold, fitted estimators.
    """
    held = {name: np.full(len(labels), UNSEEN) for name in (*classifiers, VOTING)}
    scores: dict[str, list[Accuracy]] = {name: [] for name in held}
    for number, (fit, out) in enumerate(folds or (), 1):
        predicted, *_ = _fit_all(tables_of(fit), labels, fit, out, classifiers)
        for name, guess in predicted.items():
            held[name][out] = guess
            known = None if lots is None else lots[out]
            scores[name].append(Accuracy.from_labels(labels[out], guess, f"{name}, fold {number}", known))
    others = np.setdiff1d(np.arange(len(labels)), rows)
    began = time.perf_counter()
    tables = tables_of(rows)
    spent += time.perf_counter() - began
    predicted, fitted, seconds = _fit_all(tables, labels, rows, others, classifiers)
    seconds = {name: fit + spent for name, fit in seconds.items()}
    whole = {name: labels.copy() for name in predicted}
    for name, guess in predicted.items():
        whole[name][others] = guess
    return CVResult(whole, {name: scores[name] for name in predicted}, held, fitted, seconds, lots, labels)


def _fit_all(
    tables: Tables, labels: np.ndarray, fit: np.ndarray, out: np.ndarray, classifiers: dict[str, EstimatorOnView]
) -> tuple[dict[str, np.ndarray], dict[str, Any], dict[str, float]]:
    from sklearn.base import clone

    predicted, fitted, seconds = {}, {}, {}
    for name, classifier in classifiers.items():
        start, table, fitted[name] = time.perf_counter(), tables[classifier.view], clone(classifier.estimator)
        with few_threads(table.size):
            predicted[name] = fit_predict(fitted[name], table[fit], labels[fit], table[out])
        seconds[name] = time.perf_counter() - start
    voters = [name for name, classifier in classifiers.items() if classifier.votes]
    if len(voters) > 1:
        predicted[VOTING] = vote([predicted[name] for name in voters])
        seconds[VOTING] = sum(seconds[name] for name in voters)
    return predicted, fitted, seconds


def as_in_the_original(
    features: np.ndarray,
    images: pd.DataFrame,
    labels: np.ndarray,
    rows: np.ndarray,
    *,
    reduction: Reduction | None = None,
    classifiers: dict[str, EstimatorOnView] | None = None,
    folds: int = 5,
    lots: np.ndarray | None = None,
) -> tuple[CVResult, pd.DataFrame]:
    """The original's protocol, its flaws included: reduction on all of train with its labels, then unshuffled folds.

    Args:
        features: shape (N, D).
        images: image table, N rows.
        labels: shape (N,), known at `rows`.
        rows: positions of train in table order.
        reduction: default supervised UMAP to 8 dimensions.
        classifiers: default the original's four.
        folds: number of folds, 0 for none.
        lots: lot of each row, shape (N,), for the intervals; None: unknown.

    Returns:
        The result, and the table that the classifiers saw (N rows).
    """
    began = time.perf_counter()
    table = original_table(features, images, labels, rows, reduction or Reduction("supervised umap", 8))
    spent = time.perf_counter() - began
    fixed = {"all": table.to_numpy(np.float32)}
    splits = original_folds(labels, rows, folds) if folds else None
    chosen = classifiers or original_classifiers()
    return compare(lambda _: fixed, labels, rows, chosen, splits, lots, spent), table


def done_right(
    features: np.ndarray,
    labels: np.ndarray,
    rows: np.ndarray,
    folds: Folds | None,
    *,
    reduction: Reduction | None = None,
    classifiers: dict[str, EstimatorOnView] | None = None,
    components: int = 256,
    lots: np.ndarray | None = None,
) -> CVResult:
    """The same question without the flaws: whatever is fitted is fitted inside the fold; no external columns.

    Args:
        features: shape (N, D).
        labels: shape (N,), known at `rows`.
        rows: positions of train.
        folds: shuffled and grouped by lot (`grouped_folds`).
        reduction: None keeps all columns.
        classifiers: default `full_classifiers` on all columns, the original's four on a reduction.
        components: of the view "pca".
        lots: lot of each row, shape (N,), for the intervals; None: unknown.
    """
    if reduction is None or reduction.method == "none":
        chosen = classifiers or full_classifiers(features.shape[1])
        leading = any(classifier.view != "all" for classifier in chosen.values())
        views = partial(full_views, features, components=components, leading=leading)
        return compare(views, labels, rows, chosen, folds, lots)

    def tables(fit: np.ndarray) -> Tables:
        table = reduction.apply(features, labels, fit)
        return {"all": table, "pca": table, "few": table}

    return compare(tables, labels, rows, classifiers or original_classifiers(), folds, lots)


def importances(result: CVResult, columns: Sequence[str]) -> pd.DataFrame:
    """Importance of each column as the tree ensembles report it (one column a classifier that has one)."""
    reporting = {name: estimator for name, estimator in result.fitted.items() if _has_importances(estimator)}
    values = {name: estimator.feature_importances_ for name, estimator in reporting.items()}
    return pd.DataFrame(values, index=pd.Index(list(columns), name="column"))


def _has_importances(estimator: Any) -> bool:
    try:
        return getattr(estimator, "feature_importances_", None) is not None
    except Exception:  # not fitted, as on a train split of one class
        return False


# ---- dimensions ------------------------------------------------------------------------------------------------------
def accuracy_by_dimension(
    features: np.ndarray,
    labels: np.ndarray,
    train: np.ndarray,
    val: np.ndarray,
    reductions: Sequence[Reduction],
    most: int = 5000,
    lots: np.ndarray | None = None,
) -> dict[Reduction, Accuracy]:
    """Val accuracy of one classifier (RBF SVM) on each reduction, fitted on the same train images.

    Args:
        features: shape (N, D).
        labels: shape (N,), known on train and val.
        train: positions of train; a stratified part of at most about `most` is used.
        val: positions of val.
        reductions: what to try.
        most: train images, at most.
        lots: lot of each val image, shape (n,), for the intervals; None: unknown.
    """
    fit = stratified_part(labels, train, most)
    seen = np.concatenate([fit, val])
    here = np.arange(len(fit))
    reached = {}
    for reduction in reductions:
        table = reduction.apply(features[seen], labels[seen], here)
        with few_threads(table.size):
            guess = fit_predict(RBFSVM(), table[here], labels[fit], table[len(fit) :])
        reached[reduction] = Accuracy.from_labels(labels[val], guess, str(reduction), lots)
    return reached


def component_steps(most: int) -> list[int]:
    """Powers of two well below `most`, and `most`: the numbers of components worth trying."""
    return [2**power for power in range(1, most.bit_length()) if 2**power < most / 1.4] + [most]


def stratified_part(labels: np.ndarray, rows: np.ndarray, most: int, seed: int = 0) -> np.ndarray:
    """At most `most` of `rows` (about; at least one a class), as many of each class as can be, in their order."""
    if len(rows) <= most:
        return rows
    return rows[subsample(labels[rows], max(1, most // len(np.unique(labels[rows]))), seed)]


# ---- what is read off results ---------------------------------------------------------------------------------------
def masked_labels(n: int, rows: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Labels of `rows` in an array of length n that is UNSEEN elsewhere."""
    labels = np.full(n, UNSEEN)
    labels[rows] = values
    return labels


def best(result: CVResult, truth: np.ndarray, rows: np.ndarray) -> str:
    """The classifier with the highest accuracy on `rows` (val), the first in a tie."""
    return max(result.predictions, key=lambda name: result.accuracy(name, truth, rows).value)


def best_by_cv(result: CVResult) -> str:
    """The single classifier with the highest cross-validated accuracy, the first in a tie: chosen without val."""
    return max((name for name in result.folds if name != VOTING), key=lambda name: result.cv(name).value)


def train_guesses(result: CVResult, table: np.ndarray, labels: np.ndarray, rows: np.ndarray) -> dict[str, np.ndarray]:
    """What each fitted classifier says of the rows it was fitted on (table of shape (N, D)): labels, (n,)."""
    kinds = np.unique(labels[rows])
    return {name: kinds[estimator.predict(table[rows])] for name, estimator in result.fitted.items()}


def fold_gap(result: CVResult, classifier: str) -> Difference:
    """Best minus worst fold of one classifier."""
    ordered = sorted(result.folds[classifier], key=lambda fold: fold.value)
    return ordered[-1].minus(ordered[0])


def mean_difference(
    truth: np.ndarray,
    first: Sequence[np.ndarray],
    second: Sequence[np.ndarray],
    of: str = "",
    lots: np.ndarray | None = None,
) -> Difference:
    """Mean accuracy of several predictions minus that of several others, paired by image; lots (n,) are drawn."""
    hits, other_hits = (np.mean([guess == truth for guess in guesses], axis=0) for guesses in (first, second))
    mean = mean_estimate(hits - other_hits, of, lots)
    return Difference(mean.value, mean.low, mean.high, mean.n, of)


def group_confusion(
    truth: np.ndarray, predicted: np.ndarray, groups: Sequence[str], lots: np.ndarray | None = None
) -> tuple[Accuracy, Accuracy | None]:
    """How often the super-group is right, and among images with the right group (None: there are none) the class.

    Args:
        truth: labels, shape (n,).
        predicted: labels, shape (n,).
        groups: super-group of each class, by label.
        lots: lot of each image, shape (n,), for the intervals; None: unknown.
    """
    names = np.asarray(groups, dtype=object)
    same = names[truth] == names[predicted]
    between = Accuracy.from_hits(same, "super-group", lots)
    if not same.any():
        return between, None
    within = Accuracy.from_hits((truth == predicted)[same], "class, right group", None if lots is None else lots[same])
    return between, within
