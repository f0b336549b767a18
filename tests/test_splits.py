"""Which images of a split are used: drawn by class, the same each time, test labels hidden; what stays together."""

import numpy as np
import pandas as pd
import pytest

from lab_utils.core.profiles import Data
from lab_utils.data import splits
from lab_utils.data.splits import SplitImages, subsample

SORTED = np.repeat([0, 1, 2], [5, 20, 35])


def test_at_most_so_many_of_each_class_are_drawn_in_order_the_same_each_time():
    places = subsample(SORTED, 10, seed=1)
    assert np.bincount(SORTED[places]).tolist() == [5, 10, 10] and (np.diff(places) > 0).all()
    assert np.array_equal(places, subsample(SORTED, 10, seed=1))
    assert not np.array_equal(places, subsample(SORTED, 10, seed=2))


def test_names_and_a_number_for_each_class_work_too_and_a_class_without_one_is_left_out():
    names = np.array(["a", "b", "c"])[SORTED]
    assert pd.Series(names[subsample(names, {"a": 2, "c": 30})]).value_counts().to_dict() == {"c": 30, "a": 2}
    assert len(subsample(names, {})) == len(subsample(SORTED[:0], 3)) == 0


def test_every_image_of_a_class_is_as_likely_as_another():
    drawn = np.concatenate([subsample(SORTED, 7, seed) for seed in range(600)])
    shares = np.bincount(drawn, minlength=60)[25:] / 600  # of the class of 35 images
    assert shares.mean() == pytest.approx(7 / 35) and np.abs(shares - 0.2).max() < 5 * np.sqrt(0.2 * 0.8 / 600)


def images() -> SplitImages:
    labels = np.where(np.arange(90) < 60, np.tile(SORTED[::2], 3), -1)
    return SplitImages(lambda size: None, np.repeat(["train", "val", "test"], 30), labels, 3, "hash")


def test_a_cap_thins_train_alone():
    capped, labels = images().rows("train", 2), images().labels
    assert np.bincount(labels[capped]).tolist() == [2, 2, 2] and set(capped) <= set(range(30))
    assert set(capped) < set(images().rows("train", 3)) < set(images().rows("train"))
    assert images().rows("val", 2).tolist() == list(range(30, 60))


def test_cap_and_classes_limit_every_split_alike():
    rows = pd.DataFrame({"label": np.repeat([0, 1, 2], 20), "subset": ["train", "val"] * 30})
    kept, classes = splits.limited(rows, ["a", "b", "c"], Data(cap=4, classes=2, seed=3))
    assert classes == ["a", "b"] and (kept.groupby(["label", "subset"]).size() == 4).all()
    again, _ = splits.limited(rows, ["a", "b", "c"], Data(cap=4, classes=2, seed=3))
    assert kept.equals(again)


def test_fold_groups_are_lots_where_known_else_objects():
    rows = pd.DataFrame({"lot": ["1.2", "1.2", "", ""], "group": ["x", "y", "z", ""], "file": list("abcd")})
    assert splits.fold_groups(rows).tolist() == ["lot 1.2", "lot 1.2", "object z", "object d"]
