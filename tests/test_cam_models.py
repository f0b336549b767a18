"""The linear head that turns a frozen network into a classifier of mediums."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from notebook_cells import function_of
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from lab_utils.analysis import focus
from lab_utils.chapters.cam_models import CamModel, feature_size, kernel_and_bias
from lab_utils.chapters.grad_cam import (
    border_groups,
    focus_by_way,
    focus_evidence,
    group_means,
    marks_words,
    mosaic_words,
    spread_rows,
)
from lab_utils.stats import metrics
from lab_utils.training.setup import FineTuningSetup


@pytest.mark.parametrize("classes", [2, 4])
def test_the_last_layer_gives_the_probabilities_of_the_regression(classes: int) -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, classes, 120)
    features = rng.normal(size=(120, 6)) + np.eye(6)[labels] * 2
    regression = LogisticRegression(max_iter=300).fit(features, labels)
    kernel, bias = kernel_and_bias(regression, classes)
    probabilities = metrics.softmax(features @ kernel + bias)
    np.testing.assert_allclose(probabilities, regression.predict_proba(features), atol=1e-4)


def test_a_class_without_images_never_wins() -> None:
    rng = np.random.default_rng(1)
    features, labels = rng.normal(size=(40, 3)), np.repeat([0, 1, 3], [20, 10, 10])
    kernel, bias = kernel_and_bias(LogisticRegression().fit(features, labels), 5)
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
    assert "draw relevance to the frame" in marks_words("net", np.concatenate([high, low]), groups, **about)[0]
    told, numbers = marks_words("net", np.concatenate([high, low]), groups, **about)
    assert f"{numbers['gap']:+.1f} points" in told and f"{numbers['low']:+.1f} to {numbers['high']:+.1f}" in told
    assert "less relevance" in marks_words("net", np.concatenate([low, high]), groups, **about)[0]
    assert "no difference" in marks_words("net", np.concatenate([low, low]), groups, **about)[0]
    assert "too few" in marks_words("net", np.full(40, np.nan), groups, **about)[0]
    about["labels"] = np.repeat([0, 1], 20)  # marked are of one class, the others of another
    assert "too few" in marks_words("net", np.concatenate([high, low]), groups, **about)[0]


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
    x = keras.layers.Rescaling(1, offset=-40)(image)
    x = keras.layers.Conv2D(3, 1, use_bias=False, name=f"colours_{kind}")(x)
    x = keras.layers.Flatten()(x) if flatten else keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(image, keras.layers.Dense(3, use_bias=False)(x))
    head = np.tile(np.eye(3), (64, 1)) / 64 if flatten else np.eye(3)
    model.set_weights([np.eye(3)[None, None], head])
    return CamModel(kind, model)


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
    whole = focus.focus_on_mosaics(network.model, lab.images, plan)
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
def test_a_pretrained_network_answers_as_the_regression_on_stored_features(tmp_path) -> None:
    """Wrong preprocessing, layer or size on either side would part them."""
    from lab_utils.training import features

    rng = np.random.default_rng(0)
    labels = np.tile([0, 1, 2], 8)
    pixels = rng.integers(0, 120, (24, 64, 64, 3), dtype=np.uint8)
    pixels[np.arange(24), ..., labels] += 100
    stored = features.extract("lite0", pixels, data_hash="x", layers=("penultimate",), size=64, folder=tmp_path)
    deep = np.asarray(stored["penultimate"])
    scaler = StandardScaler().fit(deep[:18])
    regression = LogisticRegression(C=0.01, max_iter=300).fit(scaler.transform(deep[:18]), labels[:18])
    here = FineTuningSetup("run 6", "lite0", "imagenet", 64, 4, "average", 1e-3, 8, 1)
    build = function_of("13_grad_cam", "with_linear_head", here=here, lab=SimpleNamespace(classes=list("abc")))
    network = CamModel("lite0", build(scaler, regression, 64))
    found = network.probabilities(SimpleNamespace(pixels=lambda size: pixels), np.arange(18, 24))
    np.testing.assert_allclose(found, regression.predict_proba(scaler.transform(deep[18:])), atol=2e-3)


@pytest.mark.parametrize(("asked", "side"), [("native", 240), (96, 96)])
def test_features_have_the_profiles_size_or_the_networks_own(asked, side) -> None:
    lab = SimpleNamespace(settings=SimpleNamespace(features=SimpleNamespace(size=asked)))
    assert feature_size(lab, "lite1") == side
