"""Class-activation maps and their numbers against hand-computed toy networks."""

import numpy as np
import pytest
from notebook_cells import function_of

from lab_utils.analysis import class_activation, focus
from lab_utils.chapters import grad_cam
from lab_utils.core.errors import LabError
from lab_utils.networks import backbones
from lab_utils.networks.registry import REGISTRY
from lab_utils.stats.intervals import Estimate

SIZE, CLASSES = 8, 3


@pytest.fixture(scope="module")
def keras():
    return pytest.importorskip("keras")


def trunk(keras, seed: int = 0):
    keras.utils.set_random_seed(seed)
    image = keras.Input((SIZE, SIZE, 3))
    x = keras.layers.Conv2D(4, 3, padding="same", activation="relu", name="early")(image)
    x = keras.layers.Conv2D(5, 3, padding="same", name="late")(x)
    x = keras.layers.BatchNormalization(name="normal")(x)
    return keras.Model(image, keras.layers.ReLU(name="last")(x), name="trunk")


def with_head(keras, kind: str):
    """The same toy network in two forms: average pooling and one dense layer, or max pooling and a flattened map."""
    base, layers = trunk(keras), keras.layers
    x = layers.Flatten()(layers.MaxPooling2D()(base.output))
    x = x if kind == "flatten" else layers.GlobalAveragePooling2D()(base.output)
    return keras.Model(base.input, layers.Dense(CLASSES, name="scores")(x))


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(6, SIZE, SIZE, 3)).astype(np.float32)


def test_map_equals_channel_weights_of_a_pooling_head_computed_by_hand(keras, images: np.ndarray) -> None:
    model = with_head(keras, "pooled")
    activations = keras.Model(model.input, model.get_layer("last").output).predict(images, verbose=0)
    kernel = model.get_layer("scores").get_weights()[0]
    targets = np.array([0, 1, 2, 0, 1, 2])
    by_hand = (activations * kernel[:, targets].T[:, None, None, :]).sum(-1) / SIZE**2
    np.testing.assert_allclose(class_activation.evidence(model, images, targets), by_hand, atol=1e-5)


def test_both_methods_agree_on_a_pooling_head_and_differ_on_a_flattened_one(keras, images: np.ndarray) -> None:
    pooled, flattened = with_head(keras, "pooled"), with_head(keras, "flatten")
    for model, same in ((pooled, True), (flattened, False)):
        maps = [class_activation.evidence(model, images, method=method) for method in class_activation.METHODS]
        assert np.allclose(*maps, atol=1e-5) is same


@pytest.mark.parametrize("head", ["pooled", "flatten"])
@pytest.mark.parametrize(("average", "method"), [(True, "gradcam"), (False, "hirescam")])
def test_the_notebooks_function_gives_the_same_maps(keras, images: np.ndarray, head, average, method) -> None:
    model, targets = with_head(keras, head), np.array([0, 1, 2, 0, 1, 2])
    maps = function_of("13_grad_cam", "grad_cam")(model, "last", images, targets, average)
    signed = class_activation.evidence(model, images, targets, method)
    assert (signed > 0).any() and (signed < 0).any()
    np.testing.assert_allclose(maps, np.maximum(signed, 0), atol=1e-6)
    whole = class_activation.grad_cam(model, images, targets, method)
    np.testing.assert_allclose(class_activation.enlarged(maps, (SIZE, SIZE)), whole, atol=1e-5)


def test_the_notebooks_function_gives_maps_of_a_network_without_a_trainable_layer(keras, images: np.ndarray) -> None:
    model, targets = with_head(keras, "pooled"), np.zeros(6, int)
    grad_cam = function_of("13_grad_cam", "grad_cam")
    before = grad_cam(model, "last", images, targets)
    model.trainable = False
    np.testing.assert_array_equal(grad_cam(model, "last", images, targets), before)


def test_maps_are_scaled_and_as_large_as_the_image(keras, images: np.ndarray) -> None:
    maps = class_activation.grad_cam(with_head(keras, "flatten"), images)
    assert maps.shape == (6, SIZE, SIZE) and maps.dtype == np.float32
    assert maps.min() >= 0 and set(np.unique(maps.max(axis=(1, 2)).round(5))) <= {0.0, 1.0}


def test_default_target_is_the_predicted_class(keras, images: np.ndarray) -> None:
    model = with_head(keras, "pooled")
    predicted = model.predict(images, verbose=0).argmax(1)
    np.testing.assert_allclose(
        class_activation.evidence(model, images), class_activation.evidence(model, images, predicted), atol=1e-6
    )


