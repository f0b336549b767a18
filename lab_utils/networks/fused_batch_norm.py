"""Batch normalisation merged into the convolution in front of it: the same function, with less to compute."""

from collections import Counter
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import keras


def fused(model: "keras.Model", keep: Collection[str] = ()) -> "keras.Model":
    """Copy a network with each BatchNormalization merged into the convolution that feeds it and nothing else.

    In inference a normalisation multiplies and adds constants, channel by channel; both go into the convolution's
    kernel and bias (Jacob et al. 2018, arXiv 1712.05877, section 3.2). Outputs are equal up to float32 rounding.

    Args:
        model: functional, with flat layers, whose normalisations work on their stored mean and variance.
        keep: names of convolutions that nothing is merged into: they are trained, or their own output is wanted.

    Returns:
        A copy with the same layer names (a merged normalisation became an Identity), or `model` itself where nothing
        can be merged.
    """
    import keras

    pairs = {convolution.name: norm for convolution, norm in _pairs(model) if convolution.name not in keep}
    if not pairs:
        return model
    merged = {norm.name for norm in pairs.values()}

    def copied(layer: Any) -> Any:
        if layer.name in merged:
            return keras.layers.Identity(name=layer.name, trainable=False, dtype=layer.dtype_policy.name)
        config = layer.get_config()
        return type(layer).from_config(config | {"use_bias": True} if layer.name in pairs else config)

    def called(layer: Any, *inputs: Any, **options: Any) -> Any:
        return layer(*inputs) if layer.name in merged else layer(*inputs, **options)

    copy = keras.models.clone_model(model, clone_function=copied, call_function=called)
    for layer in model.layers:
        if layer.name in pairs:
            copy.get_layer(layer.name).set_weights(_merged(layer, pairs[layer.name]))
        elif layer.weights and layer.name not in merged:
            twin = copy.get_layer(layer.name)
            twin.set_weights(layer.get_weights())
            if isinstance(twin, keras.layers.Normalization):
                twin.finalize_state()  # it computes with constants made of its weights
    return copy


def _pairs(model: "keras.Model") -> list[tuple[Any, Any]]:
    """Convolutions (without an activation of their own) with the normalisation that is the only layer behind them."""
    import keras
    from keras import activations, layers

    inputs = {layer.name: keras.tree.flatten(layer.input) for layer in model.layers}
    readers = Counter(id(tensor) for tensors in inputs.values() for tensor in tensors)
    readers.update(id(tensor) for tensor in model.outputs)
    kinds = (layers.Conv2D, layers.DepthwiseConv2D)
    convolutions = {
        id(layer.output): layer
        for layer in model.layers
        if isinstance(layer, kinds) and layer.activation is activations.linear
    }
    norms = [layer for layer in model.layers if isinstance(layer, layers.BatchNormalization)]
    sources = [id(inputs[norm.name][0]) for norm in norms]
    return [
        (convolutions[source], norm)
        for source, norm in zip(sources, norms, strict=True)
        if source in convolutions and readers[source] == 1
    ]


def _merged(convolution: Any, norm: Any) -> list[np.ndarray]:
    """Kernel and bias of a convolution that includes the normalisation behind it."""
    kernel, *bias = (np.asarray(weight, np.float64) for weight in convolution.get_weights())
    mean, variance = (np.asarray(weight, np.float64) for weight in (norm.moving_mean, norm.moving_variance))
    factor = 1 / np.sqrt(variance + norm.epsilon)
    factor = factor * np.asarray(norm.gamma, np.float64) if norm.scale else factor
    shift = np.asarray(norm.beta, np.float64) if norm.center else 0.0
    depthwise = type(convolution).__name__ == "DepthwiseConv2D"  # kernel (h, w, channels, multiplier)
    scaled = kernel * (factor.reshape(kernel.shape[2:]) if depthwise else factor)
    return [scaled.astype(np.float32), (shift + ((bias[0] if bias else 0.0) - mean) * factor).astype(np.float32)]
