"""Chapter 15's comparisons, treatments and front on constructed data whose answer is known."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import RidgeClassifier
from sklearn.preprocessing import StandardScaler, normalize

from lab_utils.chapters import improvements
from lab_utils.core import quantities
from lab_utils.stats.intervals import Difference


@pytest.fixture(scope="module")
def clusters():
    """Four classes of thirty points in ten dimensions; labels 0 and 1 of the first five of each are swapped."""
    rng = np.random.default_rng(0)
    truth = np.repeat(np.arange(4), 30)
    points = (4 * rng.normal(size=(4, 10))[truth] + rng.normal(size=(120, 10))).astype(np.float32)
    given = truth.copy()
    given[:5], given[30:35] = 1, 0
    return points, truth, given


def test_the_head_is_ridge_on_standardised_columns_of_unit_rows(clusters):
    points, truth, _ = clusters
    scaler = StandardScaler().fit(points[::2])
    expected = RidgeClassifier(alpha=0.1).fit(normalize(scaler.transform(points[::2])), truth[::2])
    found = improvements.head_predictions([points[::2]], truth[::2], [points[1::2]])
    assert np.array_equal(found, expected.predict(normalize(scaler.transform(points[1::2]))))


def test_joined_blocks_count_the_same_however_wide_and_large_they_are(clusters):
    """A block beside 100 columns of large noise, by hand: two unit vectors a row, twice the penalty."""
    points, truth, _ = clusters
    noise = 1000 * np.random.default_rng(1).normal(size=(120, 100)).astype(np.float32)
    rows = [normalize(StandardScaler().fit(block[::2]).transform(block)) for block in (points, noise)]
    joined = np.concatenate(rows, axis=1) / np.sqrt(2)
    expected = RidgeClassifier(alpha=0.1).fit(joined[::2], truth[::2])
    predicted = improvements.head_predictions([points[::2], noise[::2]], truth[::2], [points[1::2], noise[1::2]])
    assert np.array_equal(predicted, expected.predict(joined[1::2]))


def test_swapped_labels_are_replaced_and_left_out(clusters):
    points, truth, given = clusters
    found = improvements.treatments(points, given)
    wrong = np.flatnonzero(given != truth)
    labels, weights = found["doubted labels replaced"]
    assert (labels == truth).mean() > (given == truth).mean()
    assert (labels[wrong] == truth[wrong]).mean() > 0.7
    assert (weights == 1).all()
    assert found["doubted images left out"][1][wrong].mean() < 0.3
    assert set(found["doubted images at half weight"][1]) == {0.5, 1}


def test_outliers_are_the_far_points(clusters):
    points, truth, _ = clusters
    far = points.copy()
    far[[3, 70]] += 60
    weights = improvements.treatments(far, truth, share=2 / 120)["outliers left out"][1]
    assert set(np.flatnonzero(weights == 0)) == {3, 70}


def test_difficult_classes_weigh_more():
    rng = np.random.default_rng(1)
    labels = np.repeat([0, 1, 2], 40)
    centres = np.array([[0, 0], [0.3, 0], [20, 20]])  # the first two overlap
    weights = improvements.treatments((centres[labels] + rng.normal(size=(120, 2))).astype(np.float32), labels)
    weights = weights["difficult classes weighted"][1]
    assert weights[80:].max() < min(weights[0], weights[40])
    assert 1 <= weights.min() <= weights.max() <= 2


def test_a_class_with_one_image_does_not_keep_the_others_from_being_weighted():
    rng = np.random.default_rng(1)
    labels = np.array([*np.repeat([0, 1, 2], 40), 3])
    centres = np.array([[0, 0], [0.3, 0], [20, 20], [90, 0]])  # the first two overlap
    points = (centres[labels] + rng.normal(size=(121, 2))).astype(np.float32)
    weights = improvements._difficulty(points, labels, seed=0)
    assert weights[120] == 1
    assert weights[80:120].max() < min(weights[0], weights[40])


def test_few_images_are_drawn_and_not_the_first_of_a_sorted_table():
    labels = np.tile(np.arange(3), 40)
    rows = np.arange(30, 120)
    found = improvements.few_images(labels, rows, 5, seed=1)
    assert np.bincount(labels[found]).tolist() == [5, 5, 5]
    assert set(found) <= set(rows) and (np.diff(found) > 0).all()
    assert found.max() > 75  # the first five of each class end at row 44
    assert np.array_equal(found, improvements.few_images(labels, rows, 5, seed=1))
    assert not np.array_equal(found, improvements.few_images(labels, rows, 5, seed=2))
    assert 3 not in np.append(labels, 3)[improvements.few_images(np.append(labels, 3), np.arange(121), 5, least=2)]


def test_class_folders_hold_links_to_the_images_of_each_class(tmp_path):
    (tmp_path / "a.png").write_bytes(b"one")
    (tmp_path / "b.png").write_bytes(b"two")
    images = pd.DataFrame({"path": [str(tmp_path / "a.png"), str(tmp_path / "b.png")] * 2, "label": [0, 1, 1, 0]})
    settings = SimpleNamespace(run_folder=tmp_path / "run")
    lab = SimpleNamespace(settings=settings, images=images, classes=["Oil on canvas", "Bronze"])
    for _ in range(2):  # made anew
        root = improvements.class_folders(lab, np.array([0, 1, 2]))
        found = {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*.png")}
        assert found == {"Oil on canvas/0.png": b"one", "Bronze/1.png": b"two", "Bronze/2.png": b"one"}


def test_intervals_widen_with_the_number_of_gains_to_pick_from():
    rng = np.random.default_rng(0)
    truth = np.zeros(200, int)
    answers = {"a": rng.integers(0, 2, 200), "b": rng.integers(0, 2, 200)}
    one, five = (improvements.compare(truth, answers, "a", comparisons=k)["gain"][1] for k in (1, 5))
    assert one.value == five.value
    wider = (five.high - five.low) / (one.high - one.low)
    assert wider == pytest.approx(2.576 / 1.960, rel=0.12)  # normal quantiles of 0.5 % and 2.5 %


def test_rates_of_classes_by_hand():
    rates = improvements.rates_of_classes(np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1]), 3)
    assert rates.tolist() == [0.5, 1, 1]


def test_a_comparison_pairs_with_the_reference_and_a_staircase_with_the_row_before():
    truth = np.zeros(10, int)
    answers = {"a": np.repeat([0, 1], 5), "b": np.repeat([0, 1], [7, 3]), "c": np.repeat([0, 1], [6, 4])}
    table = improvements.compare(truth, answers, "a")
    assert table["gain"][0] is None
    assert [round(one.value, 2) for one in table["gain"][1:]] == [0.2, 0.1]
    assert improvements.best_of(truth, answers) == "b"
    assert improvements.best_gain(table).of == "b minus a"
    steps = improvements.staircase(truth, answers, {"a": 1, "b": 2, "c": 3})
    assert [round(one.value, 2) for one in steps["gain"][1:]] == [0.2, -0.1]


def test_the_mean_of_members_outvotes_the_unsure_one():
    members = {"sure": np.array([[0.9, 0.1]]), "unsure": np.array([[0.4, 0.6]])}
    assert improvements.averaged(members).tolist() == [0]


def test_what_the_preprocessing_costs_here_stands_beside_the_other_chapters_quantity():
    stairs = pd.DataFrame(
        {"step": ["1/255", "+ right preprocessing"], "gain": [None, Difference(-0.004, -0.03, 0.02, 9)]}
    )
    there = quantities.Quantity("cost", 0.056, 0.021, 0.091, 232, chapter="06_fine_tuning_run1", text="better by 5.6")
    words = improvements.preprocessing_words(stairs, there)
    assert (
        "a tie (-0.4 points" in words and "in chapter 06, run 1, better by 5.6" in words and "differ in head" in words
    )
    agreeing = quantities.Quantity("cost", -0.01, -0.04, 0.02, 232, chapter="06_fine_tuning_run1", text="a tie")
    assert "differ in head" not in improvements.preprocessing_words(stairs, agreeing)


# ---- fine-tuned networks ---------------------------------------------------------------------------------------------
def test_joined_features_are_read_by_split_and_block(clusters):
    """Each of two networks holds half of the columns; the rows of train and val are not mixed."""
    points, truth, _ = clusters
    halves = {"one": points[:, :5], "two": points[:, 5:]}
    rows = {"train": np.arange(0, 120, 2), "val": np.arange(1, 120, 2)}
    runs = {name: {split: half[rows[split]] for split in rows} for name, half in halves.items()}
    found = improvements.joined_features(runs, truth[rows["train"]])
    assert list(found) == ["one", "two", "joined"]
    direct = improvements.head_predictions(
        [half[rows["train"]] for half in halves.values()],
        truth[rows["train"]],
        [half[rows["val"]] for half in halves.values()],
    )
    assert np.array_equal(found["joined"], direct)
    assert (found["joined"] == truth[rows["val"]]).mean() > 0.9
    assert list(improvements.joined_features({"one": runs["one"]}, truth[rows["train"]])) == ["one"]