def test_layer_is_the_last_one_of_the_last_convolutions_size(keras) -> None:
    opened = class_activation.open_network(with_head(keras, "flatten"))
    assert (opened.layer, opened.map_size, opened.size) == ("last", (SIZE, SIZE), SIZE)
    assert opened.map_words == ""
    image = keras.Input((SIZE, SIZE, 3))
    dense = keras.Model(image, keras.layers.Dense(2)(keras.layers.Flatten()(image)))
    with pytest.raises(LabError, match="no convolution"):
        class_activation.open_network(dense)


def test_a_network_whose_maps_are_all_too_small_says_that_they_show_nothing(keras) -> None:
    image = keras.Input((SIZE, SIZE, 3))
    x = keras.layers.Conv2D(2, 3, strides=3, name="small")(image)
    model = keras.Model(image, keras.layers.Dense(2)(keras.layers.GlobalAveragePooling2D()(x)))
    opened = class_activation.open_network(model)
    assert (opened.layer, opened.map_size) == ("small", (2, 2)) and "show nothing" in opened.map_words


def test_an_earlier_layer_that_a_path_leads_around_is_not_opened(keras) -> None:
    image = keras.Input((SIZE, SIZE, 3))
    x = keras.layers.Conv2D(3, 3, padding="same", name="aside")(image)
    around = keras.layers.Conv2D(3, 3, strides=4, padding="same")(image)
    x = keras.layers.Add(name="sum")([keras.layers.MaxPooling2D(4)(x), around])
    x = keras.layers.Conv2D(3, 3, padding="same", name="late")(x)
    model = keras.Model(image, keras.layers.Dense(2)(keras.layers.Flatten()(x)))
    assert class_activation.open_network(model).layer == "late"


def test_wrong_method_and_wrong_number_of_targets_are_told(keras, images: np.ndarray) -> None:
    with pytest.raises(LabError, match="gradcam, hirescam"):
        class_activation.grad_cam(with_head(keras, "pooled"), images, method="guess")
    with pytest.raises(LabError, match="2 targets for 6 images"):
        class_activation.grad_cam(with_head(keras, "pooled"), images, targets=[0, 1])


def test_opening_a_network_leaves_it_as_it_was(keras, images: np.ndarray) -> None:
    model = with_head(keras, "pooled")
    before = model.predict(images, verbose=0)
    class_activation.grad_cam(model, images)
    np.testing.assert_array_equal(model.predict(images, verbose=0), before)


def test_mean_border_share_leaves_empty_maps_out_and_says_so_or_is_none() -> None:
    maps = np.concatenate([np.ones((3, 10, 10)), np.zeros((1, 10, 10))])
    found = class_activation.mean_border_share(maps, "#10")
    assert found.value == pytest.approx(0.36) and found.n == 3 and "1 of 4 maps are empty" in found.of
    assert class_activation.mean_border_share(np.zeros((4, 10, 10)), "#10") is None


def test_border_share_of_maps_whose_answer_is_known() -> None:
    even, inner, edge = np.ones((10, 10)), np.zeros((10, 10)), np.zeros((10, 10))
    inner[4, 4] = edge[0, 5] = 1
    shares = class_activation.border_share(np.stack([even, inner, edge, np.zeros((10, 10))]))
    np.testing.assert_allclose(shares, [0.36, 0, 1, np.nan])
    assert class_activation.border_area((10, 10)) == pytest.approx(0.36)


def test_images_are_chosen_by_rule() -> None:
    truth = np.array([0, 0, 1, 1, 2])
    probabilities = np.eye(3)[[0, 0, 1, 0, 0]] * np.array([0.5, 0.6, 0.7, 0.8, 0.9])[:, None]
    assert class_activation.first_right(truth, probabilities, 3).tolist() == [0, 2, 1]
    assert class_activation.most_confidently_wrong(truth, probabilities, 2).tolist() == [4, 3]
    assert class_activation.pair_members(truth, probabilities.argmax(1), 1, 0, 3).tolist() == [3, 2, 0, 1]


