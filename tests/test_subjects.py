"""The linear head that turns a frozen network into a classifier of mediums."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from lab_utils.subjects import border_groups, group_means, linear_head, marks_words, spread_rows


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


def test_groups_are_museums_marked_lots_and_the_rest() -> None:
    images = pd.DataFrame({"museum": ["A", "A", "", "B"], "lot": ["2011.604", "1.2", "", "59.533"]})
    groups = {name: mask.tolist() for name, mask in border_groups(images).items()}
    assert groups["A"] == [True, True, False, False] and groups["B"] == [False, False, False, True]
    assert groups["images without a known mark"] == [False, True, True, False]
    assert groups["lots with a ruler and colour chart"] == [True, False, False, False]


def test_group_means_leave_out_small_groups_and_unknown_values() -> None:
    values = np.array([0.1, 0.3, np.nan, 0.2, 0.9])
    masks = {"many": np.array([1, 1, 1, 1, 0], bool), "few": np.array([0, 0, 0, 0, 1], bool)}
    found = group_means(values, masks, least=3)
    assert list(found) == ["many"] and found["many"].value == pytest.approx(0.2) and found["many"].n == 3


def test_rows_are_thinned_evenly() -> None:
    assert spread_rows(np.arange(100), 5).tolist() == [0, 25, 50, 74, 99]
    assert spread_rows(np.arange(3), 5).tolist() == [0, 1, 2]


def test_words_on_marks_follow_the_shares() -> None:
    groups = {
        "lots with a ruler": np.repeat([True, False], 20),
        "images without a known mark": np.repeat([False, True], 20),
    }
    low, high = np.linspace(0.1, 0.15, 20), np.linspace(0.4, 0.45, 20)
    assert "draw relevance to the frame" in marks_words("net", np.concatenate([high, low]), groups)
    assert "less relevance" in marks_words("net", np.concatenate([low, high]), groups)
    assert "no difference" in marks_words("net", np.concatenate([low, low]), groups)
    assert "too few" in marks_words("net", np.full(40, np.nan), groups)
