"""The feature store: one pass, resumable, checked; the full-network embedding by hand; the guard; real photographs."""

import json
import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from lab_utils.core.errors import LabError
from lab_utils.core.store import Artefact
from lab_utils.networks import backbones
from lab_utils.training import features

IMAGES = np.random.default_rng(0).integers(0, 256, (40, 32, 32, 3), dtype=np.uint8)


def extract(folder, images=IMAGES, **options):
    values = {"data_hash": "data", "size": 32, "layers": ("penultimate", "logits"), "folder": folder} | options
    return features.extract("lite0", images, **values)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("features")
    return folder, extract(folder, layers=("penultimate", "logits", "averages", "block3b_add"))


@pytest.fixture(scope="module")
def model():
    return backbones.build("lite0", size=32)


def test_one_pass_gives_what_the_network_gives_layer_by_layer(store, model):
    import keras

    _, got = store
    inputs = backbones.preprocess("lite0", IMAGES)
    assert np.allclose(got["logits"], model(inputs).numpy(), atol=1e-4)
    assert np.allclose(model.layers[-1](got["penultimate"]), got["logits"], atol=1e-4)
    block = keras.Model(model.input, model.get_layer("block3b_add").output)(inputs).numpy()
    assert np.allclose(got["block3b_add"], block.mean((1, 2)), atol=1e-5)
    assert got["averages"].shape == (40, sum(_channels(model)))
    start = sum(_channels(model)[: backbones.embedding_layers(model, "lite0").index("block3b_add")])
    assert np.allclose(got["averages"][:, start : start + 40], block.mean((1, 2)), atol=1e-5)


def _channels(model):
    return [model.get_layer(name).output.shape[-1] for name in backbones.embedding_layers(model, "lite0")]


def test_paths_give_what_their_decoded_pixels_give(tmp_path, store):
    from PIL import Image

    paths = []
    for i, pixels in enumerate(IMAGES[:5]):
        paths.append(tmp_path / f"{i}.png")
        Image.fromarray(pixels).save(paths[-1])
    got = extract(tmp_path / "store", paths, data_hash="paths")
    assert np.allclose(got["logits"], store[1]["logits"][:5], atol=1e-4)


def refuse(*_, **__):
    raise AssertionError("the network was built although the features were stored")


def test_stored_features_are_read_without_the_network_or_the_images(store, monkeypatch):
    monkeypatch.setattr(backbones, "build", refuse)
    again = extract(store[0], images=refuse)
    assert (again["logits"] == store[1]["logits"]).all() and isinstance(again["logits"], np.memmap)


@pytest.mark.parametrize("change", [{"data_hash": "other"}, {"weights": "random"}, {"size": 64}])
def test_other_data_weights_or_size_are_other_features(store, monkeypatch, change):
    monkeypatch.setattr(backbones, "build", refuse)
    with pytest.raises((AssertionError, LabError)):
        extract(store[0], **change)


@pytest.mark.parametrize("damage", ["cut", "altered", "no note"])
def test_a_damaged_file_is_made_again(tmp_path, damage):
    first = np.array(extract(tmp_path, IMAGES[:6])["logits"])
    path = next(tmp_path.glob("*/logits.npy"))
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    {
        "cut": lambda: path.write_bytes(path.read_bytes()[:-8]),
        "altered": lambda: path.write_bytes(content),
        "no note": lambda: path.with_name("logits.npy.json").unlink(),
    }[damage]()
    assert (extract(tmp_path, IMAGES[:6])["logits"] == first).all()


def test_an_interrupted_pass_goes_on_where_it_stopped(tmp_path, monkeypatch, store):
    monkeypatch.setattr(features, "PART", 16)
    seen = []
    whole = features.image_batches

    def counted(images, *rest):
        seen.append(len(images))
        if len(seen) == 3:
            raise KeyboardInterrupt
        return whole(images, *rest)

    monkeypatch.setattr(features, "image_batches", counted)
    with pytest.raises(KeyboardInterrupt):
        extract(tmp_path)
    assert not list(tmp_path.glob("*/*.npy")) and len(list(tmp_path.glob("*/parts-*/*.npz"))) == 2
    next(tmp_path.glob("*/parts-*/*00.npz")).write_bytes(b"half")  # and one of the parts got damaged
    got = extract(tmp_path)
    assert seen == [16, 16, 8, 16, 8]  # after the stop: the damaged part and the missing one only
    assert np.allclose(got["logits"], store[1]["logits"], atol=1e-4)
    assert not list(tmp_path.glob("*/parts-*")) and not list(tmp_path.glob("*/.*"))


def test_the_note_beside_an_array_says_what_it_is_of(store):
    about = json.loads(next(store[0].glob("*/logits.npy.json")).read_text())
    assert about["key"]["network"] == "lite0" and about["key"]["size"] == [32, 32]
    makers = {"module training.features", "module networks.backbones", "module networks.efficientnet_lite"}
    assert makers <= set(about["used"]) and not any("display" in name for name in about["used"])


def test_images_that_were_scaled_before_are_refused(tmp_path):
    with pytest.raises(LabError, match="lite0 expects input from"):
        extract(tmp_path, (IMAGES / 255).astype(np.uint8))


