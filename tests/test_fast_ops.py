"""The quick operations against those of TensorFlow and Keras that they stand for."""

import numpy as np
import pytest

from lab_utils.networks import fast_ops


@pytest.mark.parametrize("size", [(3, 3), (6, 6), (7, 5)])
@pytest.mark.parametrize("kernel", [2, 3])
@pytest.mark.parametrize("padding", ["SAME", "VALID"])
def test_depthwise_kernel_gradient_is_tensorflows(size, kernel, padding):
    import tensorflow as tf

    rng, strides = np.random.default_rng(0), (1, 1, 1, 1)
    images = tf.constant(rng.normal(size=(4, *size, 5)), tf.float32)
    filters = tf.constant(rng.normal(size=(kernel, kernel, 5, 1)), tf.float32)
    shape = tf.nn.depthwise_conv2d(images, filters, strides, padding).shape
    upstream = tf.constant(rng.normal(size=shape), tf.float32)
    wanted = tf.nn.depthwise_conv2d_backprop_filter(images, filters.shape, upstream, strides, padding).numpy()
    got = fast_ops.depthwise_kernel_gradient(images, upstream, kernel, padding).numpy()
    np.testing.assert_allclose(got, wanted, atol=1e-5)


@pytest.mark.parametrize("strides", [1, 2])
def test_layer_gives_keras_outputs_and_gradients(strides):
    import keras
    import tensorflow as tf

    images = tf.constant(np.random.default_rng(0).normal(size=(2, 6, 6, 4)), tf.float32)
    options = {
        "kernel_size": 5,
        "strides": strides,
        "padding": "same",
        "activation": "relu",
        "bias_initializer": "ones",
    }
    layers = [kind(**options) for kind in (keras.layers.DepthwiseConv2D, fast_ops.depthwise_layer())]
    found = []
    for layer in layers:
        layer.build(images.shape)
        layer.set_weights(layers[0].get_weights())
        with tf.GradientTape() as tape:
            tape.watch(images)
            output = layer(images)
            loss = tf.reduce_sum(output**2)
        found.append([output, *tape.gradient(loss, [images, *layer.trainable_variables])])
    for wanted, got in zip(*found, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-4)


def compiled(optimizer, weight):
    import tensorflow as tf

    return tf.function(lambda gradient: optimizer.apply([gradient], [weight]), autograph=False)


@pytest.mark.parametrize("amsgrad", [False, True])
def test_adam_moves_weights_as_keras_does(amsgrad):
    import keras
    import tensorflow as tf

    rng = np.random.default_rng(0)
    gradients = [tf.constant(rng.normal(size=7) * scale, tf.float32) for scale in (1, 10, 0.1, 1)]
    ends = []
    for kind in (keras.optimizers.Adam, fast_ops.adam()):
        optimizer, weight = kind(amsgrad=amsgrad), keras.Variable(np.linspace(-1, 1, 7), dtype="float32")
        optimizer.build([weight])
        step = compiled(optimizer, weight)
        for rate, gradient in zip((0.1, 0.01, 0.1, 0.1), gradients, strict=True):
            optimizer.learning_rate = rate
            step(gradient)
        ends.append([np.asarray(one) for one in (weight, *optimizer.variables)])
    for wanted, got in zip(*ends, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-6)
    assert np.abs(ends[1][0] - np.linspace(-1, 1, 7)).max() > 0.1  # it moved
