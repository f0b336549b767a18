from dataclasses import replace

import numpy as np
import pytest

from lab_utils.core import profiles
from lab_utils.core.errors import LabError
from lab_utils.data.splits import SplitImages
from lab_utils.networks import backbones
from lab_utils.networks.building import NEAR
from lab_utils.training import fine_tuning, frozen_front
from lab_utils.training.recipes import FineTuningRecipe

SETTINGS = profiles.FineTuning(precision="float32")
SMALL = FineTuningRecipe(
    "small", "test", 1e-3, 8, 2, network="lite0", frozen=4, head=(8,), pooling="average", l2=0.1, dropout=0.5, size=32
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def images():
    """24 images of three colours at 32 pixels."""
    labels, subset = np.tile([0, 1, 2], 8), np.array(["train"] * 12 + ["val"] * 6 + ["test"] * 6)
    pixels = np.random.default_rng(0).integers(0, 80, (24, 32, 32, 3), dtype=np.uint8)
    for row, label in enumerate(labels):
        pixels[row, ..., label] += 150
    return SplitImages(lambda size: pixels, subset, np.where(subset == "test", -1, labels), 3, "toy")


def quiet(_):
    pass


@pytest.fixture(scope="module")
def fine_tune(images, folder):
    return lambda recipe, place=folder: fine_tuning.fine_tune(recipe, images, SETTINGS, progress=quiet, folder=place)


@pytest.fixture(scope="module")
def tuned(fine_tune):
    return fine_tune(SMALL)


def test_head_sits_on_the_base_flat_and_starts_near_the_logarithm_of_the_classes(tuned):
    names = [layer.name for layer in tuned.model().layers]
    assert names[-4:] == ["pooled", "dense_1", "dropout_1", "logits"] and "block5c_add" in names
    assert 0 < abs(tuned.trained.first_cross_entropy - np.log(3)) < NEAR


def test_a_head_out_of_scale_is_stopped_before_its_first_step(fine_tune, monkeypatch):
    import keras

    large = keras.initializers.VarianceScaling(1e4, "fan_avg", "uniform")
    monkeypatch.setattr(fine_tuning, "small_kernel", lambda: large)
    with pytest.raises(LabError, match=r"small \(lite0\) starts at a cross-entropy of .*, not at ln 3 = 1\.099"):
        fine_tune(replace(SMALL, seed=9))


def test_images_scaled_twice_are_stopped_before_anything_is_trained(fine_tune, monkeypatch):
    right = backbones.preprocess
    monkeypatch.setattr(backbones, "preprocess", lambda name, images: right(name, images) / 255)
    with pytest.raises(LabError, match=r"lite0 expects input from -0\.99 to 1\.00, .* and got -0\.00 to 0\.00"):
        fine_tune(replace(SMALL, seed=9))


def test_the_first_step_teaches_the_hidden_layer_too(images, fine_tune):
    recipe = replace(SMALL, l2=0.0, dropout=0.0, epochs=1, batch=12, learning_rate=1e-3, name="step")
    before = fine_tuning.network(recipe, 3).get_layer("dense_1").get_weights()[0]
    after = fine_tune(recipe).model("last").get_layer("dense_1").get_weights()[0]
    assert np.abs(after - before).max() == pytest.approx(1e-3, rel=0.1)  # Adam's first step is the rate


def test_frozen_blocks_keep_their_weights_and_the_rest_learns(tuned):
    untouched = backbones.frozen_base("lite0", SMALL.frozen, weights="imagenet", size=32)
    trained = tuned.model("last")
    for name in ("stem_conv", "block5c_project_conv", "top_bn"):
        for before, after in zip(
            untouched.get_layer(name).get_weights(), trained.get_layer(name).get_weights(), strict=True
        ):
            assert np.array_equal(before, after)
    before, after = (model.get_layer("top_conv").get_weights()[0] for model in (untouched, trained))
    assert not np.array_equal(before, after)


def test_no_batchnorm_of_the_base_trains(tuned):
    import keras

    norms = [layer for layer in tuned.model().layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert norms and not any(norm.trainable for norm in norms)


def test_cache_and_prefix_give_the_same_losses(fine_tune, tuned, tmp_path, monkeypatch):
    """Stated tolerance: 1e-5 relative in float32."""
    monkeypatch.setattr(frozen_front, "refusal", lambda *_: "no room")
    through = fine_tune(SMALL, tmp_path)
    assert not through.trained.loaded and not list(tmp_path.rglob("front-*.npy"))
    for column in ("cross_entropy", "penalty", "val_cross_entropy"):
        np.testing.assert_allclose(through.history[column], tuned.history[column], rtol=1e-5)


def test_training_on_the_cache_is_training_the_whole_network_in_keras(images, fine_tune):
    recipe = replace(SMALL, dropout=0.0, epochs=1, batch=6, name="whole")
    whole = fine_tuning.compiled(fine_tuning.network(recipe, 3), recipe, 12)
    order = np.random.default_rng([recipe.seed, 0]).permutation(12)
    pixels, labels = images.pixels(32)[:12].astype("float32"), images.labels[:12]
    losses = [float(whole.train_on_batch(pixels[rows], labels[rows])) for rows in (order[:6], order[6:])]
    row = fine_tune(recipe).history.iloc[0]
    assert row["cross_entropy"] + row["penalty"] == pytest.approx(np.mean(losses), rel=1e-4)


def test_the_whole_model_gives_the_logits_of_the_cached_path(images, tuned):
    pixels = images.pixels(32)[images.rows("test")].astype("float32")
    np.testing.assert_allclose(tuned.model()(pixels, training=False).numpy(), tuned.logits("test"), atol=1e-4)


def test_features_of_the_head_lead_to_the_logits(tuned):
    features = tuned.features("val")
    kernel, bias = tuned.model().get_layer("logits").get_weights()
    np.testing.assert_allclose(features @ kernel + bias, tuned.logits("val"), atol=1e-4)


def test_another_factor_takes_effect_and_the_same_recipe_is_found_again(images, fine_tune, tuned, folder):
    other = fine_tune(replace(SMALL, l2=0.2, name="other"))
    assert other.history["penalty"][0] == pytest.approx(2 * tuned.history["penalty"][0], rel=0.02)
    fine_tuning._fitted.clear()
    again = fine_tune(SMALL)
    assert again.trained.loaded and np.array_equal(again.logits("val"), tuned.logits("val"))
    assert fine_tune(replace(SMALL, crop=0.5, name="a crop of images that aren't moved")).trained.loaded


def test_penalty_is_on_the_first_dense_layer_only():
    model = fine_tuning.network(replace(SMALL, head=(8, 4)), 3)
    kernel = np.array(model.get_layer("dense_1").kernel)
    assert float(sum(model.losses)) == pytest.approx(0.1 * (kernel**2).sum(), rel=1e-5)


def test_a_head_alone_is_fed_kept_vectors(fine_tune, tmp_path):
    fine_tune(replace(SMALL, frozen=5, name="probe"), tmp_path)
    kept = [np.load(path, mmap_mode="r").shape for path in tmp_path.rglob("front-*.npy")]
    assert sorted(kept) == [(6, 1280), (12, 1280)]


def test_a_second_stage_begins_with_the_weights_of_the_first(fine_tune):
    first = replace(SMALL, frozen=5, name="probe", epochs=3)
    second = replace(SMALL, learning_rate=1e-12, epochs=1, dropout=0.5, start=first, name="tuned")
    np.testing.assert_allclose(fine_tune(second).logits("val"), fine_tune(first).logits("val"), atol=1e-3)


def test_a_first_stage_of_the_same_network_keeps_its_answers_when_the_second_was_trained(fine_tune):
    first = replace(SMALL, epochs=1, name="first")
    second = replace(first, learning_rate=1e-2, start=first, name="second")
    earlier = fine_tune(first)
    before = earlier.logits("val")
    later = fine_tune(second)
    assert np.array_equal(earlier.logits("val"), before) and not np.array_equal(later.logits("val"), before)


def test_a_second_stage_that_freezes_more_than_the_first_is_refused(fine_tune):
    first = replace(SMALL, frozen=3, epochs=1, name="deep")
    second = replace(SMALL, frozen=4, epochs=1, start=first, name="shallow")
    with pytest.raises(LabError, match="freeze no more than 3"):
        fine_tune(second)


def test_augmented_training_goes_through_the_whole_network_and_learns_other_weights(fine_tune, tuned):
    moved = fine_tune(replace(SMALL, augment=True, name="moved"))
    assert moved.history["cross_entropy"][1] != tuned.history["cross_entropy"][1]
    assert moved.history["val_cross_entropy"].notna().all()


def test_preprocessing_by_255_is_the_originals():
    images = np.full((1, 2, 2, 3), 255, np.uint8)
    assert np.max(fine_tuning.prepare(replace(SMALL, preprocessing="1/255"), images)) == pytest.approx(1)
    assert fine_tuning.prepare(SMALL, images).max() == 1  # (255 - 127) / 128
    assert fine_tuning.prepare(SMALL, images * 0).min() == pytest.approx(-127 / 128)


@pytest.mark.parametrize("name", ["lite0", "vgg16", "efficientnetb0", "resnet50"])
def test_preprocessing_inside_the_network_is_preprocessing_in_front_of_it(name):
    import keras

    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype("float32")
    pixels = keras.Input((32, 32, 3))
    inside = keras.Model(pixels, keras.layers.Identity()(backbones.preprocess(name, pixels)))
    np.testing.assert_allclose(inside(images), backbones.preprocess(name, images), rtol=1e-5, atol=1e-5)


def test_a_cosine_rate_rises_and_falls_to_almost_zero_and_a_constant_one_stays_after_its_rise():
    model = fine_tuning.network(SMALL, 3)
    recipe = replace(SMALL, learning_rate=1e-2, batch=8, epochs=10, schedule="cosine", warmup=0.2)
    rate = fine_tuning.compiled(model, recipe, 40).optimizer._learning_rate  # 50 steps, 10 of them rising
    rates = np.array([float(rate(step)) for step in range(50)])
    assert (np.diff(rates[:11]) > 0).all() and rates.max() == pytest.approx(1e-2) == rates[10]
    assert rates[30] == pytest.approx(0.5e-2) and rates[-1] < 2e-5
    still = fine_tuning.compiled(model, replace(recipe, schedule="constant"), 40).optimizer._learning_rate
    assert [float(still(step)) for step in (10, 30, 49)] == pytest.approx([1e-2] * 3)


def test_label_smoothing_is_in_the_loss():
    model = fine_tuning.network(SMALL, 3)
    logits = np.array([[2.0, 0.0, -1.0]], np.float32)
    log_p = logits - np.log(np.exp(logits).sum())
    loss = fine_tuning.compiled(model, replace(SMALL, label_smoothing=0.3), 12).loss
    assert float(loss(np.eye(3)[[0]], logits)) == pytest.approx(-(log_p @ [0.8, 0.1, 0.1])[0], rel=1e-5)
