"""Classifiers on extracted features: what each answers on images that it did not see, and what is read off that.

Arrays in, plain results out. Labels that must not be seen are `UNSEEN` in the label array, so no function here can
fit on them: `labels` holds the classes of train and val, answers come back for all rows.
"""

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.stats import mode
from sklearn.base import clone

from lab_utils.analysis import umaps
from lab_utils.analysis.classifiers import Fitted, few_threads, fit
from lab_utils.analysis.feature_tables import check_features, standardise
from lab_utils.core.errors import LabError
from lab_utils.data.splits import subsample
from lab_utils.stats.intervals import Accuracy, Difference, mean_estimate, paired_difference

if TYPE_CHECKING:
    from sklearn.model_selection import BaseCrossValidator

UNSEEN = -1
VOTING = "Voting"
EXTERNAL = {"width": "Width", "height": "Height", "product": "Product size", "aspect": "Aspect ratio"}


# ---- the original's table -------------------------------------------------------------------------------------------
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


def original_table(
    features: np.ndarray, images: pd.DataFrame, labels: np.ndarray, train: np.ndarray, reduce: Any
) -> pd.DataFrame:
    """The table that the original gave to its classifiers: sizes, `umap_0` ..., museum one-hot.

    Args:
        features: shape (N, D).
        images: image table, N rows.
        labels: shape (N,); those of `train` are used by a supervised reduction.
        train: positions of train, on *all* of which the reduction is fitted before any fold is made (as there).
        reduce: a scikit-learn transformer that makes the features fewer; it is given the labels of train.

    Returns:
        N rows, float32; sizes standardised; in `attrs` the seconds that it took.

    Raises:
        LabError: features that can't be used, too few images, or images that find no place on the reduction's map.
    """
    start = time.perf_counter()
    check_features(features, train)
    external = external_columns(images)
    sizes = list(EXTERNAL.values())
    external[sizes] = standardise(external[sizes].to_numpy(), train)
    others = np.setdiff1d(np.arange(len(features)), train)
    with few_threads(features.size):
        reduce = clone(reduce)
        try:
            first = reduce.fit_transform(features[train], labels[train])
        except (TypeError, ValueError) as error:  # what solvers say of too few images
            reason = " ".join(str(error).split())[:120]
            raise LabError(f"{len(train)} train images can't be reduced ({reason}): give more of them.") from None
        reduced = np.empty((len(features), first.shape[1]), np.float32)
        reduced[train] = first
        if len(others):
            reduced[others] = reduce.transform(features[others])
    umaps.check_placed(reduced)
    columns = pd.DataFrame(reduced, columns=[f"umap_{i}" for i in range(reduced.shape[1])])
    table = pd.concat([external[sizes], columns, external.drop(columns=sizes)], axis=1).astype(np.float32)
    table.attrs["seconds"] = time.perf_counter() - start
    return table


