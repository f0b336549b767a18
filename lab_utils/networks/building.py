"""The state in which networks are built: dtype policy and seed."""

from collections.abc import Iterator
from contextlib import contextmanager


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
