"""The graphics card: its signs, TensorFlow's answer read from recorded output, kept, and what a run says of it."""

import json
import subprocess
import sys
import time

import pytest

from lab_utils.core import card, records
from lab_utils.core.card import Answer, Signs

# What TensorFlow 2.21 wrote on a machine without NVIDIA's driver (times and numbers of threads shortened).
NO_DRIVER = """\
I0000 00:00:17958 12755 cudart_stub.cc:31] Could not find cuda drivers on your machine, GPU will not be used.
I0000 00:00:17958 12755 dso_loader.cc:144] Could not load dynamic library 'libcuda.so.1'; dlerror: libcuda.so.1: \
cannot open shared object file: No such file or directory
E0000 00:00:17958 12755 cuda_platform.cc:52] failed call to cuInit: INTERNAL: CUDA error: Failed call to cuInit: \
UNKNOWN ERROR (303)
I0000 00:00:17958 12755 cuda_diagnostics.cc:145] kernel driver does not appear to be running on this host (vm): \
/proc/driver/nvidia/version does not exist
"""
NO_CUDNN = """\
I0000 00:00:17958 1 dso_loader.cc:144] Could not load dynamic library 'libnvinfer.so.8'; dlerror: libnvinfer.so.8: no
I0000 00:00:17958 1 dso_loader.cc:144] Could not load dynamic library 'libcudnn.so.9'; dlerror: libcudnn.so.9: cannot \
open shared object file: No such file or directory; LD_LIBRARY_PATH: /usr/local/cuda/lib64
W0000 00:00:17958 1 gpu_device.cc:2365] Cannot dlopen some GPU libraries. Please make sure the missing libraries \
mentioned above are installed properly if you would like to use GPU. Skipping registering GPU devices...
"""
TOO_SMALL = (
    "I0000 00:00:17958 1 gpu_device.cc:2433] Ignoring visible gpu device (device: 0, name: Tesla K80, pci bus id: "
    "0000:00:1e.0, compute capability: 3.7) with Cuda compute capability 3.7. The minimum required Cuda capability is "
    "6.0.\n"
)
H100 = {"name": "NVIDIA H100 80GB HBM3", "capability": "9.0"}
HERE = Signs("580.65.06", True, {H100["name"]: 79.6})


def told(*cards, failure="", cuda="12.5.1"):
    """What the asked process prints."""
    about = {"tensorflow": "2.21.0", "build": {"cuda": cuda}, "cards": list(cards), "failure": failure}
    return json.dumps(about) + "\n"


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """Answers are kept in a folder of the test's own; nothing of this machine's environment counts."""
    monkeypatch.setattr(card, "CACHE", tmp_path / "card")
    for name in card.OF_ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "card"


# ---- signs
def test_no_sign_of_a_card_and_nothing_is_started(tmp_path, monkeypatch, kept):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("a process was started"))
    assert not card.signs(tmp_path)
    assert card.look(signs_of=card.signs(tmp_path)) == Answer()


def test_the_driver_and_devices_are_read_from_files(tmp_path):
    (tmp_path / "proc/driver/nvidia").mkdir(parents=True)
    (tmp_path / "proc/driver/nvidia/version").write_text(
        "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release Build\nGCC version: gcc 13.3.0\n"
    )
    assert card.signs(tmp_path) == Signs("580.65.06", False), "a container's host has a card, the container has none"
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev" / "nvidia0").touch()
    assert card.signs(tmp_path).devices


def test_where_no_file_tells_nvidias_program_is_asked(tmp_path, monkeypatch):
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho '550.54.15, NVIDIA GeForce RTX 4090, 24564'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    assert card.signs(tmp_path) == Signs("550.54.15", True, {"NVIDIA GeForce RTX 4090": 24.0})
    program.write_text("#!/bin/sh\necho 'NVIDIA-SMI has failed'\nexit 9\n")
    assert not card.signs(tmp_path), "a program without a card is no card"


# ---- answers
def test_a_card_that_computes_is_used():
    answer = card.read_answer(told(H100), NO_CUDNN, HERE)
    assert answer.usable and not answer.sentence and answer.missing == ()
    assert answer.words == "NVIDIA H100 80GB HBM3 (80 GiB), driver 580.65.06, TensorFlow 2.21.0"
    line = card.first_line("sample", 16, answer)
    assert line == f"Run sample on {answer.words}, and 16 cores."