# ---- the comparison -------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Result:
    """What a set of classifiers answers on one table.

    Attributes:
        answers: classifier -> label for each row, shape (N,), always of a fit that did not see it: for train rows the
            cross-validated one (UNSEEN without folds), for all others that of the fit on all of train.
        fitted: classifier -> the classifier fitted on train (voting has none).
        seconds: classifier -> seconds of the last fit and prediction (voting: of all voters), and of its columns.
        train: positions fitted on, shape (n,).
        held: positions of train that each fold scores.
        labels: label of each row, shape (N,); UNSEEN where it is not known.
        lots: lot of each row, shape (N,), for the intervals; None: unknown.
    """

    answers: dict[str, np.ndarray]
    fitted: dict[str, Fitted] = field(repr=False, default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    train: np.ndarray = field(repr=False, default_factory=lambda: np.arange(0))
    held: tuple[np.ndarray, ...] = field(repr=False, default=())
    labels: np.ndarray | None = field(repr=False, default=None)
    lots: np.ndarray | None = field(repr=False, default=None)

    def cv(self, classifier: str) -> Accuracy:
        """Cross-validated accuracy over all folds together."""
        scored = self.train[self.answers[classifier][self.train] != UNSEEN]
        return self.accuracy(classifier, scored, f"{classifier}, CV")

    def folds(self, classifier: str) -> list[Accuracy]:
        """Accuracy in each fold of train."""
        return [
            self.accuracy(classifier, rows, f"{classifier}, fold {number}") for number, rows in enumerate(self.held, 1)
        ]

    def accuracy(self, classifier: str, rows: np.ndarray, of: str = "") -> Accuracy:
        """Accuracy on `rows`, whose labels are known to the result (train and val)."""
        lots = None if self.lots is None else self.lots[rows]
        return Accuracy.from_labels(self.labels[rows], self.answers[classifier][rows], of or classifier, lots)

    @property
    def predictors(self) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
        """What each fitted classifier answers on rows of the table, shape (m, D)."""
        return {name: fitted.predict for name, fitted in self.fitted.items()}

    def accuracies(self, rows: np.ndarray, more: str = "") -> dict[str, Accuracy]:
        """Accuracy of every classifier on `rows`; `more` is added to the names."""
        return {f"{name}{more}": self.accuracy(name, rows) for name in self.answers}

    def minus(
        self, classifier: str, rival: str, rows: np.ndarray, other: "Result | None" = None, comparisons: int = 1
    ) -> Difference:
        """Accuracy of one classifier minus that of a rival (of another result, if given) on the same `rows`, paired.

        Args:
            classifier: one of the answers.
            rival: another, or one of `other`.
            rows: positions that are compared.
            other: result that has the rival's answers; None: this one.
            comparisons: how many pairs it was picked from, for which the interval is widened.
        """
        guesses = (self.answers[classifier][rows], (other or self).answers[rival][rows])
        lots = None if self.lots is None else self.lots[rows]
        return paired_difference(self.labels[rows], *guesses, groups=lots, comparisons=comparisons)


def evaluate(
    models: Mapping[str, Any],
    X: np.ndarray | pd.DataFrame,
    labels: np.ndarray,
    train: np.ndarray,
    cv: "BaseCrossValidator | None" = None,
    lots: np.ndarray | None = None,
    voters: Sequence[str] | None = None,
) -> Result:
    """Cross-validate classifiers on train (`cross_val_predict`), then fit them on all of it and ask about the rest.

    Args:
        models: name -> scikit-learn classifier or pipeline; it is copied before each fit, so whatever is in a pipeline
            is fitted inside the fold.
        X: table, shape (N, D); the seconds that a data frame took (`attrs`) are added to each classifier's.
        labels: shape (N,); only those of `train` are fitted on.
        train: positions of train, shape (n,).
        cv: how train is divided in folds; None leaves cross-validation out.
        lots: lot of each row, shape (N,): what grouped folds keep together, and intervals draw as a whole.
        voters: models whose hard vote is the further classifier `Voting`; None: all, where there are several.

    Returns:
        Answers, accuracies by fold, fitted classifiers.
    """
    spent, X = getattr(X, "attrs", {}).get("seconds", 0.0), np.asarray(X)
    folds = [] if cv is None else positions(cv, train, labels, lots)
    others = np.setdiff1d(np.arange(len(labels)), train)
    answers, fitted, seconds = {}, {}, {}
    for name, model in models.items():
        answers[name] = np.full(len(labels), UNSEEN)
        for rows, held in folds:
            answers[name][held] = fit(model, X[rows], labels[rows]).predict(X[held])
        start = time.perf_counter()
        fitted[name] = fit(model, X[train], labels[train])
        with few_threads(X.size):
            answers[name][others] = fitted[name].predict(X[others])
        seconds[name] = time.perf_counter() - start
    voters = list(models) if voters is None else list(voters)
    if len(voters) > 1:
        answers[VOTING] = mode([answers[name] for name in voters], axis=0).mode  # in a tie the smallest label
        seconds[VOTING] = sum(seconds[name] for name in voters)
    whole = {name: fitting + spent for name, fitting in seconds.items()}
    return Result(answers, fitted, whole, train, tuple(held for _, held in folds), labels, lots)


def positions(
    cv: "BaseCrossValidator", train: np.ndarray, labels: np.ndarray, lots: np.ndarray | None = None
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Positions to fit on and to score, fold by fold, of a division of train; folds without images are left out."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The least populated class")
        warnings.filterwarnings("ignore", message="The groups parameter is ignored")
        pairs = list(cv.split(train, labels[train], None if lots is None else lots[train]))
    return [(train[rows], train[held]) for rows, held in pairs if len(rows) and len(held)]


def importances(result: Result, columns: Sequence[str]) -> pd.DataFrame:
    """Importance of each column as the tree ensembles report it (one column a classifier that has one)."""
    reported = {name: _importances(fitted.estimator) for name, fitted in result.fitted.items()}
    values = {name: of_columns for name, of_columns in reported.items() if of_columns is not None}
    return pd.DataFrame(values, index=pd.Index(list(columns), name="column"))


def _importances(estimator: Any) -> np.ndarray | None:
    try:
        return getattr(estimator, "feature_importances_", None)
    except Exception:  # not fitted, as on a train split of one class
        return None


def limit_threads(values: int) -> None:
    """From here on let scikit-learn take one thread for a table of few `values` (`classifiers.few_threads`)."""
    few_threads(values)


# ---- dimensions ------------------------------------------------------------------------------------------------------
def component_steps(most: int) -> list[int]:
    """Powers of two well below `most`, and `most`: the numbers of components worth trying."""
    return [2**power for power in range(1, most.bit_length()) if 2**power < most / 1.4] + [most]


def stratified_part(labels: np.ndarray, rows: np.ndarray, most: int, seed: int = 0) -> np.ndarray:
    """At most `most` of `rows` (about; at least one a class), as many of each class as can be, in their order."""
    if len(rows) <= most:
        return rows
    return rows[subsample(labels[rows], max(1, most // len(np.unique(labels[rows]))), seed)]


# ---- what is read off results ---------------------------------------------------------------------------------------
def best(result: Result, rows: np.ndarray) -> str:
    """The classifier with the highest accuracy on `rows` (val), the first in a tie."""
    return max(result.answers, key=lambda name: result.accuracy(name, rows).value)


def best_by_cv(result: Result) -> str:
    """The single classifier with the highest cross-validated accuracy, the first in a tie: chosen without val."""
    return max((name for name in result.answers if name != VOTING), key=lambda name: result.cv(name).value)


def fold_gap(result: Result, classifier: str) -> Difference:
    """Best minus worst fold of one classifier."""
    ordered = sorted(result.folds(classifier), key=lambda fold: fold.value)
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
