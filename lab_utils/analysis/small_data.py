"""Few images: one linear model on a network's features, its penalty chosen inside, its accuracy nested.

What is told of a classifier comes from images that had part neither in its fit nor in the choice of its penalty, and
no look-alike of which had.
"""

import warnings
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from sklearn.linear_model import RidgeClassifier

FOLDS = 5  # at most: fewer where no class has so many different images
STRENGTHS = (10.0, 1.0, 0.1, 0.01)  # ridge penalties, relative to the features' total variance; among equals the first

Folds = list[tuple[np.ndarray, np.ndarray]]


def folds(labels: np.ndarray, groups: np.ndarray, seed: int = 0) -> Folds:
    """Shuffled, stratified folds that never part a group.

    Args:
        labels: classes 0, 1, ..., shape (n,).
        groups: equal for images that look alike, shape (n,).
        seed: of the shuffling.

    Returns:
        Positions of train and test, fold by fold; none where no class has two groups.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    groups_of_class = np.bincount(np.unique(np.stack([labels, groups]), axis=1)[0])
    count = min(FOLDS, groups_of_class.max())
    if count < 2:
        return []
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The least populated class")
        pairs = list(StratifiedGroupKFold(count, shuffle=True, random_state=seed).split(labels, labels, groups))
    return [(train, test) for train, test in pairs if len(train) and len(test)]


def fit_ridge(X: np.ndarray, labels: np.ndarray, groups: np.ndarray, seed: int = 0) -> "RidgeClassifier":
    """Fit the ridge classifier whose penalty gets most images right in folds of these images.

    Columns are not standardised: a feature that hardly varies among few images would count thousandfold in a new one.

    Args:
        X: features, shape (n, d).
        labels: classes 0, 1, ..., shape (n,).
        groups: as for `folds`.
        seed: of the folds.
    """
    from sklearn.linear_model import RidgeClassifier
    from sklearn.model_selection import GridSearchCV

    variance = float(X.var(0).sum()) or 1.0
    penalties = [strength * variance for strength in STRENGTHS]
    inner = folds(labels, groups, seed)
    if not inner:  # nothing to choose by
        return RidgeClassifier(alpha=penalties[len(penalties) // 2]).fit(X, labels)
    return GridSearchCV(RidgeClassifier(), {"alpha": penalties}, cv=inner).fit(X, labels).best_estimator_


def scores_of(model: "RidgeClassifier", X: np.ndarray, classes: int) -> np.ndarray:
    """Scores of images (n, d) for all classes, (n, classes); a class that the model never saw gets each row's lowest.

    scikit-learn gives a single column, shape (n,), for two classes.
    """
    own = model.decision_function(X).reshape(len(X), -1)
    own = np.concatenate([-own, own], axis=1) if len(model.classes_) == 2 else own
    scores = np.repeat(own.min(1, keepdims=True), classes, axis=1)
    scores[:, model.classes_] = own
    return scores


def nested_predictions(X: np.ndarray, labels: np.ndarray, groups: np.ndarray, seed: int = 0) -> np.ndarray:
    """Labels (n,) that images get from a model to which neither they nor their look-alikes gave anything.

    Args:
        X: features, shape (n, d).
        labels: classes 0, 1, ..., shape (n,); some class has two groups.
        groups: as for `folds`.
        seed: of the folds, outer and inner.
    """
    predicted = np.full_like(labels, -1)
    for train, test in folds(labels, groups, seed):
        predicted[test] = fit_ridge(X[train], labels[train], groups[train], seed).predict(X[test])
    return predicted


def out_of_fold_scores(
    X: np.ndarray, labels: np.ndarray, groups: np.ndarray, penalty: float, seed: int = 0
) -> np.ndarray:
    """Scores (n, classes) out of fold at one penalty: what a temperature is fitted on.

    Arguments as for `nested_predictions`; `penalty` is the one that the final model was given, for scores of all
    penalties mixed have no common scale.
    """
    from sklearn.linear_model import RidgeClassifier

    classes = int(labels.max()) + 1
    scores = np.empty((len(labels), classes))
    for train, test in folds(labels, groups, seed):
        scores[test] = scores_of(RidgeClassifier(alpha=penalty).fit(X[train], labels[train]), X[test], classes)
    return scores