@pytest.mark.parametrize(
    ("output", "log", "about", "words"),
    [
        (told(), NO_CUDNN, HERE, "TensorFlow 2.21.0 can't open libcudnn.so.9 (LAB_GPU=1 ./run_all.sh installs"),
        (told(), NO_DRIVER, Signs(devices=True), "can't open libcuda.so.1, which comes with NVIDIA's driver"),
        (told(), NO_CUDNN, Signs("470.10", True), "its driver 470.10 is too old for CUDA 12.5.1 (it takes 525.60"),
        (told(), TOO_SMALL, HERE, "its compute capability is 3.7, and TensorFlow 2.21.0 takes 6.0 or higher"),
        (told(cuda=""), "", HERE, "this TensorFlow 2.21.0 is built without CUDA"),
        (told(H100, failure="InternalError: libdevice not found"), "", HERE, "can't compute on it (InternalError: lib"),
        ("", "Traceback …\nImportError: libstdc++.so.6\n", HERE, "could not be loaded (ImportError: libstdc++.so.6)"),
        (
            told(),
            "E0000 00:00:1 1 cuda_platform.cc:52] failed call to cuInit: INTERNAL: CUDA error: Failed call to cuInit: "
            "CUDA_ERROR_NO_DEVICE: no CUDA-capable device is detected\n",
            Signs("580.65", False),
            "the driver doesn't give it to this process (CUDA_ERROR_NO_DEVICE: no CUDA-capable device is detected)",
        ),
    ],
)
def test_a_card_that_can_not_be_used_is_one_sentence_with_the_cause(output, log, about, words):
    answer = card.read_answer(output, log, about)
    assert not answer.usable and words in answer.sentence
    assert answer.sentence.startswith("The NVIDIA card is not used: ") and "\n" not in answer.sentence
    assert card.first_line("sample", 2, answer) == f"Run sample on 2 cores. {answer.sentence}"


def test_without_a_card_the_first_line_says_so():
    assert card.first_line("sample", 1, Answer()) == "Run sample on 1 core, no graphics card."


def test_the_libraries_are_those_of_this_tensorflows_cuda():
    """The set-up looks for them by name, before TensorFlow is there."""
    build = subprocess.run(
        [sys.executable, "-c", "import tensorflow as tf; print(*map(tf.sysconfig.get_build_info().get, NAMES))".replace(
            "NAMES", "('cuda_version', 'cudnn_version')"
        )],
        capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    assert f"libcudart.so.{build[0].split('.')[0]}" in card.LIBRARIES
    assert f"libcudnn.so.{build[1].split('.')[0]}" in card.LIBRARIES
    lock = (records.PROJECT / "requirements-gpu.txt").read_text()
    assert f"nvidia-cuda-runtime-cu{build[0].split('.')[0]}==" in lock


# ---- asked once
def test_an_answer_is_kept_until_driver_or_environment_change(kept, monkeypatch):
    asked = []
    monkeypatch.setattr(card, "_ask", lambda about: asked.append(about) or card.read_answer(told(H100), "", about))
    first = card.look(signs_of=HERE)
    assert first.usable and card.look(signs_of=HERE) == first and len(asked) == 1
    card.look(signs_of=Signs("590.1", True))
    monkeypatch.setenv("LD_LIBRARY_PATH", "/usr/local/cuda/lib64")
    card.look(signs_of=HERE)
    assert len(asked) == 3
    card.look(fresh=True, signs_of=HERE)
    assert len(asked) == 4 and len(list(kept.iterdir())) == 3


def test_a_library_that_came_is_seen_at_once_and_any_other_cause_within_the_hour(kept, monkeypatch):
    answers = [card.read_answer(told(), NO_CUDNN, HERE), card.read_answer(told(), TOO_SMALL, HERE)]
    asked = []
    monkeypatch.setattr(card, "_ask", lambda about: asked.append(1) or answers[len(asked) - 1])
    there: list[str] = []
    monkeypatch.setattr(card, "_opens", lambda name: name in there)
    card.look(signs_of=HERE)
    card.look(signs_of=HERE)
    assert len(asked) == 1
    there.append("libcudnn.so.9")
    card.look(signs_of=HERE)
    card.look(signs_of=HERE)
    assert len(asked) == 2
    now = time.time()
    monkeypatch.setattr(card.time, "time", lambda: now + 2 * card.STALE)
    answers.append(answers[1])
    card.look(signs_of=HERE)
    assert len(asked) == 3


@pytest.mark.parametrize(("name", "value"), [("LAB_GPU", "0"), ("CUDA_VISIBLE_DEVICES", "-1")])
def test_a_card_that_is_declined_is_not_asked_for(kept, monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    monkeypatch.setattr(card, "_ask", lambda _: pytest.fail("it was asked for"))
    assert name in card.look(signs_of=HERE).reason


def test_tensorflow_itself_is_asked_in_a_process_of_its_own(kept, monkeypatch):
    """No card here: TensorFlow's real words give a cause, and this process does not load it."""
    monkeypatch.setattr(card, "signs", lambda *_, **__: Signs())
    monkeypatch.setenv("PYTHONPATH", str(records.PROJECT))
    answer = card.look(signs_of=Signs(devices=True))
    assert answer.tensorflow and answer.cuda
    assert answer.usable or answer.reason
    assert list(kept.glob("*.json"))


def test_the_asking_process_loads_no_tensorflow():
    code = "import sys; from lab_utils.core import card; card.look(); print('tensorflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=records.PROJECT, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_why_a_card_is_not_used_stands_in_the_records(monkeypatch):
    monkeypatch.setenv(card.UNUSED, "The NVIDIA card is not used: LAB_GPU=0 declines it.")
    assert records.hardware.__wrapped__()["gpu_unused"].endswith("declines it.")
    monkeypatch.delenv(card.UNUSED)
    assert "gpu_unused" not in records.hardware.__wrapped__()
