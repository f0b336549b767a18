"""Toy networks and data for the tests of `fit`: three classes of 8 × 8 pictures, told apart by their brightness."""

import numpy as np

from lab_utils.training.feeding import Split

CLASSES = 3


def pictures(n: int, seed: int) -> Split:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, CLASSES, n)
    return Split((rng.integers(0, 90, (n, 8, 8, 3)) + 80 * labels[:, None, None, None]).astype(np.uint8), labels)


def vectors(n: int, seed: int) -> Split:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, CLASSES, n)
    return Split((rng.normal(size=(n, 6)) + labels[:, None]).astype(np.float32), labels)


def compiled(model, rate=0.01, loss=None, **more):
    import keras

    loss = loss or keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(rate), loss, **more)
    return model


def perceptron(seed=0, width=8, dropout=0.5, l2=0.0, rate=0.01, **more):
    """A network of all that has state: weights, moving averages, random state."""
    import keras

    keras.utils.set_random_seed(seed)
    layers = [keras.layers.Dense(width, "relu", kernel_regularizer=keras.regularizers.L2(l2) if l2 else None)]
    layers += [keras.layers.BatchNormalization(), keras.layers.Dropout(dropout), keras.layers.Dense(CLASSES)]
    return compiled(keras.Sequential([keras.Input((6,)), *layers]), rate, **more)


def base(trainable: bool, norm: bool = True):
    """A small pretrained network, as it were: two convolutions, normalised, around a drop-connect."""
    import keras

    pixels = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, activation="relu", name="conv1")(pixels)
    x = keras.layers.BatchNormalization(name="norm1")(x) if norm else x
    around = x
    x = keras.layers.Conv2D(4, 3, padding="same", name="conv2")(x)
    x = keras.layers.Add(name="sum")([keras.layers.Dropout(0.5, name="drop")(x), around])
    model = keras.Model(pixels, keras.layers.MaxPooling2D(2, name="pool")(x), name="base")
    model.trainable = trainable
    return model


def tuned(seed=0, trainable=False, before=(), head_dropout=0.0, nested=True, norm=True, **more):
    """A head on `base`: augmentation (`before`), preprocessing, base, dense layer."""
    import keras

    keras.utils.set_random_seed(seed)
    pixels = x = keras.Input((8, 8, 3))
    for layer in before:
        x = layer(x)
    x = (x - 127.0) / 128.0
    inner = base(trainable, norm)
    if nested:
        x = inner(x)
    else:
        for layer in inner.layers[1:4]:  # up to the first normalisation
            x = layer(x) if layer.name != "conv2" else x
    x = keras.layers.Flatten()(x)
    x = keras.layers.Dropout(head_dropout)(x) if head_dropout else x
    return compiled(keras.Model(pixels, keras.layers.Dense(CLASSES, name="logits")(x)), **more)
