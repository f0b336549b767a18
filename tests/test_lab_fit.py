"""`lab.fit` finds pixels, rows and labels by itself, and never trains on labels of test."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from toy_networks import CLASSES, compiled, perceptron

from lab_utils.core import profiles
from lab_utils.core.errors import LabError
from lab_utils.data import image_table
from lab_utils.lab import Lab
from lab_utils.training import fit as fitting


@pytest.fixture
def lab(tmp_path, monkeypatch) -> Lab:
    labels = np.tile([0, 1, 2], 14)
    subset = np.array(["train"] * 24 + ["val"] * 9 + ["test"] * 9)
    rows = pd.DataFrame({"label": labels, "subset": subset}).sample(frac=1, random_state=0, ignore_index=True)
    table = SimpleNamespace(rows=rows.assign(has_image=True), classes=["a", "b", "c"], data_hash="forty-two")
    monkeypatch.setattr(image_table, "open_table", lambda settings: table)
    monkeypatch.setattr(fitting, "PROJECT", tmp_path)
    lab = Lab(SimpleNamespace(name="toy", fine_tuning=profiles.FineTuning(cap=5)), "06_fine_tuning_run1")
    pixels = np.random.default_rng(0).integers(0, 99, (42, 8, 8, 3), dtype=np.uint8)
    lab.asked = []
    lab.split_images = replace(lab.split_images, pixels=lambda size: (lab.asked.append(size), pixels)[1])
    return lab


def network(size=8):
    import keras

    keras.utils.set_random_seed(0)
    pixels = keras.Input((size, size, 3))
    x = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(pixels))
    return compiled(keras.Model(pixels, keras.layers.Dense(CLASSES)(x)))


def quiet(_):
    pass


def test_pixels_are_taken_at_the_size_of_the_input_and_train_is_capped(lab, tmp_path):
    run = lab.fit(network(), epochs=2, batch=4, progress=quiet)
    assert lab.asked == [8] and len(run.rows("train")) == 3 * 5 and list(run.rows("val")) == list(lab.rows("val"))
    assert run.probabilities("test").shape == (9, CLASSES)
    assert lab.fit(network(), epochs=2, batch=4, progress=quiet).loaded
    assert run.folder.is_relative_to(tmp_path / "data" / "cache")
    everything = lab.fit(network(), epochs=1, batch=4, cap=None, progress=quiet)
    assert len(everything.rows("train")) == 24


def test_stored_features_are_taken_row_by_row(lab):
    features = np.random.default_rng(1).normal(size=(42, 6)).astype(np.float32)
    run = lab.fit(perceptron(), features, epochs=1, batch=4, progress=quiet)
    np.testing.assert_allclose(run.logits(features[lab.rows("test")]), run.logits("test"), atol=1e-6)
    assert not lab.asked
    features[lab.rows("train")[0]] += 1  # other content is other data
    assert not lab.fit(perceptron(), features, epochs=1, batch=4, progress=quiet).loaded


def test_labels_of_test_are_not_there(lab):
    run = lab.fit(network(), epochs=1, batch=4, progress=quiet)
    assert run._trainee.splits["test"].labels is None


def test_a_network_without_a_square_input_is_a_sentence(lab):
    with pytest.raises(LabError, match=r"keras\.Input\(\(size, size, 3\)\)"):
        lab.fit(perceptron(), epochs=1, batch=4)
