from dataclasses import replace

import numpy as np
import pytest

from lab_utils.core import profiles
from lab_utils.core.errors import LabError
from lab_utils.data.splits import SplitImages
from lab_utils.networks import backbones
from lab_utils.training import fine_tuning, frozen_front, loop
from lab_utils.training.recipes import FineTuningRecipe

SETTINGS = profiles.FineTuning(precision="float32")
SMALL = FineTuningRecipe(
    "small", "test", 1e-3, 8, 2, network="lite0", frozen=4, head=(8,), pooling="average", l2=0.1, dropout=0.5, size=32
)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """24 images of three colours at 32 pixels."""
    labels, subset = np.tile([0, 1, 2], 8), np.array(["train"] * 12 + ["val"] * 6 + ["test"] * 6)
    pixels = np.random.default_rng(0).integers(0, 80, (24, 32, 32, 3), dtype=np.uint8)
    for row, label in enumerate(labels):
        pixels[row, ..., label] += 150
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "cache_folder", lambda: folder)
        yield SplitImages(lambda size: pixels, subset, np.where(subset == "test", -1, labels), 3, "toy")


def quiet(_):
    pass


def fine_tune(images, recipe):
    return fine_tuning.fine_tune(recipe, images, SETTINGS, progress=quiet)


def tuner_of(images, recipe):
    """One that no other test has used."""
    return fine_tuning.Tuner(recipe, images, SETTINGS, "imagenet")


@pytest.fixture(scope="module")
def tuned(images):
    return fine_tune(images, SMALL)


def test_head_sits_on_the_base_flat_and_starts_near_the_logarithm_of_the_classes(images, tuned):
    names = [layer.name for layer in tuned.model().layers]
    assert names[-4:] == ["pooled", "dense_1", "dropout_1", "logits"] and "block5c_add" in names
    assert 0 < abs(tuned.trained.initial_cross_entropy - np.log(3)) < loop.NEAR


def test_a_head_out_of_scale_is_stopped_before_its_first_step(images, monkeypatch):
    import keras

    large = keras.initializers.VarianceScaling(1e4, "fan_avg", "uniform")
    monkeypatch.setattr(loop, "small_kernel", lambda: large)
    with pytest.raises(LabError, match=r"small \(lite0\) starts at a cross-entropy of .*, not at ln 3 = 1\.099"):
        tuner_of(images, SMALL).fit(replace(SMALL, seed=9), quiet)


def test_images_scaled_twice_are_stopped_before_anything_is_trained(images, monkeypatch):
    right = backbones.preprocess
    monkeypatch.setattr(backbones, "preprocess", lambda name, images: right(name, images) / 255)
    with pytest.raises(LabError, match=r"lite0 expects input from -0\.99 to 1\.00, .* and got -0\.00 to 0\.00"):
        tuner_of(images, SMALL).fit(replace(SMALL, seed=9), quiet)


def test_the_first_step_teaches_the_hidden_layer_too(images):
    recipe = replace(SMALL, l2=0.0, dropout=0.0, epochs=1, batch=12, learning_rate=1e-3, name="step")
    tuner = tuner_of(images, recipe)
    tuner.trainer.restart(recipe.seed)
    before = tuner.full.get_layer("dense_1").get_weights()[0]
    tuner.trainer.train_epoch(tuner.examples("train", recipe), recipe.plan, 0)
    moved = np.abs(tuner.full.get_layer("dense_1").get_weights()[0] - before)
    assert moved.max() > 0.9e-3  # Adam's first step is the rate


def test_out_of_memory_in_features_is_a_sentence(tuned, monkeypatch):
    def full(*_):
        raise MemoryError

    monkeypatch.setattr(loop.Examples, "batches", full)
    with pytest.raises(LabError, match="small, dense_1: out of memory with batches of 64 and inputs of 2 × 2 × 112"):
        tuned.features("val")


def test_frozen_blocks_keep_their_weights_and_the_rest_learns(images, tuned):
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


def test_cache_and_prefix_give_the_same_losses(images, tuned, tmp_path, monkeypatch):
    """Stated tolerance: 1e-5 relative in float32."""
    monkeypatch.setattr(loop, "cache_folder", lambda: tmp_path)
    monkeypatch.setattr(frozen_front, "refusal", lambda *_: "no room")
    through = tuner_of(images, SMALL).fit(SMALL, quiet)
    assert not through.trained.loaded and not list(tmp_path.glob("prefix/*.bin"))
    for column in ("cross_entropy", "penalty", "val_cross_entropy"):
        np.testing.assert_allclose(through.history[column], tuned.history[column], rtol=1e-5)


def test_training_on_the_cache_is_training_the_whole_network_in_keras(images):
    import keras

    recipe = replace(SMALL, dropout=0.0, epochs=1, batch=6, name="whole")
    ours = fine_tune(images, recipe)
    whole = fine_tuning.network(recipe, 3, weights="imagenet")
    tuner = ours.tuner
    tuner.trainer.restart(recipe.seed)
    for layer in tuner.trainer.redraw:
        whole.get_layer(layer.name).set_weights(layer.get_weights())
    whole.compile(keras.optimizers.Adam(recipe.learning_rate), keras.losses.SparseCategoricalCrossentropy(True))
    order = np.random.default_rng([recipe.seed, 0]).permutation(12)
    pixels, labels = images.pixels(32)[:12], images.labels[:12]
    losses = [
        float(whole.train_on_batch(ours.preprocess(pixels[rows]), labels[rows])) for rows in (order[:6], order[6:])
    ]
    row = ours.history.iloc[0]
    assert row["cross_entropy"] + row["penalty"] == pytest.approx(np.mean(losses), rel=1e-4)


