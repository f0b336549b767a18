"""What is written to the error stream inside the block is gone, and before and after it is not."""

import os
import subprocess
import sys

import pytest

from lab_utils.core.quiet import stderr_hidden


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


def test_in_a_notebook_tensorflows_advice_does_not_stand_in_the_report():
    """A notebook's kernel sets `sys.ps1`, at which TensorFlow raises its own level of logging."""
    code = (
        "import sys; sys.ps1 = '>>> '\n"
        "from lab_utils.core.quiet import load_tensorflow, quiet\n"
        "quiet(); load_tensorflow()\n"
        "from tensorflow.python.platform import tf_logging\n"
        "tf_logging.warning('advice'); tf_logging.error('a fault')"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "advice" not in found.stdout + found.stderr
    assert "a fault" in found.stdout + found.stderr