def test_images_of_another_size_no_images_and_unknown_layers_are_refused(tmp_path):
    with pytest.raises(LabError, match="do not fit an input of 64 pixels"):
        extract(tmp_path, size=64)
    with pytest.raises(LabError, match="no images"):
        extract(tmp_path, IMAGES[:0])
    with pytest.raises(LabError, match="no layer 'block99'"):
        extract(tmp_path, layers=("block99",))
    with pytest.raises(LabError, match="minimum of 32 pixels"):
        extract(tmp_path, size=16)


# ---- full-network embedding -----------------------------------------------------------------------------------------
def test_full_network_embedding_by_hand():
    train = np.array([[0.0, 5], [2, 5]])  # first column: mean 1, deviation 1; second: constant
    others = np.array([[1.16, 9], [1.14, 9], [0.76, 1], [0.74, 1]])
    got = features.full_network_embedding(np.concatenate([train, others]), np.array([0, 1]))
    assert got.tolist() == [[-1, 0], [1, 0], [1, 0], [0, 0], [0, 0], [-1, 0]]


def test_embedding_of_other_rows_does_not_depend_on_them():
    averages = np.random.default_rng(1).normal(size=(30, 7))
    train = np.arange(20)
    changed = averages.copy()
    changed[20:] *= 5
    first, second = (features.full_network_embedding(values, train) for values in (averages, changed))
    assert (first[:20] == second[:20]).all() and set(np.unique(first)) <= {-1, 0, 1}


# ---- the guard ------------------------------------------------------------------------------------------------------
def test_memory_of_the_store_does_not_grow_with_the_number_of_images(tmp_path, monkeypatch):
    class Rows:
        name = "fake"

        def rows(self, start, stop):
            return {"wide": np.full((stop - start, 2000), start, np.float32)}

    monkeypatch.setattr(features, "PART", 16)
    peaks = []
    for n in (160, 1600):
        tracemalloc.start()
        artefact = Artefact(tmp_path / str(n) / "wide.npy", {}, code=(features.__name__,))
        features.write_store({"wide": artefact}, Rows(), n, str)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0] < 1600 * 2000 * 4 / 2
    assert not list((tmp_path / "1600").glob("parts-*"))


def test_parts_of_a_pass_that_stopped_are_swept_by_the_next_one_that_ends_well(tmp_path):
    extract(tmp_path, IMAGES[:2])
    (place,) = tmp_path.iterdir()
    (place / "parts-0123").mkdir()
    (place / "logits.npy.json").unlink()
    extract(tmp_path, IMAGES[:2])
    assert not list(place.glob("parts-*"))


def test_one_network_under_two_names_is_stopped(store):
    with pytest.raises(LabError, match="features of VGG16 and ResNet50 are the same array"):
        features.assert_different(store[1]["logits"], np.array(store[1]["logits"]), ("VGG16", "ResNet50"))


def test_another_network_and_other_weights_pass_the_guard(store, tmp_path):
    random = extract(tmp_path, weights="random", layers=("logits",))["logits"]
    other = features.extract("lite1", IMAGES, data_hash="data", size=32, layers=("logits",), folder=tmp_path)["logits"]
    features.assert_different(store[1]["logits"], random, ("Lite0", "random weights"))
    features.assert_different(store[1]["logits"], other, ("Lite0", "Lite1"))


def test_features_equal_to_those_of_another_network_for_the_same_images_are_not_kept(tmp_path, monkeypatch):
    extract(tmp_path, IMAGES[:6], layers=("logits",))
    monkeypatch.setattr(features, "Extractor", same_network(features.Extractor))
    with pytest.raises(LabError, match="features of lite0 and lite1 are the same array"):
        features.extract("lite1", IMAGES[:6], data_hash="data", size=32, layers=("logits",), folder=tmp_path)
    assert {path.parent.name.split("-")[0] for path in tmp_path.glob("*/*.npy")} == {"lite0"}
    features.extract("lite1", IMAGES[:6], data_hash="others", size=32, layers=("logits",), folder=tmp_path)


def same_network(extractor):
    return lambda name, *rest: extractor("lite0", *rest)


# ---- real photographs -----------------------------------------------------------------------------------------------
@pytest.mark.filterwarnings("ignore:The least populated class")
@pytest.mark.skipif("LAB_PHOTOS" not in os.environ, reason="LAB_PHOTOS names no folder of photographs")
def test_a_linear_svm_on_lite0_reads_the_medium_of_a_third_of_the_real_photographs(tmp_path):
    from sklearn.model_selection import StratifiedKFold, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    paths = sorted(path for path in Path(os.environ["LAB_PHOTOS"]).glob("*/*") if path.is_file())
    medium = np.array([path.parent.name for path in paths])
    rows = features.extract("lite0", paths, data_hash="photos", layers=("penultimate",), folder=tmp_path)["penultimate"]
    classifier = make_pipeline(StandardScaler(), SVC(kernel="linear"))
    folds = [StratifiedKFold(5, shuffle=True, random_state=seed) for seed in range(5)]
    scores = [cross_val_score(classifier, rows, medium, cv=fold).mean() for fold in folds]
    assert 0.32 <= np.mean(scores) <= 0.38
