"""What is written to the error stream inside the block is gone, and before and after it is not."""

import os

import pytest

from lab_utils.quiet import stderr_hidden


def test_only_what_is_written_inside_is_hidden(capfd):
    os.write(2, b"before ")
    with stderr_hidden():
        os.write(2, b"inside ")
    os.write(2, b"after")
    assert capfd.readouterr().err == "before after"


def test_an_error_inside_passes_and_the_stream_comes_back(capfd):
    with pytest.raises(ValueError, match="mine"), stderr_hidden():
        raise ValueError("mine")
    os.write(2, b"back")
    assert capfd.readouterr().err == "back"
