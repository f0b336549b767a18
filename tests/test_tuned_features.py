"""Chapter 12's comparisons on constructed features."""

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from lab_utils import tuned_features
from lab_utils.tuned_features import Space

SPLIT = np.repeat(["train", "val", "test"], [60, 30, 30])
LABELS = np.arange(120) % 3


def space(title: str, signal: float, seed: int = 0) -> Space:
    """Three classes of Gaussian features, `signal` apart."""
    rng = np.random.default_rng(seed)
    centres = signal * np.eye(3, 12)[LABELS]
    return Space(title, (centres + rng.normal(size=(120, 12))).astype(np.float32), SPLIT, np.arange(120))


def test_places_of_a_split_are_its_rows():
    assert list(space("a", 1).of("val")) == list(range(60, 90))


def test_neighbours_agree_with_scikit_learns_leave_one_out():
    one = space("a", 3)
    rows = one.of("val")
    ours, predicted = tuned_features.neighbours_right(one, "val", LABELS[rows])
    unit = one.features[rows] / np.linalg.norm(one.features[rows], axis=1, keepdims=True)
    for left_out in range(0, 30, 7):
        rest = np.delete(np.arange(30), left_out)
        model = KNeighborsClassifier(tuned_features.NEIGHBOURS).fit(unit[rest], LABELS[rows][rest])
        assert predicted[left_out] == model.predict(unit[left_out : left_out + 1])[0]
    assert ours.n == 30


def test_separated_classes_have_their_own_neighbours_and_noise_has_not():
    clear, noise = space("clear", 9), space("noise", 0)
    labels = {split: LABELS[split == SPLIT] for split in ("train", "val", "test")}
    right = {one.title: tuned_features.by_split(one, labels) for one in (clear, noise)}
    gain = tuned_features.gain(right, clear, noise, "test", labels["test"])
    assert gain.value > 0.3
    assert not gain.tie
    words = tuned_features.illusion_words(*tuned_features.accuracies(right, clear, noise))
    assert "on val" in words


def test_classifiers_see_only_train_labels():
    one = space("clear", 6)
    hidden = LABELS.copy()
    hidden[SPLIT != "train"] = -1
    tuned_features.classify(one, hidden, rounds=2, trees=5, components=8)
    found = tuned_features.scores(one, LABELS[one.of("val")], "val")
    assert found["Linear SVM"].value > 0.9
    assert tuned_features.svm_against_best(one, LABELS[one.of("val")]).n == 30


def test_recall_counts_one_class_and_says_none_without_images():
    predicted = np.array([0, 0, 1, 1])
    assert tuned_features.recall(np.array([0, 0, 0, 1]), predicted, 0, "x").successes == 2
    assert tuned_features.recall(np.array([1, 1, 1, 1]), predicted, 0, "x") is None


def test_followed_classes_are_found_by_name_and_missing_ones_left_out():
    table = tuned_features.followed(["a", "b"], ["b", "z"], np.array([1, 1, 0]), {"route": np.array([1, 0, 0])})
    assert list(table["class"]) == ["b"]
    assert table["else taken for, mostly"].iloc[0] == "a"


def test_silk_is_not_testable_where_the_class_is_missing():
    verdict = tuned_features.silk_verdict(["a"], LABELS, {}, "x", "y")
    assert verdict.verdict == "not testable"


@pytest.mark.parametrize(("found", "verdict"), [(58, "contradicted"), (22, "supported")])
def test_silk_verdict_follows_the_recall(found, verdict):
    labels = np.zeros(60, int)
    before, after = np.r_[np.zeros(20, int), np.ones(40, int)], np.r_[np.zeros(found, int), np.ones(60 - found, int)]
    classes = ["Silk and metal thread", "other"]
    given = tuned_features.silk_verdict(classes, labels, {"x": before, "y": after}, "x", "y")
    assert given.verdict == verdict


def test_the_linear_svm_answers_val_from_train_alone():
    one = space("clear", 6)
    predicted, seconds = tuned_features.linear_svm(one, np.where(SPLIT == "train", LABELS, -1))
    assert (predicted == LABELS[one.of("val")]).mean() > 0.9
    assert seconds > 0
