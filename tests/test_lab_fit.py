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


def test_a_kept_run_answers_as_the_run_itself_and_is_listed_with_what_differs(lab, tmp_path):
    lab.settings.run_folder, lab.settings.report_folder = tmp_path / "run", tmp_path / "report"
    run = lab.fit(network(), epochs=2, batch=4, progress=quiet)
    lab.keep("run 1", run, {"learning rate": 0.001, "head": (8,)})
    kept = lab.kept("run 1")
    assert kept.history["val_accuracy"].tolist() == run.history["val_accuracy"].tolist()
    assert (kept.best_epoch, kept.seconds, kept.front) == (run.best_epoch, pytest.approx(run.seconds), run.front)
    for split in ("val", "test"):
        np.testing.assert_allclose(kept.probabilities(split), run.probabilities(split), atol=1e-5)
    assert list(kept.rows("train")) == list(run.rows("train")) and kept.settings["head"] == [8]
    lab.keep("run 2", run, {"learning rate": 0.1, "head": (8,)})
    table = lab.runs().set_index("run")
    assert table.loc["run 2", "not as in run 1"] == "learning rate 0.1" and set(table["whose"]) == {"yours"}
    with pytest.raises(LabError, match=r"has kept 'run 3' .*kept: none"):
        lab.kept("run 3")


def test_the_order_of_an_epoch_is_the_one_that_was_trained_in(lab):
    run = lab.fit(network(), epochs=1, batch=4, seed=3, progress=quiet)
    rows = run.rows("train")
    assert list(run.order()) == list(rows[np.random.default_rng([3, 0]).permutation(len(rows))])
