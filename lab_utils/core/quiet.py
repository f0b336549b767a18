"""Keep away what libraries print that no reader needs: start-up lines, known harmless warnings."""

import contextlib
import logging
import os
import warnings
from collections.abc import Iterator

from lab_utils.core import environment


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
    """Import TensorFlow and Keras without their start-up lines, before whatever uses them first.

    Keras takes settings from a file `keras.json` in the user's home, and float16 there makes features that are no
    numbers. It gets a home of the lab's own; where somebody imported it before, all of its settings are set here.
    """
    environment.set_keras()
    with stderr_hidden():
        import keras
        import tensorflow as tf

        tf.config.list_physical_devices()  # looking for graphics cards prints, too
        tf.get_logger().setLevel("ERROR")  # in a notebook TensorFlow sets it to INFO when it is first asked for
    keras.config.set_floatx("float32")
    keras.config.set_epsilon(1e-7)
    keras.config.set_image_data_format("channels_last")
    if keras.config.dtype_policy().name in ("float16", "float64"):  # made of the file's setting by an earlier layer
        keras.config.set_dtype_policy("float32")


def quiet() -> None:
    """Keep TensorFlow's start-up messages and known harmless warnings out of the notebook; before it is imported."""
    environment.set_keras()
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", message=".*n_jobs value.*overridden to 1.*")
    warnings.filterwarnings(
        "ignore", message="IProgress not found"
    )  # umap's progress bars, which the lab shows none of
    warnings.filterwarnings("ignore", message="The number of unique classes is greater")  # many classes of few images
