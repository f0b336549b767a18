"""Shortcuts by hand."""

import numpy as np
import pytest

from lab_utils.analysis import shortcuts


def test_permutation_importance_finds_the_column_that_is_used_and_only_that():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 3))
    truth = (X[:, 0] > 0).astype(int)
    asked = {"first": lambda t: (t[:, 0] > 0).astype(int), "none": lambda t: np.zeros(len(t), int)}
    lost = shortcuts.permutation_importance(asked, X, truth, {"used": [0], "not": [1, 2]})
    used, mean = lost["first"]["used"], lost[shortcuts.MEAN]["used"]
    assert used.value == pytest.approx(0.5, abs=0.05) and used.low > 0.4
    assert mean.value == pytest.approx((used.value + lost["none"]["used"].value) / 2)


@pytest.mark.parametrize("repeats", [3, 7, 10, 30])  # sums of 1/10 or 1/30 are not 1 in floating point
def test_columns_that_are_not_read_lose_exactly_nothing(repeats):
    rng = np.random.default_rng(0)
    X, truth = rng.normal(size=(50, 2)), rng.integers(0, 2, 50)
    lost = shortcuts.permutation_importance(
        {"A": lambda t: np.zeros(len(t), int)}, X, truth, {"all": [0, 1]}, repeats=repeats
    )
    assert (lost["A"]["all"].value, lost["A"]["all"].low, lost["A"]["all"].high) == (0, 0, 0)


def test_what_the_medium_tells_of_the_museum_is_its_commonest_one_in_train():
    museums = np.array(["A", "A", "B", "B", "", "B", "", "A"], object)
    labels = np.array([0, 0, 0, 1, 1, 2, 1, 9])
    told = shortcuts.told_by_medium(labels, museums, np.arange(6), np.array([0, 6, 7]))
    assert told.tolist() == ["A", "B", "B"]


def test_half_images_keep_half_of_the_area_each_and_together_all_of_it():
    images = np.full((2, 100, 60, 3), 10, np.uint8)
    halves = shortcuts.half_images(images)
    kept = {name: (part == 10).mean() for name, part in halves.items()}
    assert kept["border alone"] == pytest.approx(0.5, abs=0.02) and sum(kept.values()) == pytest.approx(1)
    assert halves["border alone"][0, 50, 30, 0] == 128 and halves["middle alone"][0, 0, 0, 0] == 128
