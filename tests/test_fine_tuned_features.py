"""Chapter 12's comparisons on constructed features."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sklearn.neighbors import KNeighborsClassifier

from lab_utils.chapters import fine_tuned_features, frozen_probe
from lab_utils.chapters.fine_tuned_features import FeatureSpace
from lab_utils.stats.intervals import Accuracy, Difference

SPLIT = np.repeat(["train", "val", "test"], [60, 30, 30])
LABELS = np.arange(120) % 3


def space(title: str, signal: float, seed: int = 0) -> FeatureSpace:
    """Three classes of Gaussian features, `signal` apart."""
    rng = np.random.default_rng(seed)
    centres = signal * np.eye(3, 12)[LABELS]
    features = (centres + rng.normal(size=(120, 12))).astype(np.float32)
    return FeatureSpace(title, "made", features, SPLIT, np.arange(120), 96, np.arange(120))


class Lab:
    """As much of a lab as pretrained spaces ask for; it notes which sizes it was asked for."""

    def __init__(self, size: int | str = "native"):
        self.sizes = []
        self.settings = SimpleNamespace(features=SimpleNamespace(size=size))

    def title(self, network: str) -> str:
        return network.upper()

    def features(self, network: str, layer: str, size: int | None) -> np.ndarray:
        self.sizes.append(size)
        return np.full((200, 4), size or 0)


def test_pretrained_features_are_of_the_input_size_that_the_fine_tuned_ones_are_of():
    lab, fine = Lab(), space("fine", 3)
    plain = fine_tuned_features.pretrained_space(lab, "lite0", fine)
    assert lab.sizes == [96] and plain.size == fine.size == 96
    assert np.all(plain.features == 96) and "96 px" in plain.title
    words = fine_tuned_features.sizes_words(fine, [plain, fine])
    assert "one input size, 96 pixels" in words and "another size" not in words


@pytest.mark.parametrize(("asked", "usual"), [("native", 224), (160, 160)])
def test_the_size_of_the_other_chapters_is_a_row_of_its_own_that_says_so(asked, usual):
    lab, fine = Lab(asked), space("fine", 3)
    plain, other = (make(lab, "lite0", fine) for make in fine_tuned_features.MAKERS)
    assert (plain.size, other.size) == (96, usual)
    assert plain.title != other.title
    row = f"rows of their own: LITE0, pretrained, {usual} px (4)"
    assert row in fine_tuned_features.sizes_words(fine, [plain, fine, other])
    fine.size = usual
    assert fine_tuned_features.usual_space(lab, "lite0", fine) is None


def test_a_network_whose_dense_layers_fix_its_size_keeps_it_and_shows_it():
    plain = fine_tuned_features.pretrained_space(Lab(), "vgg16", space("fine", 3))
    assert plain.size == 224 and "224 px" in plain.title
    assert "rows of their own" in fine_tuned_features.sizes_words(space("fine", 3), [plain])


def test_places_of_a_split_are_its_rows():
    assert list(space("a", 1).of("val")) == list(range(60, 90))


def test_neighbours_agree_with_scikit_learns_leave_one_out():
    one = space("a", 3)
    rows = one.of("val")
    votes = fine_tuned_features.neighbours_right(one, "val", LABELS[rows])
    unit = one.features[rows] / np.linalg.norm(one.features[rows], axis=1, keepdims=True)
    for left_out in range(0, 30, 7):
        rest = np.delete(np.arange(30), left_out)
        model = KNeighborsClassifier(fine_tuned_features.NEIGHBOURS).fit(unit[rest], LABELS[rows][rest])
        assert votes.predicted[left_out] == model.predict(unit[left_out : left_out + 1])[0]
    assert votes.accuracy.n == 30


def test_separated_classes_have_their_own_neighbours_and_noise_has_not():
    clear, noise = space("clear", 9), space("noise", 0)
    labels = {split: LABELS[split == SPLIT] for split in ("train", "val", "test")}
    gains = fine_tuned_features.gains(*(fine_tuned_features.by_split(one, labels) for one in (clear, noise)))
    assert gains["test"].value > 0.3
    assert not gains["test"].tie
    words = fine_tuned_features.illusion_words(gains)
    assert f"on val: {gains['val']}; on test: {gains['test']}" in words


def test_train_is_asked_with_as_many_images_a_class_as_val_has():
    one = space("clear", 3)
    labels = {"train": LABELS[:60], "val": LABELS[60:90]}
    votes = fine_tuned_features.by_split(one, labels)
    assert votes["train"].accuracy.n == votes["val"].accuracy.n == 30
    assert np.bincount(votes["train"].labels).tolist() == np.bincount(labels["val"]).tolist()


def test_a_thinned_split_keeps_small_classes_whole():
    places = fine_tuned_features.as_dense(np.array([0, 0, 0, 0, 1]), np.array([0, 0, 1, 1]))
    assert np.bincount(np.array([0, 0, 0, 0, 1])[places]).tolist() == [2, 1]


def test_intervals_draw_whole_lots():
    one = space("clear", 3)
    truth, first = np.zeros(30, int), np.repeat([0, 1, 1, 0, 0, 1], 5)
    free = one.compare("val", truth, first, np.ones(30, int), "x")
    one.groups = np.arange(120) // 5
    tied = one.compare("val", truth, first, np.ones(30, int), "x")
    assert tied.value == free.value == pytest.approx(0.5)
    assert tied.high - tied.low > 1.5 * (free.high - free.low)


def test_classifiers_see_only_train_labels():
    one = space("clear", 6)
    hidden = LABELS.copy()
    hidden[SPLIT != "train"] = -1
    fine_tuned_features.classify(one, hidden, rounds=2, trees=5, components=8)
    found = fine_tuned_features.scores(one, LABELS[one.of("val")], "val")
    assert found["Linear SVM"].value > 0.9
    assert fine_tuned_features.svm_against_best(one, LABELS[one.of("val")]).n == 30


def test_recall_counts_one_class_and_says_none_without_images():
    predicted = np.array([0, 0, 1, 1])
    assert fine_tuned_features.recall(np.array([0, 0, 0, 1]), predicted, 0, "x").successes == 2
    assert fine_tuned_features.recall(np.array([1, 1, 1, 1]), predicted, 0, "x") is None


def test_followed_classes_are_found_by_name_and_missing_ones_left_out():
    table = fine_tuned_features.followed(["a", "b"], ["b", "z"], np.array([1, 1, 0]), {"route": np.array([1, 0, 0])})
    assert list(table["class"]) == ["b"]
    assert table["else taken for, mostly"].iloc[0] == "a"


def textiles(silk: int, before: int, after: int) -> tuple[FeatureSpace, np.ndarray, np.ndarray, np.ndarray]:
    """A val split with so many images of silk, of which so many are found before and after; 40 of woven fabric."""
    labels = np.repeat([0, 1], [silk, 40])
    answers = [np.r_[np.arange(silk) >= found, np.ones(40)].astype(int) for found in (before, after)]
    n = len(labels)
    return (
        FeatureSpace("a", "made", np.zeros((n, 2)), np.repeat("val", n), np.arange(n), 96, np.arange(n)),
        labels,
        *answers,
    )


def test_silk_is_not_testable_where_the_class_is_missing_or_has_few_images():
    space_, labels, before, after = textiles(60, 20, 58)
    assert fine_tuned_features.silk_evidence(space_, ["a", "b"], labels, before, after)["value"] is None
    few = fine_tuned_features.silk_evidence(*textiles_given(3, 0, 0))
    assert few == {"value": None, "images": 3, "before": None, "after": None}


def textiles_given(silk: int, before: int, after: int) -> tuple:
    """Arguments of the evidence."""
    one, labels, *answers = textiles(silk, before, after)
    return one, list(fine_tuned_features.TEXTILES), labels, *answers


@pytest.mark.parametrize(("before", "after"), [(20, 58), (30, 30), (40, 22)])
def test_evidence_on_silk_is_of_its_own_images(before, after):
    evidence = fine_tuned_features.silk_evidence(*textiles_given(60, before, after))
    gain = evidence["value"]
    assert gain.value == pytest.approx((after - before) / 60) and gain.n == evidence["images"] == 60
    assert (evidence["before"].successes, evidence["after"].successes) == (before, after)


@pytest.mark.parametrize(
    ("val", "words"),
    [
        (Difference(0.1, 0.05, 0.15, 90), "Report the route through features (Linear SVM)"),
        (
            Difference(-0.1, -0.15, -0.05, 90),
            "Report the network's own head as the result of fine-tuning: it is better",
        ),
        (Difference(0.01, -0.05, 0.06, 90), "the two are a tie"),
    ],
)
def test_what_to_report_is_decided_on_val_whatever_test_says(val, words):
    for test in (Accuracy(300, 500), Accuracy(100, 500)):
        what, because, instead = fine_tuned_features.report_by(val, test, "Linear SVM")
        assert words in what
        assert f"on val: {val}" in because and f"read afterwards: {test}" in because
        assert ("own head" in instead) == ("route through features" in what)


def run_of(probabilities: np.ndarray) -> SimpleNamespace:
    """A run whose second of two epochs is the best, with these answers on val."""
    logits = np.log(np.stack([probabilities[:, ::-1], probabilities]) + 1e-9)
    recipe = SimpleNamespace(name="features run")
    return SimpleNamespace(recipe=recipe, val_logits=lambda: logits, best_epoch=2, seconds=9.0)


def test_only_the_chosen_classifier_on_fine_tuned_features_reads_test():
    tuned, plain = space("Net", 6), space("Net", 6)
    tuned.run = run_of(np.eye(3)[[2] * 30])
    assert list(fine_tuned_features.tested_routes([plain, tuned], "Ridge")) == [tuned.route("Ridge")]


def test_routes_are_named_by_classifier_and_space_and_by_run():
    one = space("Net", 6)
    fine_tuned_features.classify(one, np.where(SPLIT == "train", LABELS, -1), rounds=2, trees=5, components=8)
    probabilities = np.eye(3)[[2] * 30]
    one.run, one.name = run_of(probabilities), "features run"
    found = fine_tuned_features.routes([one], "Linear SVM")
    assert list(found) == ["Linear SVM on Net, made, 96 px (12)", "Net, features run"]
    assert (found["Linear SVM on Net, made, 96 px (12)"] == LABELS[60:90]).mean() > 0.9
    assert set(found["Net, features run"]) == {2}


def test_the_linear_svm_answers_val_from_train_alone():
    clear, hidden = space("clear", 6), np.where(SPLIT == "train", LABELS, -1)
    predicted, seconds = frozen_probe.linear_svm(clear.features, hidden, clear.of("train"), clear.of("val"))
    assert (predicted == LABELS[clear.of("val")]).mean() > 0.9
    assert seconds > 0


def test_the_frozen_embeddings_stand_beside_fine_tuning_with_the_sizes_of_both():
    fine, frozen, native = space("fine", 6), space("frozen", 6), space("frozen", 6)
    native.size = 224
    probabilities = np.eye(3)[(LABELS[60:90] + 1) % 3]  # always wrong
    fine.run = run_of(probabilities)
    hidden = np.where(SPLIT == "train", LABELS, -1)
    table, words, hits = fine_tuned_features.frozen_or_tuned(LABELS[60:90], [frozen, native], hidden, fine)
    assert [name for name, *_ in hits] == list(table["route"][:2]) and hits[0][1].sum() == table["val"][0].successes
    assert [("96 px" in name, "224 px" in name) for name in table["route"]] == [(1, 0), (0, 1), (1, 0)]
    assert table["val"].iloc[-1].successes == 0
    assert "at 96 px better by" in words and "at 224 px better by" in words


def test_the_frozen_probe_learns_from_the_runs_own_train_images_at_its_size(monkeypatch):
    lab, rng = Lab(), np.random.default_rng(0)
    values = (4 * np.eye(3, 8)[LABELS] + rng.normal(size=(120, 8))).astype(np.float32)
    lab.features = lambda network, layer, size: lab.sizes.append(size) or values
    lab.images = pd.DataFrame({"label": np.where(SPLIT == "test", -1, LABELS)})
    rows = {"train": np.arange(0, 60, 2), "val": np.arange(60, 90)}
    here, run = SimpleNamespace(network="lite0", size=96, title="LITE0"), SimpleNamespace(rows=rows.__getitem__)
    answers, title = frozen_probe.frozen_probe(lab, here, run)
    assert lab.sizes == [96] and "96 px" in title
    assert (answers == LABELS[60:90]).mean() > 0.9