# ---- focus -----------------------------------------------------------------------------------------------------------
def test_plan_puts_two_of_the_target_in_every_mosaic_and_names_small_classes() -> None:
    labels = np.array([0, 0, 0, 1, 1, 2, 3, 3])
    plan = focus.plan_mosaics(labels, 30, seed=1)
    assert plan.left_out == [2]
    assert ((labels[plan.members] == plan.targets[:, None]) == plan.wanted).all()
    assert (plan.wanted.sum(1) == 2).all() and len({tuple(row) for row in plan.wanted}) > 3
    assert all(len(set(row)) == 4 for row in plan.members)
    assert np.bincount(plan.targets)[[0, 1, 3]].tolist() == [10, 10, 10]
    np.testing.assert_array_equal(plan.members, focus.plan_mosaics(labels, 30, seed=1).members)
    with pytest.raises(LabError, match="two images"):
        focus.plan_mosaics(np.array([0, 1, 2]), 5)


def test_mosaic_has_its_images_in_the_right_quadrants() -> None:
    images = np.stack([np.full((4, 4, 3), value, np.uint8) for value in (10, 20, 30, 40)])
    whole = focus.assemble(images, np.array([[3, 2, 1, 0]]), 8)[0, ..., 0]
    assert [whole[0, 0], whole[0, 7], whole[7, 0], whole[7, 7]] == [40, 30, 20, 10]
    assert focus.assemble(images, np.array([[3, 2, 1, 0]]), 4).shape == (1, 4, 4, 3)


def test_focus_is_the_share_in_the_wanted_quadrants() -> None:
    maps = np.zeros((3, 4, 4))
    maps[0] = 1
    maps[1, 0, 0], maps[1, 3, 3] = 3, 1
    wanted = np.array([[True, True, False, False], [True, False, True, False], [True, True, False, False]])
    np.testing.assert_allclose(focus.focus_score(maps, wanted), [0.5, 0.75, np.nan])


def test_focus_finds_a_network_that_sees_and_one_that_is_blind(keras) -> None:
    """Class k is a bright channel k; a network that passes channels on focuses perfectly, one that mixes them not."""
    labels = np.repeat(np.arange(3), 4)
    images = np.zeros((12, SIZE, SIZE, 3), np.uint8)
    for position, label in enumerate(labels):
        images[position, ..., label] = 200
    scores = {}
    for kind, kernel in (("sees", np.eye(3)), ("blind", np.ones((3, 3)))):
        image = keras.Input((SIZE, SIZE, 3))
        convolved = keras.layers.Conv2D(3, 1, use_bias=False, name=f"conv_{kind}")(image)
        pooled = keras.layers.GlobalAveragePooling2D()(convolved)
        model = keras.Model(image, keras.layers.Dense(3, use_bias=False)(pooled))
        model.set_weights([kernel[None, None].astype(np.float32), np.eye(3, dtype=np.float32)])
        found = focus.focus_on_mosaics(model, images, focus.plan_mosaics(labels, 24))
        assert (found.side, found.shrunk) == (2 * SIZE, False)
        scores[kind] = found.scores.mean()
    assert scores["sees"] == pytest.approx(1.0) and scores["blind"] == pytest.approx(0.5)


def test_mosaics_are_shrunk_where_the_head_fixes_the_size(keras, images: np.ndarray) -> None:
    plan = focus.plan_mosaics(np.array([0, 0, 0, 1, 1, 1]), 5)
    found = focus.focus_on_mosaics(with_head(keras, "flatten"), images, plan)
    assert (found.side, found.shrunk, len(found.scores)) == (SIZE, True, 5)
    assert not focus.focus_on_mosaics(with_head(keras, "pooled"), images, plan).shrunk
    asked = focus.focus_on_mosaics(with_head(keras, "pooled"), images, plan, shrink=True)
    assert (asked.side, asked.shrunk) == (SIZE, True)


def test_odd_maps_are_split_evenly() -> None:
    even = focus._even(np.ones((1, 3, 3)))
    assert focus.focus_score(even, np.array([[True, False, False, True]]))[0] == pytest.approx(0.5)


# ---- randomisation ---------------------------------------------------------------------------------------------------
def test_rank_correlation_equals_scipys() -> None:
    from scipy.stats import spearmanr

    rng = np.random.default_rng(0)
    first, second = rng.uniform(size=(2, 4, 5, 5))
    wanted = [spearmanr(a.ravel(), b.ravel()).statistic for a, b in zip(first, second, strict=True)]
    np.testing.assert_allclose(class_activation.rank_correlation(first, second), wanted)
    assert np.isnan(class_activation.rank_correlation(first[:1], np.zeros((1, 5, 5)))[0])


