"""Outliers, far clusters, doubtful labels and near-duplicates that were planted are found."""

import numpy as np
import pytest

from lab_utils.analysis import outliers


@pytest.fixture
def space() -> tuple[np.ndarray, np.ndarray]:
    """120 points of four classes in eight dimensions."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(4), 30)
    return (np.eye(8)[labels] * 6 + rng.normal(0, 1, (120, 8))).astype(np.float32), labels


def test_a_point_far_from_all_has_the_highest_score(space):
    points, _ = space
    points[17] = 25
    scores = outliers.outlier_scores(points)
    assert scores.argmax() == 17 and np.median(scores) < 1.2


def test_a_small_far_clump_is_found_with_its_class_and_lot(space):
    points, labels = space
    rng = np.random.default_rng(1)
    points[:6] = 20 + rng.normal(0, 0.1, (6, 8))
    lots = np.array(["x"] * 4 + [""] * 116)
    found = outliers.far_clusters(points, points, labels, lots)
    assert sorted(found[0].members) == list(range(6))
    assert (found[0].label, found[0].share, found[0].lot, found[0].lots) == (0, 1.0, "x", 3)
    assert found[0].lot_share == pytest.approx(4 / 6) and found[0].isolation > 10


def test_a_whole_class_is_no_small_cluster():
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(4), 12)
    points = np.eye(8)[labels] * 50 + rng.normal(0, 1, (48, 8))
    assert outliers.far_clusters(points, points, labels, [""] * 48) == []
    assert len(outliers.far_clusters(points, points, labels, [""] * 48, largest=1)) == 4


def test_no_clusters_among_few_images():
    assert outliers.far_clusters(np.eye(6), np.eye(6), np.zeros(6, int), [""] * 6) == []


def test_labels_that_were_changed_are_doubted_first(space):
    points, labels = space
    changed = labels.copy()
    changed[[3, 40, 77]] = [2, 0, 3]
    found = outliers.suspected_labels(points, changed)
    assert set(found["position"]) <= {3, 40, 77} and len(found) >= 2
    assert (found["suggested"] == labels[found["position"]]).all()
    assert (found["other"] >= found["own"]).all()


def test_a_class_with_a_single_image_is_left_out(space):
    points, labels = space
    labels = labels.copy()
    labels[0] = 4
    assert 0 not in set(outliers.suspected_labels(points, labels)["position"])
    assert outliers.suspected_labels(points[:3], np.array([0, 1, 2])).empty  # none can be judged


def test_labels_are_judged_in_folds_that_keep_lots_together_and_are_five(space, monkeypatch):
    points, labels = space
    labels, lots = labels.copy(), np.array([f"{place // 3}" for place in range(120)])
    labels[[0, 1]] = 4  # two images of one lot: whichever fold they are in, no other holds their class
    seen = []

    def kept(points, codes, folds):
        seen.extend(folds)
        return out_of_fold(points, codes, folds)

    out_of_fold = outliers._out_of_fold
    monkeypatch.setattr(outliers, "_out_of_fold", kept)
    found = outliers.suspected_labels(points, labels, lots)
    assert len(seen) == 5 and not {0, 1} & set(found["position"])
    assert all(not set(lots[fit]) & set(lots[held]) for fit, held in seen)
    assert len(outliers.suspected_labels(points, labels, np.full(120, "one lot"))) >= 0


def test_near_duplicates_are_mutual_and_agree_with_all_pairs(space):
    points, _ = space
    points[100], points[119] = points[5] + 0.01, points[60] * 1.001
    first, second = np.arange(90), np.arange(90, 120)
    found = outliers.near_duplicates(points, first, second, 0.99, block=7)
    assert set(zip(found["first"], found["second"], strict=True)) == {(5, 100), (60, 119)}
    centred = points - points[:90].mean(0)
    cosine = centred[5] @ centred[100] / np.linalg.norm(centred[5]) / np.linalg.norm(centred[100])
    assert found.set_index("first")["cosine"][5] == pytest.approx(cosine, abs=1e-5)
    assert len(outliers.near_duplicates(points, first, second[:0])) == 0


def test_a_reason_commoner_among_the_flagged_is_told_from_chance():
    flagged, reason, labels = np.arange(100) < 20, np.arange(100) < 18, np.arange(100) % 3
    assert outliers.explained(flagged, reason, labels, [""] * 100).low > 0.5
    assert outliers.explained(flagged, np.arange(100) % 2 == 0, labels, [""] * 100).tie


def test_a_class_that_is_flagged_more_often_explains_nothing_by_itself():
    """Class 1 has the reason everywhere, and more of its images are flagged: within classes nothing differs."""
    labels = np.repeat([0, 1], 50)
    flagged = np.concatenate([np.arange(50) < 5, np.arange(50) < 40])
    assert outliers.explained(flagged, labels == 1, labels, [""] * 100).value == 0
    assert outliers.explained(labels == 1, labels == 1, labels, [""] * 100) is None
