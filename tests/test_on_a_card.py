"""What only a graphics card can show: right numbers, data in its memory, the same bits where they are asked for."""

import os
import subprocess
import sys

import numpy as np
import pytest

from lab_utils.core import records
from lab_utils.training import feeding, twin

pytestmark = pytest.mark.gpu
TRAINED = """
import numpy as np, tempfile, hashlib, keras
from pathlib import Path
from lab_utils.training.fit import fit
from lab_utils.training.feeding import Split
rng = np.random.default_rng(0)
splits = [Split(rng.integers(0, 256, (n, 32, 32, 3), dtype=np.uint8), rng.integers(0, 4, n)) for n in (96, 32)]
keras.utils.set_random_seed(0)
pixels = keras.Input((32, 32, 3))
x = keras.layers.Conv2D(16, 3, activation="relu")(keras.layers.Rescaling(1 / 255)(pixels))
x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(32, 3, activation="relu")(x))
model = keras.Model(pixels, keras.layers.Dense(4)(x))
model.compile(keras.optimizers.Adam(1e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
run = fit(model, *splits, epochs=3, batch=32, folder=Path(tempfile.mkdtemp()), progress=lambda line: None)
print(hashlib.sha256(b"".join(np.ascontiguousarray(w).tobytes() for w in run.weights("last"))).hexdigest())
"""


def test_a_network_gives_the_processors_numbers_up_to_rounding():
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(0)
    model = keras.applications.ResNet50(weights=None, include_top=False, pooling="avg", input_shape=(64, 64, 3))
    images = np.random.default_rng(0).normal(size=(8, 64, 64, 3)).astype("float32")
    with tf.device("CPU:0"):
        expected = model(images, training=False).numpy()
    with tf.device("GPU:0"):
        given = model(images, training=False).numpy()
    assert np.abs(given - expected).max() < 1e-2 * np.abs(expected).max()  # products in TF32


def test_rows_are_held_in_the_cards_memory():
    import tensorflow as tf

    twin.prepare_device()
    split = feeding.Split(np.zeros((64, 32, 32, 3), np.uint8), np.zeros(64, int))
    held = feeding.source(split, "test of a card")
    assert isinstance(held, feeding.Held)
    assert "GPU" in tf.gather(held.variables[0], np.arange(4, dtype=np.int32)).device


def test_two_trainings_give_the_same_bits_where_it_is_asked_for():
    variables = {**os.environ, twin.DETERMINISTIC: "1", "PYTHONPATH": str(records.PROJECT)}
    command = [sys.executable, "-c", TRAINED]
    runs = [subprocess.run(command, env=variables, capture_output=True, text=True, check=True) for _ in range(2)]
    assert runs[0].stdout == runs[1].stdout and len(runs[0].stdout) > 60
