"""The linear head that turns a frozen network into a classifier of mediums."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from lab_utils.analysis import focus
from lab_utils.chapters.cam_models import CamModel, linear_head, pretrained
from lab_utils.chapters.grad_cam import (
    border_groups,
    focus_by_way,
    focus_evidence,
    group_means,
    marks_words,
    mosaic_words,
    spread_rows,
)


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
    values = np.array([0.1, 0.1, 0.3, np.nan, 0.3, 0.2, 0.9])
    masks = {"many": np.array([1, 1, 1, 1, 1, 1, 0], bool), "few": np.array([0, 0, 1, 1, 1, 1, 1], bool)}
    means = group_means(values, masks)
    assert list(means) == ["many"] and means["many"].value == pytest.approx(0.2) and means["many"].n == 5


def test_rows_are_thinned_evenly() -> None:
    assert spread_rows(np.arange(100), 5).tolist() == [0, 25, 50, 74, 99]
    assert spread_rows(np.arange(3), 5).tolist() == [0, 1, 2]


def test_words_on_marks_follow_the_shares() -> None:
    groups = {
        "lots with a ruler": np.repeat([True, False], 20),
        "images without a known mark": np.repeat([False, True], 20),
    }
    low, high = np.linspace(0.1, 0.15, 20), np.linspace(0.4, 0.45, 20)
    about = {"labels": np.tile([0, 1], 20), "lots": np.arange(40)}
    assert "draw relevance to the frame" in marks_words("net", np.concatenate([high, low]), groups, **about)
    assert "less relevance" in marks_words("net", np.concatenate([low, high]), groups, **about)
    assert "no difference" in marks_words("net", np.concatenate([low, low]), groups, **about)
    assert "too few" in marks_words("net", np.full(40, np.nan), groups, **about)
    about["labels"] = np.repeat([0, 1], 20)  # marked are of one class, the others of another
    assert "too few" in marks_words("net", np.concatenate([high, low]), groups, **about)


# ---- focus -----------------------------------------------------------------------------------------------------------
class Gallery:
    """A stand-in for the lab: 30 images of three colours, one a class; it notes how many pixels were asked for."""

    classes = ("red", "green", "blue")

    def __init__(self) -> None:
        self.labels = np.repeat(np.arange(3), 10)
        self.images = 40 + 150 * np.eye(3)[self.labels][:, None, None, :] * np.ones((30, 8, 8, 3))
        self.asked: list[int] = []

    def pixels(self, size: int) -> "Gallery":
        assert size == 8
        return self

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        self.asked.append(len(rows))
        return self.images[rows].astype(np.uint8)


def colour_network(flatten: bool) -> CamModel:
    """A network that passes the channels on: class k is channel k."""
    keras = pytest.importorskip("keras")
    image = keras.Input((8, 8, 3))
    kind = f"{'flat' if flatten else 'pooled'}"
    x = keras.layers.Conv2D(3, 1, use_bias=False, name=f"colours_{kind}")(image)
    x = keras.layers.Flatten()(x) if flatten else keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(image, keras.layers.Dense(3, use_bias=False)(x))
    head = np.tile(np.eye(3), (64, 1)) / 64 if flatten else np.eye(3)
    model.set_weights([np.eye(3)[None, None], head])
    return CamModel(kind, model, lambda images: np.asarray(images, np.float32) - 40)


def test_focus_is_measured_by_both_methods_and_on_equally_shrunk_mosaics() -> None:
    lab, networks = Gallery(), {"from scratch": colour_network(True), "pretrained": colour_network(False)}
    plan = focus.plan_mosaics(lab.labels, 6)
    found = focus_by_way(lab, networks, plan, np.arange(30))
    assert list(found) == ["Grad-CAM", "Grad-CAM, all shrunk", "HiResCAM", "HiResCAM, all shrunk"]
    assert [found["HiResCAM"][kind].side for kind in networks] == [8, 16]
    assert {one.side for one in found["HiResCAM, all shrunk"].values()} == {8}
    np.testing.assert_allclose(found["HiResCAM, all shrunk"]["from scratch"].scores, 1)
    alone = focus_by_way(lab, {"pretrained": networks["pretrained"]}, plan, np.arange(30))
    assert list(alone) == ["Grad-CAM", "HiResCAM"]
    words = mosaic_words(lab, plan, found)
    assert "from scratch 8 px (shrunk: its head fixes the size), pretrained 16 px" in words and "All shrunk" in words


def test_focus_reads_only_the_images_of_the_mosaics_and_scores_as_if_all_were_read() -> None:
    lab, network = Gallery(), colour_network(False)
    plan = focus.plan_mosaics(lab.labels, 2)
    found = network.focus(lab, plan, np.arange(30))
    assert lab.asked == [len(np.unique(plan.members))] and lab.asked[0] <= 8
    whole = focus.focus_on_mosaics(network.model, lab.images, plan, network.prepare)
    np.testing.assert_allclose(found.scores, whole.scores, rtol=1e-5)


def test_evidence_on_focus_leaves_out_ways_without_any() -> None:
    def part(*scores: float) -> focus.Focus:
        return focus.Focus(np.array(scores), 8, True)

    silent, seen = part(np.nan, np.nan), part(0.9, 0.8)
    found = {
        "a": {"pretrained": seen, "from scratch": silent},
        "b": {"pretrained": seen, "from scratch": part(0.5, 0.5)},
    }
    evidence = focus_evidence(found, "net")
    assert list(evidence["parts"]) == ["b"] and evidence["parts"]["b"].value == pytest.approx(0.35)
    assert evidence["scratch"].value == pytest.approx(0.5)
    none = focus_evidence({"a": found["a"]}, "net")
    assert none["parts"] == {} and none["scratch"] is None


# ---- a frozen network with a head ------------------------------------------------------------------------------------
def test_a_pretrained_subject_answers_as_the_regression_on_stored_features(tmp_path) -> None:
    """Wrong preprocessing, layer or size on either side would part them."""
    from lab_utils.training import features

    rng = np.random.default_rng(0)
    labels = np.tile([0, 1, 2], 8)
    pixels = rng.integers(0, 120, (24, 64, 64, 3), dtype=np.uint8)
    pixels[np.arange(24), ..., labels] += 100
    stored = features.extract("lite0", pixels, data_hash="x", layers=("penultimate",), size=64, folder=tmp_path)
    settings = SimpleNamespace(
        fine_tuning=SimpleNamespace(networks=["lite0"]),
        features=SimpleNamespace(size=64),
        networks=SimpleNamespace(weights="imagenet"),
    )
    lab = SimpleNamespace(settings=settings, classes=list("abc"), title=str, pixels=lambda size: pixels)
    lab.rows = lambda split: np.arange(18)
    lab.labels = lambda split: labels[:18]
    lab.features = lambda name: stored["penultimate"]
    found = pretrained(lab).probabilities(lab, np.arange(18, 24))
    points = np.asarray(stored["penultimate"])
    mean, spread = points[:18].mean(0), points[:18].std(0) + 1e-6
    wanted = LogisticRegression(C=0.01, max_iter=300).fit((points[:18] - mean) / spread, labels[:18])
    np.testing.assert_allclose(found, wanted.predict_proba((points[18:] - mean) / spread), atol=2e-3)
    assert found.sum(1) == pytest.approx(np.ones(6), abs=1e-5)
