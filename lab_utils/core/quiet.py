"""Hide what libraries print to the process' error stream while they are imported."""

import contextlib
import os
import warnings
from collections.abc import Iterator


@contextlib.contextmanager
def stderr_hidden() -> Iterator[None]:
    """Send the error stream of the process (C++ libraries included) nowhere while the block runs, and no warnings.

    TensorFlow's first lines can't be switched off by its settings (they come before logging starts), and they would
    stand in the report. Exceptions pass as ever.
    """
    try:
        kept = os.dup(2)
    except OSError:  # no error stream at all
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def load_tensorflow() -> None:
    """Import TensorFlow without its start-up lines, before whatever uses it first."""
    with stderr_hidden():
        import tensorflow as tf

        tf.config.list_physical_devices()  # looking for graphics cards prints, too
        tf.get_logger().setLevel("ERROR")  # in a notebook TensorFlow sets it to INFO when it is first asked for
