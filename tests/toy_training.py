"""A toy problem for the tests of training: three noisy classes, and a network with all that has state."""

import numpy as np

from lab_utils.networks.building import building
from lab_utils.training.loop import Examples, Trainer
from lab_utils.training.plan import Plan

PLAN = Plan(learning_rate=0.01, batch=8, epochs=3, seed=1)


def examples(n: int, seed: int) -> Examples:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, n)
    return Examples((rng.normal(size=(n, 6)) + labels[:, None]).astype("float32"), labels)


def trainer(dropout: float = 0.5, l2: float = 0.0, frozen: bool = False) -> Trainer:
    """A small network; `frozen`: its first layer is said to be frozen, and trained all the same."""
    import keras

    with building("float32"):
        penalty = keras.regularizers.L2(l2) if l2 else None
        layers = [keras.layers.Dense(8, activation="relu", kernel_regularizer=penalty)]
        layers += [keras.layers.BatchNormalization(), keras.layers.Dropout(dropout), keras.layers.Dense(3)]
        model = keras.Sequential([keras.Input((6,)), *layers])
        return Trainer(model, redraw=layers[1:], frozen=layers[0].weights) if frozen else Trainer(model)
