"""How networks are built: dtype policy and seed, joined parts, the first weights of a new last layer."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras

NEAR = 0.3  # nats from ln(classes) at a start with `small_kernel` (Lite0, Lite1: below 0.05; ten times it: 0.2 to 1.5)


@contextmanager
def building(precision: str, seed: int = 0) -> Iterator[None]:
    """Build layers inside this block with a dtype policy and a seed; the policy from before is put back.

    Args:
        precision: dtype policy of Keras (`float32`, `mixed_bfloat16`, `mixed_float16`).
        seed: of all first weights.
    """
    import keras

    before = keras.config.dtype_policy()
    keras.utils.set_random_seed(seed)
    keras.config.set_dtype_policy(precision)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def joined(model: "keras.Model", tensor: Any) -> Any:
    """What a network gives for a tensor inside another network; its layers stay flat, so they can be asked for by name.

    Args:
        model: functional, with one input.
        tensor: symbolic, of the shape of its input.
    """
    return model._run_through_graph(tensor, call_fn=lambda layer, *inputs, **options: layer(*inputs, **options))


def source_of(tensor: Any) -> Any:
    """The input that a symbolic tensor is made of (several: a list)."""
    import keras

    inputs = keras.utils.get_source_inputs(tensor)
    return inputs[0] if len(inputs) == 1 else inputs


def small_kernel() -> "keras.initializers.Initializer":
    """First kernel of a new output layer on pretrained features: a tenth of Keras's default (Glorot).

    Features of a pretrained network can be large; with the whole default a network would start far from ln(classes).
    With zeros it would start there whatever is wrong with its input, and the first step would teach the output only.
    """
    import keras

    return keras.initializers.VarianceScaling(scale=0.01, mode="fan_avg", distribution="uniform")
