"""Two operations of training that TensorFlow computes slowly on processors, done the quick way: same results.

Keras layers and optimizers are classes that exist only once TensorFlow is imported (which takes seconds), so they are
made by functions.
"""

from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras
    import tensorflow as tf


@cache
def depthwise_layer() -> type["keras.layers.DepthwiseConv2D"]:
    """`keras.layers.DepthwiseConv2D` whose kernel gradient is computed by `depthwise_kernel_gradient` on processors."""
    import keras
    import tensorflow as tf

    @keras.saving.register_keras_serializable("lab")
    class DepthwiseConv2D(keras.layers.DepthwiseConv2D):
        def call(self, inputs: Any) -> Any:
            usual = (self.data_format, self.depth_multiplier, self.dilation_rate) == ("channels_last", 1, (1, 1))
            if not usual or self.strides != (1, 1) or tf.config.list_physical_devices("GPU"):
                return super().call(inputs)
            x = depthwise_convolution(inputs, tf.convert_to_tensor(self.kernel), self.padding.upper())
            x = x + tf.convert_to_tensor(self.bias) if self.use_bias else x
            return self.activation(x)

    return DepthwiseConv2D


def depthwise_convolution(images: "tf.Tensor", kernel: "tf.Tensor", padding: str) -> "tf.Tensor":
    """Depthwise convolution of (B, H, W, C), stride 1, with a kernel (k, k, C, 1); its kernel gradient is quick.

    Args:
        images: feature maps.
        kernel: one filter a channel.
        padding: `SAME` or `VALID`.
    """
    import tensorflow as tf

    strides = (1, 1, 1, 1)

    @tf.custom_gradient
    def convolve(x: Any, filters: Any) -> Any:
        def gradients(upstream: Any) -> tuple[Any, Any]:
            back = tf.nn.depthwise_conv2d_backprop_input(tf.shape(x), filters, upstream, strides, padding)
            return back, depthwise_kernel_gradient(x, upstream, filters.shape[0], padding)

        return tf.nn.depthwise_conv2d(x, filters, strides, padding), gradients

    return convolve(images, kernel)


def depthwise_kernel_gradient(images: "tf.Tensor", upstream: "tf.Tensor", kernel: int, padding: str) -> "tf.Tensor":
    """Gradient of a depthwise convolution (stride 1) by its kernel, as a depthwise convolution itself.

    The gradient at offset (i, j) of a channel's filter is the sum over images of the input, shifted by (i, j), times
    the upstream gradient: for each image and channel the upstream map is the filter that slides over the input. So
    images and channels together are the channels of one depthwise convolution, and its result is summed over images.

    Args:
        images: input, (B, H, W, C).
        upstream: gradient by the output, (B, h, w, C).
        kernel: side of the filters.
        padding: `SAME` or `VALID`.

    Returns:
        (kernel, kernel, C, 1).
    """
    import tensorflow as tf

    (height, width), channels = tf.unstack(tf.shape(upstream)[1:3]), tf.shape(images)[0] * tf.shape(images)[3]
    around = ((kernel - 1) // 2, kernel // 2) if padding == "SAME" else (0, 0)
    padded = tf.transpose(tf.pad(images, ((0, 0), around, around, (0, 0))), (1, 2, 0, 3))
    padded = tf.reshape(padded, (1, *tf.unstack(tf.shape(padded)[:2]), channels))
    filters = tf.reshape(tf.transpose(upstream, (1, 2, 0, 3)), (height, width, channels, 1))
    slid = tf.nn.depthwise_conv2d(padded, filters, (1, 1, 1, 1), "VALID")
    summed = tf.reduce_sum(tf.reshape(slid, (kernel, kernel, -1, images.shape[3])), axis=2)
    return summed[..., None]


@cache
def adam() -> type["keras.optimizers.Adam"]:
    """`keras.optimizers.Adam` that updates a variable by one operation of TensorFlow, not by eight."""
    import keras
    import tensorflow as tf

    @keras.saving.register_keras_serializable("lab")
    class Adam(keras.optimizers.Adam):
        def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
            place, kind = self._get_variable_index(variable), variable.dtype
            step = tf.cast(self.iterations.value + 1, kind)
            slots = {"m": self._momentums[place], "v": self._velocities[place]}
            slots |= {"vhat": self._velocity_hats[place]} if self.amsgrad else {}
            apply = tf.raw_ops.ResourceApplyAdamWithAmsgrad if self.amsgrad else tf.raw_ops.ResourceApplyAdam
            rates = {f"beta{i}": tf.cast(beta, kind) for i, beta in ((1, self.beta_1), (2, self.beta_2))}
            apply(
                var=variable.handle,
                **{name: slot.value.handle for name, slot in slots.items()},
                **rates,
                **{f"{name}_power": tf.pow(beta, step) for name, beta in rates.items()},
                lr=tf.cast(learning_rate, kind),
                epsilon=tf.cast(self.epsilon, kind),
                grad=tf.cast(gradient, kind),
            )

    return Adam
