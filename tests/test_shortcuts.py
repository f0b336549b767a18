"""Shortcuts by hand."""

import numpy as np
import pytest

from lab_utils import shortcuts as c


def test_permutation_importance_finds_the_column_that_is_used_and_only_that():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 3))
    truth = (X[:, 0] > 0).astype(int)
    lost = c.permutation_importance(lambda t: (t[:, 0] > 0).astype(int), X, truth, {"used": [0], "not": [1, 2]})
    assert lost["used"].value == pytest.approx(0.5, abs=0.05) and lost["used"].low > 0.4
    assert (lost["not"].value, lost["not"].low, lost["not"].high) == pytest.approx((0, 0, 0), abs=1e-12)


def test_guessing_by_lot_takes_the_commonest_train_class_and_falls_back():
    lots = np.array(["a", "a", "a", "b", "", "a", "b", "c", ""], object)
    labels = np.array([1, 1, 0, 2, 2, -1, -1, -1, -1])
    fallback = np.array([9] * 9)
    assert c.guess_by(lots, labels, np.arange(5), fallback)[5:].tolist() == [1, 2, 9, 9]
    assert set(c.guess_by(np.full(9, ""), labels, np.arange(5))) <= {1, 2}


def test_half_images_keep_half_of_the_area_each_and_together_all_of_it():
    images = np.full((2, 100, 60, 3), 10, np.uint8)
    halves = c.half_images(images)
    kept = {name: (part == 10).mean() for name, part in halves.items()}
    assert kept["border alone"] == pytest.approx(0.5, abs=0.02) and sum(kept.values()) == pytest.approx(1)
    assert halves["border alone"][0, 50, 30, 0] == 128 and halves["middle alone"][0, 0, 0, 0] == 128
