"""Chapter 03: the sheet of what networks see, and tables beside it."""

import keras
import numpy as np
import pandas as pd
import pytest

from lab_utils.analysis import transferability
from lab_utils.chapters import task_similarity
from lab_utils.stats.intervals import Estimate
from lab_utils.stats.metrics import softmax
from tests.notebook_cells import function_of


def test_steps_are_paired_differences_of_neighbouring_layers():
    truth = np.full(100, "a")
    probes = [transferability.Probe("", np.where(np.arange(100) < n, "a", "b"), truth, truth) for n in (20, 50, 80)]
    table = task_similarity.steps_table({"n": dict(zip(transferability.LAYERS, probes, strict=True))}, {"n": "Net"})
    assert list(table) == ["network", "logits minus ImageNet outputs", "penultimate features minus logits"]
    assert table["network"][0] == "Net" and table.iloc[0, 1].value == pytest.approx(0.3)


def test_agreement_is_told_for_every_measure_or_why_there_is_none():
    tau = Estimate(0.5, 0.1, 0.9, 5, digits=2)
    assert "LEEP 0.50 (0.10 to 0.90, n = 5); LogME" in task_similarity.agreement_words({"LEEP": tau, "LogME": tau})
    assert task_similarity.agreement_words({"LEEP": "Too few."}) == "Too few."


def test_the_first_image_of_each_class_in_table_order():
    assert task_similarity.first_of_each(np.array([9, 1, 0, 1, 0, 2]), np.array([1, 2, 3, 4])).tolist() == [2, 1]


def test_a_gallery_has_the_image_and_every_network_for_each_row_and_the_table_the_printed_labels():
    probabilities, maps = np.array([[0.5, 0.2, 0.3], [0.2, 0.6, 0.2]]), np.zeros((2, 4, 4), np.float32)
    names = ["cat", "mail bag", "pot"]
    predictions = {name: task_similarity.Prediction(names, probabilities, maps) for name in ("A", "B")}
    sheet = task_similarity.gallery(np.zeros((2, 4, 4, 3), np.uint8), ["Clay", "Gold"], predictions)
    assert sheet["titles"] == [
        "Clay",
        "A: cat (0.50)",
        "B: cat (0.50)",
        "Gold",
        "A: mail bag (0.60)",
        "B: mail bag (0.60)",
    ]
    assert [heat is None for heat in sheet["maps"]] == [True, False, False] * 2 and len(sheet["images"]) == 6
    reported = pd.DataFrame({"network": ["VGG16"], "medium": ["Clay"], "label": ["a_pot"], "probability": [0.4]})
    table = task_similarity.answers_table(["Clay", "Gold"], predictions, reported)
    assert table["VGG16 (reported)"].tolist() == ["a pot (0.40)", ""] and table["A"][0] == "cat (0.50)"


def test_looking_gives_probabilities_and_maps_of_the_images_size():
    image = keras.Input((8, 8, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3)(image))
    model = keras.Model(image, keras.layers.Dense(3)(pooled))
    images = np.random.default_rng(0).random((2, 8, 8, 3)).astype(np.float32)
    look = function_of("03_task_similarity", "look")
    prediction = look(model, images, ["a", "b", "c"])
    np.testing.assert_allclose(prediction.probabilities, softmax(np.asarray(model(images))), atol=1e-6)
    assert prediction.maps.shape == (2, 8, 8)


def test_the_notebook_decodes_as_keras_does():
    decode = function_of("03_task_similarity", "decode_predictions")
    probabilities = np.random.default_rng(0).dirichlet(np.full(1000, 0.1), 2)
    decoded = decode(probabilities, list(range(1000)), top=3)
    for row, listed in zip(probabilities, decoded, strict=True):
        assert [p for _, p in listed] == sorted(row)[::-1][:3] and all(row[k] == p for k, p in listed)
