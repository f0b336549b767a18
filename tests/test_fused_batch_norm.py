"""Merging a normalisation into its convolution changes what is computed, not what comes out."""

import numpy as np
import pytest

from lab_utils.networks import backbones
from lab_utils.networks.fused_batch_norm import fused


def with_random_statistics(name: str, size: int, **options):
    import keras

    model = backbones.build(name, weights="random", size=size, **options)
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([rng.uniform(0.5, 1.5, weight.shape) for weight in layer.get_weights()])
        elif isinstance(layer, keras.layers.Normalization) and layer.input_mean is None:  # B0 to B7: read from a file
            layer.adapt_mean.assign([0.485, 0.456, 0.406])
            layer.adapt_variance.assign([0.0524, 0.0502, 0.0506])
            layer.finalize_state()
    return model


def normalisations(model) -> int:
    return sum(type(layer).__name__ == "BatchNormalization" for layer in model.layers)


@pytest.mark.parametrize(
    ("name", "left"),
    [("lite0", 0), ("resnet50", 0), ("densenet121", 62), ("efficientnetb0", 0), ("efficientnetv2b0", 0)],
)
def test_fused_network_gives_the_same_logits(name, left):
    model = with_random_statistics(name, 32)
    merged = fused(model)
    low, high = backbones.backbone(name).expected_range
    images = np.random.default_rng(1).uniform(low, high, (2, 32, 32, 3)).astype(np.float32)
    wanted, got = (one(images, training=False).numpy() for one in (model, merged))
    assert normalisations(merged) == left  # DenseNet's stand in front of its convolutions
    np.testing.assert_allclose(got, wanted, atol=2e-5 * np.abs(wanted).max())


def test_every_layer_keeps_its_name_and_what_stays_keeps_its_output():
    import keras

    model = with_random_statistics("lite0", 32)
    merged = fused(model, keep=["block2a_expand_conv"])
    assert [layer.name for layer in merged.layers[1:]] == [layer.name for layer in model.layers[1:]]
    assert normalisations(merged) == 1
    images = np.ones((1, 32, 32, 3), np.float32)
    kept, normalised = "block2a_expand_conv", "block3a_project_bn"
    for name in (kept, normalised):
        outputs = [keras.Model(one.input, one.get_layer(name).output)(images).numpy() for one in (model, merged)]
        np.testing.assert_allclose(*outputs, rtol=1e-4, atol=1e-4)


def test_a_convolution_that_something_else_reads_is_left_alone():
    import keras

    inputs = keras.Input((8, 8, 3))
    seen = keras.layers.Conv2D(4, 1, name="seen")(inputs)
    model = keras.Model(inputs, keras.layers.Add()([seen, keras.layers.BatchNormalization(name="norm")(seen)]))
    assert fused(model) is model


def test_a_convolution_with_an_activation_of_its_own_is_left_alone():
    import keras

    inputs = keras.Input((8, 8, 3))
    rectified = keras.layers.Conv2D(4, 1, activation="relu")(inputs)
    model = keras.Model(inputs, keras.layers.BatchNormalization()(rectified))
    assert fused(model) is model


def test_frozen_blocks_have_no_normalisation_left_and_trained_blocks_have_theirs():
    base = backbones.frozen_base("lite0", 4, weights="random", size=32)
    names = [layer.name for layer in base.layers if type(layer).__name__ == "BatchNormalization"]
    assert names
    assert all(name.startswith(("block6", "block7", "top")) for name in names)
    assert not any(layer.trainable for layer in base.layers if layer.name in names)
