"""The one kind of error that a person sees: a sentence that says what is wrong and what to do."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from lab_utils.core import file_names


class LabError(Exception):
    """One sentence that names the file, row or parameter and says what to do.

    Notebooks show the sentence alone (IPython asks `_render_traceback_`); the command line prints it and stops.
    """

    def _render_traceback_(self) -> list[str]:
        """Lines that IPython prints instead of a traceback."""
        return [f"{type(self).__name__}: {self}"]


def of_system(error: OSError) -> str:
    """What the system refused, in a sentence: the disk is full, a folder can't be written, there is none."""
    what = file_names.shown(error.filename) if error.filename else "A file"
    return f"{what} can't be read or written ({error.strerror or error}): free some space or check the folder."


class NotRunError(LabError):
    """The chapter cannot be run on this data (images are missing, say): counted as *not run*, not as failed."""


@contextmanager
def memory_named(title: str, batch: int, shape: Sequence[int]) -> Iterator[None]:
    """Turn an error that says that memory ran out, Python's or TensorFlow's, into a sentence.

    Args:
        title: of what is computed.
        batch: inputs that it holds at a time.
        shape: of one input; empty: it varies.

    Raises:
        LabError: memory ran out inside the block; any other error passes as it is.
    """
    try:
        yield
    except Exception as error:
        if not isinstance(error, MemoryError) and type(error).__name__ != "ResourceExhaustedError":
            raise
        inputs = f" and inputs of {' × '.join(str(side) for side in shape)}" if shape else ""
        raise LabError(
            f"{title}: out of memory with batches of {batch}{inputs}: lower the batch or the size."
        ) from error