def test_scrambling_lowers_the_correlation_and_the_weights_come_back(keras, images: np.ndarray) -> None:
    model = with_head(keras, "pooled")
    before = [values.copy() for values in model.get_weights()]
    found = class_activation.randomisation_check(model, images, np.zeros(6, int), stages=3)
    assert next(iter(found)).startswith("1 of 3") and list(found)[-1].startswith("3 of 3")
    assert np.nanmean(list(found.values())[-1]) < 0.9
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


# ---- words -----------------------------------------------------------------------------------------------------------
def between(low: float, high: float) -> Estimate:
    return Estimate((low + high) / 2, low, high, 20)


def test_sentences_follow_the_numbers() -> None:
    ways = {"x": between(0.1, 0.2), "y": between(-0.2, -0.1), "z": between(-0.1, 0.1)}
    words = grad_cam.gain_words("A", "b", ways)
    assert words.startswith("A against b, on the same mosaics: better by x 0.15")
    assert "; worse by y" in words and "; a tie by z" in words
    assert grad_cam.gain_words("A", "b", {}).endswith("no mosaic has evidence in both.")
    kept = {"a": between(0.0, 0.2), "b": between(0.7, 0.9), "c": between(0.4, 0.6), "d": between(0.1, 0.3)}
    first, second, third = grad_cam.dependence_words(kept).split(" With all kernels")
    assert "(a)" in first and "(d): little is left, so the maps show what was learned" in first
    assert "(b): they stay alike" in second and "open" in third


@pytest.mark.parametrize(
    ("correlation", "pooled", "words"),
    [
        ([1.0, 1.0, np.nan], True, "same maps, as they must"),
        ([1.0, 1.0], False, "same maps, though its head need not"),
        ([0.5, 1.0], False, "differ (median rank correlation 0.75); HiResCAM is the exact one"),
        ([0.5, 1.0], True, "nearly flat"),
        ([np.nan, np.nan], False, "every map is constant"),
    ],
)
def test_words_on_the_two_methods_know_the_head(correlation, pooled, words) -> None:
    told = grad_cam.agreement_words("n", np.array(correlation), pooled)
    assert words in told and "nan" not in told


@pytest.mark.parametrize(("kind", "pooled"), [("pooled", True), ("flatten", False)])
def test_an_opened_network_knows_whether_its_head_begins_with_average_pooling(keras, kind: str, pooled: bool) -> None:
    assert class_activation.open_network(with_head(keras, kind)).pooled is pooled


def test_only_a_head_that_fixes_the_size_is_told_so(keras) -> None:
    """Another fault than a flattened map must not be called one."""
    with pytest.raises(LabError, match="can't take images of 16 pixels: its head fixes the size"):
        class_activation.open_network(with_head(keras, "flatten"), 16)
    image = keras.Input((SIZE, SIZE, 3))
    convolved = keras.layers.Conv2D(4, 3, name="valid")(image)
    pooled = keras.layers.GlobalAveragePooling2D()(convolved)
    with pytest.raises(ValueError, match=r"(?i)negative|zero"):
        class_activation.open_network(keras.Model(image, keras.layers.Dense(2)(pooled)), 2)


def test_gain_uses_mosaics_where_both_networks_have_evidence() -> None:
    first, second = np.array([0.9, 0.7, np.nan]), np.array([0.5, 0.5, 0.1])
    gain = focus.focus_gain(first, second)
    assert gain.value == pytest.approx(0.3) and gain.n == 2
    with pytest.raises(LabError, match="no positive evidence"):
        focus.mean_focus(np.array([np.nan]))


# ---- the networks of the registry ------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", [name for name, entry in REGISTRY.items() if entry.source != "hub"])
def test_layer_found_is_the_registrys_last_convolution(keras, name: str) -> None:
    base = backbones.build(name, weights="random", size=64, top=False)
    pooled = keras.layers.GlobalAveragePooling2D()(base.output)
    model = keras.Model(base.input, keras.layers.Dense(3)(pooled))
    assert class_activation.open_network(model, least=1).layer == backbones.backbone(name).last_conv
    opened = class_activation.open_network(model)  # 64 pixels leave the last convolution 2 × 2 or 4 × 4 cells
    assert opened.last_size[0] in (2, 4) and opened.last_size < opened.map_size and opened.map_size[0] <= 8
    assert ("too few to tell a place" in opened.map_words) and ("earlier layer" in opened.map_words)
    images = np.random.default_rng(0).normal(size=(2, 64, 64, 3)).astype(np.float32)
    np.testing.assert_allclose(opened.logits(images), model(images, training=False), atol=1e-3)
