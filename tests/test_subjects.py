"""The linear head that turns a frozen network into a classifier of mediums."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from lab_utils.subjects import linear_head


@pytest.mark.parametrize("classes", [2, 4])
def test_head_gives_the_probabilities_of_the_regression_on_standardised_features(classes: int) -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, classes, 120)
    features = (rng.normal(size=(120, 6)) + np.eye(6)[labels] * 2) * [1, 10, 100, 1, 1, 1] + 5
    kernel, bias = linear_head(features, labels, classes, penalty=1.0)
    scores = features @ kernel + bias
    found = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    standard = (features - features.mean(0)) / (features.std(0) + 1e-6)
    wanted = LogisticRegression(C=1.0, max_iter=300).fit(standard, labels).predict_proba(standard)
    np.testing.assert_allclose(found, wanted, atol=1e-4)


def test_a_class_without_images_never_wins() -> None:
    rng = np.random.default_rng(1)
    features, labels = rng.normal(size=(40, 3)), np.repeat([0, 1, 3], [20, 10, 10])
    kernel, bias = linear_head(features, labels, 5)
    assert set((features @ kernel + bias).argmax(1)) <= {0, 1, 3}
