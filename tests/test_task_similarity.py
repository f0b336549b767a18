"""Chapter 03: the sheet of what networks see, and sentences that follow the numbers."""

import numpy as np
import pandas as pd
import pytest

from lab_utils.analysis import transferability
from lab_utils.chapters import task_similarity
from lab_utils.stats.intervals import Accuracy, Estimate
from lab_utils.stats.metrics import softmax


@pytest.mark.parametrize("least, words", [(0.2, "reads nothing"), (0.6, "besides the labels")])
def test_the_sentence_on_shuffled_labels_follows_the_numbers(least, words):
    text = task_similarity.shuffled_words(Estimate(least + 0.1, least, least + 0.2, 8), Accuracy(25, 100))
    assert words in text and "8 permutations" in text


@pytest.mark.parametrize(
    "right, words", [((20, 50, 80), "as expected"), ((20, 80, 50), "is wrong"), ((20, 80, 80), "is not shown")]
)
def test_the_expected_order_of_the_layers_is_computed(right, words):
    truth = np.full(100, "a")
    probes = [transferability.Probe("", np.where(np.arange(100) < n, "a", "b"), truth, truth) for n in right]
    text = task_similarity.order_words({"n": dict(zip(transferability.LAYERS, probes, strict=True))}, {"n": "Net"})
    assert words in text and "Net: logits better by" in text


def test_the_first_image_of_each_class_in_table_order():
    assert task_similarity.first_of_each(np.array([9, 1, 0, 1, 0, 2]), np.array([1, 2, 3, 4])).tolist() == [2, 1]


def test_a_gallery_has_the_image_and_every_network_for_each_row_and_the_table_the_printed_labels():
    predictions = {
        name: task_similarity.Prediction(["cat", "mail_bag"], np.array([0.5, 0.25]), np.zeros((2, 4, 4), np.float32))
        for name in ("A", "B")
    }
    sheet = task_similarity.gallery(np.zeros((2, 4, 4, 3), np.uint8), ["Clay", "Gold"], predictions)
    assert sheet["titles"] == [
        "Clay",
        "A: cat (0.50)",
        "B: cat (0.50)",
        "Gold",
        "A: mail_bag (0.25)",
        "B: mail_bag (0.25)",
    ]
    assert [heat is None for heat in sheet["maps"]] == [True, False, False] * 2 and len(sheet["images"]) == 6
    reported = pd.DataFrame({"network": ["VGG16"], "medium": ["Clay"], "label": ["a_pot"], "probability": [0.4]})
    table = task_similarity.answers_table(["Clay", "Gold"], predictions, reported)
    assert table["VGG16 (reported)"].tolist() == ["a pot (0.40)", ""] and table["A"][0] == "cat (0.50)"


def test_a_prediction_is_the_likeliest_class_with_a_map_of_the_images_size():
    import keras

    image = keras.Input((8, 8, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3)(image))
    model = keras.Model(image, keras.layers.Dense(3)(pooled))
    images = np.random.default_rng(0).random((2, 8, 8, 3)).astype(np.float32)
    prediction = task_similarity.predict(model, images, ["a", "b_c", "d"])
    logits = np.asarray(model(images))
    assert prediction.labels == [["a", "b c", "d"][label] for label in logits.argmax(1)]
    np.testing.assert_allclose(prediction.probabilities, softmax(logits).max(1), atol=1e-6)
    assert prediction.maps.shape == (2, 8, 8)
