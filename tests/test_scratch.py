"""Networks from scratch, trained on a toy: scaled as said, found again, ensembles, augmentation, hidden test labels."""

from dataclasses import replace

import numpy as np
import pytest

from lab_utils.core import profiles
from lab_utils.data.splits import SplitImages
from lab_utils.networks import scratch_specs
from lab_utils.networks.scratch_specs import ConvSpec, DenseSpec, ScratchSpec
from lab_utils.stats.metrics import softmax
from lab_utils.training import fit, scratch

TINY = ScratchSpec("tiny", "test", (ConvSpec(4, 2),), (DenseSpec(8, dropout=0.1),), epochs=2, learning_rate=0.01)
LABELS = np.tile([0, 1, 2], 12)
SETTINGS = profiles.Scratch.model_construct(**{**profiles.Scratch().model_dump(), "size": 12, "momentum": 0.8})


@pytest.fixture
def images(tmp_path, monkeypatch) -> SplitImages:
    """36 images of three colours, 12 pixels wide."""
    monkeypatch.setattr(fit, "PROJECT", tmp_path)
    pixels = np.random.default_rng(0).integers(0, 80, (36, 12, 12, 3), dtype=np.uint8)
    for row, label in enumerate(LABELS):
        pixels[row, ..., label] += 150
    subset = np.repeat(["train", "val", "test"], 12)
    return SplitImages(lambda size: pixels, subset, np.where(subset == "test", -1, LABELS), 3, "toy")


def quiet(_):
    pass


def test_plan_scales_epochs_rate_and_batch_as_said():
    settings = profiles.Scratch(epochs=0.1, max_epochs=5, batch=32, learning_rate=10, max_learning_rate=2e-3)
    seven, eleven, two = (scratch.plan(scratch_specs.spec_of(i), settings) for i in (7, 11, 2))
    assert (seven.epochs, seven.batch, seven.learning_rate) == (2, 32, pytest.approx(5e-4))
    assert eleven.epochs == 5 and two.learning_rate == 2e-3
    text = scratch.scaling(settings)
    assert "epochs × 0.1, 5 at most" in text and "× 10, 0.002 at most" in text and "windows cut" in text


def test_a_network_learns_three_colours_without_test_labels_and_is_found_again(images):
    settings = SETTINGS.model_copy(update={"learning_rate": 1, "max_learning_rate": 0.1})
    longer = replace(TINY, epochs=12)
    probabilities = scratch.train(longer, images, settings, quiet).probabilities("test")
    assert (probabilities.argmax(1) == LABELS[24:]).mean() > 0.9
    again = scratch.train(longer, images, settings, quiet)
    assert again.trained.loaded and np.array_equal(again.probabilities("test"), probabilities)


def test_ensemble_averages_the_probabilities_of_its_members_also_as_a_model(images, monkeypatch):
    monkeypatch.setitem(scratch_specs.BY_NUMBER, "10", TINY)
    monkeypatch.setitem(scratch_specs.BY_NUMBER, "12", replace(TINY, number="moved", augment=True))
    ensemble = scratch.train(13, images, SETTINGS, quiet)
    first, second = ensemble.members
    mean = (first.probabilities("val") + second.probabilities("val")) / 2
    np.testing.assert_allclose(ensemble.probabilities("val"), mean, atol=1e-6)
    pixels = images.pixels(12)[images.rows("val")].astype(np.float32)
    np.testing.assert_allclose(softmax(ensemble.model()(pixels)), mean, atol=1e-5)
    assert ensemble.seconds == first.seconds + second.seconds


def test_augmented_training_differs_from_plain_and_repeats_itself(images):
    augmented = replace(TINY, augment=True)
    plain, moved = (scratch.train(spec, images, SETTINGS, quiet) for spec in (TINY, augmented))
    assert not np.allclose(plain.probabilities("val"), moved.probabilities("val"))
    weights = [np.array(variable) for variable in moved.model().variables]
    for model in fit.PROJECT.rglob("model.npz"):
        model.unlink()
    again = scratch.train(augmented, images, SETTINGS, quiet)
    assert not again.trained.loaded
    assert all(np.array_equal(a, np.array(b)) for a, b in zip(weights, again.model().variables, strict=True))


def test_table_names_what_the_original_does_not_print():
    table = scratch.table([scratch_specs.spec_of(i) for i in (7, 13)], profiles.Scratch())
    assert table["not printed there"].tolist() == ["epochs, penalties, dropout", ""]
    assert table["layers"].tolist()[1] == "average of #10 and #12"