def test_the_whole_model_gives_the_logits_of_the_cached_path(images, tuned):
    pixels = images.pixels(32)[images.rows("test")]
    whole = tuned.model()(tuned.preprocess(pixels), training=False).numpy()
    np.testing.assert_allclose(whole, tuned.logits("test"), atol=1e-4)


def test_features_of_the_head_lead_to_the_logits(tuned):
    features = tuned.features("val")
    kernel, bias = tuned.model().get_layer("logits").get_weights()
    np.testing.assert_allclose(features @ kernel + bias, tuned.logits("val"), atol=1e-4)


def test_a_recipe_with_another_factor_shares_the_compiled_step_and_takes_effect(images, tuned):
    other = fine_tune(images, replace(SMALL, l2=0.2, name="other"))
    assert other.tuner is tuned.tuner
    assert other.history["penalty"][0] == pytest.approx(2 * tuned.history["penalty"][0], rel=0.02)
    again = tuner_of(images, SMALL).fit(SMALL, quiet)
    assert again.trained.loaded and np.array_equal(again.logits("val"), tuned.logits("val"))


def test_penalty_is_on_the_first_dense_layer_only(images):
    model = fine_tuning.network(replace(SMALL, head=(8, 4)), 3, weights="imagenet")
    kernel = np.array(model.get_layer("dense_1").kernel)
    assert float(sum(model.losses)) == pytest.approx(0.1 * (kernel**2).sum(), rel=1e-5)


def test_a_head_alone_is_fed_cached_vectors(images):
    probe = tuner_of(images, replace(SMALL, frozen=5))
    assert probe.rest.input_shape == (None, 1280)
    examples = probe.examples("val", probe.recipe)
    assert examples.inputs.shape == (6, 1280)


def test_a_second_stage_begins_with_the_weights_of_the_first(images):
    first = replace(SMALL, frozen=5, name="probe", epochs=3)
    second = replace(SMALL, learning_rate=1e-12, epochs=1, dropout=0.5, start=first, name="tuned")
    before = fine_tune(images, first).logits("val")
    after = fine_tune(images, second).logits("val")
    np.testing.assert_allclose(after, before, atol=1e-3)


def test_a_first_stage_of_the_same_network_keeps_its_answers_when_the_second_was_trained(images):
    first = replace(SMALL, epochs=1, name="first")
    second = replace(first, learning_rate=1e-2, start=first, name="second")
    earlier = fine_tune(images, first)
    before = earlier.logits("val")
    later = fine_tune(images, second)
    assert later.tuner is earlier.tuner and np.array_equal(earlier.logits("val"), before)
    assert not np.array_equal(later.logits("val"), before)


def test_a_second_stage_that_freezes_more_than_the_first_is_refused(images):
    first = replace(SMALL, frozen=3, epochs=1, name="deep")
    second = replace(SMALL, frozen=4, epochs=1, start=first, name="shallow")
    with pytest.raises(LabError, match="freeze no more than 3"):
        fine_tune(images, second)


def test_augmented_training_goes_through_the_whole_network_and_learns_other_weights(images, tuned):
    moved = fine_tune(images, replace(SMALL, augment=True, name="moved"))
    assert moved.history["cross_entropy"][1] != tuned.history["cross_entropy"][1]
    assert moved.history["val_cross_entropy"].notna().all()


def test_a_recipe_of_another_architecture_is_refused(tuned):
    with pytest.raises(LabError, match="needs another network than small"):
        tuned.tuner.fit(replace(SMALL, head=(4,), name="narrow"), quiet)


def test_preprocessing_by_255_is_the_originals():
    images = np.full((1, 2, 2, 3), 255, np.uint8)
    assert fine_tuning.prepare(replace(SMALL, preprocessing="1/255"), images).max() == 1
    assert fine_tuning.prepare(SMALL, images).max() == 1  # (255 - 127) / 128
    assert fine_tuning.prepare(SMALL, images * 0).min() == pytest.approx(-127 / 128)


def test_depthwise_networks_stay_in_float32_on_processors(monkeypatch):
    monkeypatch.setattr(loop, "best_precision", lambda: "mixed_bfloat16")
    assert fine_tuning.best_precision("lite0") == "float32"
    assert fine_tuning.best_precision("vgg16") == "mixed_bfloat16"
    monkeypatch.setattr(loop, "on_graphics_card", lambda: True)
    assert fine_tuning.best_precision("lite0") == "mixed_bfloat16"


def test_half_precision_gives_float32_logits_near_those_of_single():
    images = backbones.preprocess("vgg16", np.random.default_rng(0).integers(0, 255, (2, 32, 32, 3)).astype("uint8"))
    recipe = replace(SMALL, network="vgg16", frozen=3, dropout=0.0)
    outputs = []
    for precision in ("float32", "mixed_bfloat16"):
        model = fine_tuning.network(recipe, 3, weights="random", precision=precision)
        features = model.get_layer("dense_1").output
        import keras

        outputs.append(np.asarray(keras.Model(model.input, features)(images)).astype("float32"))
        assert model.output.dtype == "float32"
    np.testing.assert_allclose(outputs[1], outputs[0], rtol=0.1, atol=0.05 * np.abs(outputs[0]).max())
