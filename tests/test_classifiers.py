"""Each fast classifier against the plain library's."""

import sys

import numpy as np
import pytest
from sklearn.datasets import make_blobs
from sklearn.linear_model import RidgeClassifier, RidgeClassifierCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC

from lab_utils.analysis import classifiers


def blobs(n=240, classes=6, width=20, spread=4.0, seed=0):
    X, y = make_blobs(n, width, centers=classes, cluster_std=spread, random_state=seed)
    return X.astype(np.float32), y


@pytest.mark.parametrize("shape", [(240, 20), (60, 200)])
def test_ridge_picks_the_penalty_and_the_weights_of_scikit_learn(shape):
    X, y = blobs(shape[0], width=shape[1])
    X = (X - X.mean(0)) / X.std(0)
    ours = classifiers.Ridge().fit(X.astype(np.float64), y)
    theirs = RidgeClassifierCV(alphas=classifiers.Ridge().alphas).fit(X.astype(np.float64), y)
    assert ours.alpha_ == theirs.alpha_
    fixed = RidgeClassifier(alpha=ours.alpha_).fit(X.astype(np.float64), y)
    np.testing.assert_allclose(ours.decision_function(X), fixed.decision_function(X), atol=2e-3)  # float32


def test_ridge_leave_one_out_error_is_the_one_of_refitting_without_the_image():
    X, y = blobs(40, classes=3, width=8)
    X = ((X - X.mean(0)) / X.std(0)).astype(np.float64)
    signs = 2.0 * np.eye(3)[y] - 1

    def error(alpha):
        total = 0.0
        for i in range(len(y)):
            rest = np.arange(len(y)) != i
            model = RidgeClassifier(alpha=alpha).fit(X[rest], y[rest])
            total += ((model.decision_function(X[i : i + 1])[0] - signs[i]) ** 2).sum()
        return total

    alphas = (1.0, 10.0, 100.0, 1000.0)
    assert classifiers.Ridge(alphas).fit(X, y).alpha_ == min(alphas, key=error)


@pytest.mark.parametrize("classes", [2, 5])
def test_the_linear_svm_reaches_the_minimum_of_linear_svc(classes):
    X, y = blobs(150, classes=classes, width=10)
    X = ((X - X.mean(0)) / X.std(0)).astype(np.float32)
    ours = classifiers.LinearSVM(iterations=3000, tolerance=1e-9).fit(X, y)
    theirs = LinearSVC(dual=False, tol=1e-8, max_iter=20_000).fit(X.astype(float), y)
    weights = np.vstack([theirs.coef_.T, theirs.intercept_])
    np.testing.assert_allclose(ours.weights_[:, -1], weights[:, -1], atol=2e-3)
    assert (ours.predict(X) == theirs.predict(X)).mean() > 0.99


@pytest.mark.parametrize("classes", [2, 3, 7])
def test_the_rbf_svm_predicts_exactly_what_svc_predicts(classes):
    X, y = blobs(300, classes=classes, spread=9.0)
    unseen = blobs(200, classes=classes, spread=12.0, seed=1)[0]
    ours, theirs = classifiers.RBFSVM().fit(X.astype(float), y), SVC().fit(X.astype(float), y)
    assert (ours.predict(unseen.astype(float)) == theirs.predict(unseen.astype(float))).all()
    assert len(np.unique(ours.predict(unseen))) > 1


def test_the_kernel_on_all_principal_components_with_the_full_gamma_is_the_kernel_of_all_columns():
    X, y = blobs(120, width=15, spread=9.0)
    models = classifiers.full_classifiers(15, 15)
    plain = make_pipeline(StandardScaler(), SVC(gamma=1 / 15)).fit(X[:80], y[:80]).predict(X)
    assert (models["RBF SVM"].fit(X[:80], y[:80]).predict(X) == plain).mean() > 0.99


def test_a_fit_leaves_the_given_estimator_as_it_was_and_takes_any_labels():
    X, y = blobs(60, classes=2)
    model, names = classifiers.Ridge(), np.array(["Bronze", "Gold"])[y]
    fitted = classifiers.fit(model, X, names)
    assert (fitted.predict(X) == names).mean() > 0.9 and not hasattr(model, "alpha_")
    assert classifiers.fit(model, X, np.full(60, 7)).predict(X[:3]).tolist() == [7, 7, 7]


def test_without_xgboost_the_stand_in_carries_its_own_name(monkeypatch):
    assert classifiers.boosting()[0] == "XGBoost"
    monkeypatch.setitem(sys.modules, "xgboost", None)
    name, estimator = classifiers.boosting(rounds=3)
    assert name == "Histogram boosting" and type(estimator).__name__ == "HistGradientBoostingClassifier"
    X, y = blobs()
    assert (estimator.fit(X, y).predict(X) == y).mean() > 0.5
    assert classifiers.original_classifiers().keys() == {"Histogram boosting", "Linear SVM", "Random forest", "RBF SVM"}
