"""The conda file and the GPU lock agree with the lock file, and set-up makes, resumes and shares one environment."""

import importlib.util
import multiprocessing
import re
import subprocess
import time

import pytest
import yaml
from miniature import ROOT
from packaging.markers import Marker

PLATFORMS = (("linux", "x86_64"), ("linux", "aarch64"), ("darwin", "arm64"))


@pytest.fixture
def environment():
    spec = importlib.util.spec_from_file_location("environment", ROOT / "scripts" / "environment.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def locked(name="requirements.txt"):
    """`{package: [(version, marker)]}` of a lock file."""
    found = {}
    for line in (ROOT / name).read_text().splitlines():
        if match := re.match(r"([a-z0-9][\w.-]*)==(\S+)(?: ; (.+?))? \\$", line):
            found.setdefault(match[1], []).append((match[2], match[3]))
    return found


def conda():
    """`{package: (version, marker)}` of environment.yml."""
    parts = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    lines = next(part["pip"] for part in parts if isinstance(part, dict))
    found = (re.fullmatch(r"([\w.-]+)==([\w.]+)(?:; (.+))?", line).groups() for line in lines)
    return {name.lower(): (version, marker) for name, version, marker in found}


def python_of_conda():
    parts = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    return next(part.split("=")[1] for part in parts if str(part).startswith("python="))


def test_conda_has_the_versions_of_the_lock_on_every_platform():
    python, lock = python_of_conda(), locked()
    for system, machine in PLATFORMS:
        facts = {"sys_platform": system, "platform_machine": machine}
        facts |= {"python_version": python, "python_full_version": f"{python}.9"}
        for name, (version, marker) in conda().items():
            fits = [one for one, where in lock[name] if not where or Marker(where).evaluate(facts)]
            wanted = [version] if not marker or Marker(marker).evaluate(facts) else []
            assert fits == wanted, f"{name} on {system} {machine}"


def test_conda_names_what_requirements_in_names_and_says_which_notebook_needs_it():
    lines = [line.split("#")[0].split(";")[0].strip() for line in (ROOT / "requirements.in").read_text().splitlines()]
    assert set(conda()) == {line.lower() for line in lines if line}
    pins = [line for line in (ROOT / "environment.yml").read_text().splitlines() if "==" in line]
    assert all(re.search(r"  # \w", line) for line in pins)


def test_the_lock_hashes_everything_and_pulls_no_cuda():
    text = (ROOT / "requirements.txt").read_text()
    pins = re.findall(r"^[a-z0-9][\w.-]*==.*$", text, re.MULTILINE)
    assert len(pins) > 100 and all(line.endswith("\\") for line in pins)
    assert not [name for name in locked() if name.startswith("nvidia") or name == "torch"]


def test_gpu_lock_adds_cuda_and_changes_no_version():
    lock, gpu = locked(), locked("requirements-gpu.txt")
    added = set(gpu) - set(lock)
    assert "nvidia-cudnn-cu12" in added and all(name.startswith("nvidia-") for name in added)
    assert all(set(gpu[name]) <= set(lock[name]) for name in set(gpu) & set(lock))


def test_a_stamp_fits_only_this_place_and_these_locks(environment, tmp_path):
    (tmp_path / "requirements.txt").write_text("a==1\n")
    before = environment.stamp(tmp_path, gpu=False)
    (tmp_path / "requirements.txt").write_text("a==2\n")
    assert environment.stamp(tmp_path, gpu=False) != before
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "requirements.txt").write_text("a==2\n")
    assert environment.stamp(tmp_path / "other", gpu=False) != environment.stamp(tmp_path, gpu=False)


@pytest.fixture
def empty_lab(environment, tmp_path, monkeypatch):
    """A folder whose lock asks for nothing, so that set-up takes a second."""
    monkeypatch.setattr(environment.shutil, "which", lambda _: None)
    monkeypatch.delenv("LAB_GPU", raising=False)
    (tmp_path / "requirements.txt").write_text("# nothing\n")
    (tmp_path / "lab_utils.py").write_text("HERE = 1\n")
    return tmp_path


def test_set_up_makes_lab_utils_importable_once_and_again_only_when_the_lock_changed(environment, empty_lab):
    environment.set_up(empty_lab)
    python = empty_lab / ".venv" / "bin" / "python"
    subprocess.run([python, "-c", "import lab_utils"], cwd="/", check=True)
    made = python.lstat().st_mtime_ns
    environment.set_up(empty_lab)
    assert python.lstat().st_mtime_ns == made
    (empty_lab / "requirements.txt").write_text("# still nothing\n")
    environment.set_up(empty_lab)
    assert python.lstat().st_mtime_ns != made


@pytest.mark.parametrize(
    ("option", "devices", "missing", "wanted"),
    [
        ("", True, ["libcudnn.so.9"], True),
        ("", True, [], False),  # the system, conda or the container brought CUDA
        ("", False, ["libcudnn.so.9"], False),
        ("0", True, ["libcudnn.so.9"], False),
        ("1", False, [], True),
    ],
)
def test_cuda_is_installed_for_a_card_that_lacks_it(
    environment, empty_lab, monkeypatch, option, devices, missing, wanted
):
    monkeypatch.setattr(environment.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(environment.sys, "platform", "linux")
    monkeypatch.setattr(environment.card, "signs", lambda: environment.card.Signs("580.65", devices))
    monkeypatch.setattr(environment.card, "missing_libraries", lambda: missing)
    monkeypatch.setenv("LAB_GPU", option)
    assert environment.wants_gpu(empty_lab) == wanted
    (empty_lab / ".venv").mkdir()
    (empty_lab / ".venv" / "lab-stamp").write_text("gpu 0123")
    assert environment.wants_gpu(empty_lab), "what is installed stays"


def test_the_set_up_says_in_a_line_what_it_installs_for_a_card(environment, empty_lab, monkeypatch, capsys):
    (empty_lab / "requirements-gpu.txt").write_text("# nothing\n")
    monkeypatch.setattr(environment, "wants_gpu", lambda root: True)
    environment.set_up(empty_lab)
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if "CUDA" in line] == [
        f"Set-up: CUDA's libraries for the NVIDIA card come along, a download of {environment.CUDA_SIZE} (LAB_GPU=0 "
        "declines)."
    ]
    assert (empty_lab / ".venv" / "lab-stamp").read_text().startswith("gpu ")


def test_an_interrupted_set_up_starts_from_an_empty_folder(environment, empty_lab, monkeypatch):
    stop = monkeypatch.context()
    with stop as patch:
        patch.setattr(environment.subprocess, "run", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        patch.setattr(environment.venv.EnvBuilder, "create", lambda self, folder: folder.mkdir())
        with pytest.raises(KeyboardInterrupt):
            environment.set_up(empty_lab)
    (empty_lab / ".venv" / "half a package").touch()
    environment.set_up(empty_lab)
    assert not (empty_lab / ".venv" / "half a package").exists()
    assert environment.is_made(empty_lab, environment.stamp(empty_lab, gpu=False))


def test_a_second_set_up_waits_for_the_first_and_does_nothing(environment, empty_lab, monkeypatch):
    built = []
    stamped = environment.stamp(empty_lab, gpu=False)

    def build(root, gpu):
        built.append(root)
        time.sleep(1)
        (root / ".venv").mkdir()
        (root / ".venv" / "lab-stamp").write_text(stamped)

    monkeypatch.setattr(environment, "build", build)
    other = multiprocessing.get_context("fork").Process(target=environment.set_up, args=(empty_lab,))
    other.start()
    time.sleep(0.3)
    environment.set_up(empty_lab)
    other.join()
    assert not built and other.exitcode == 0


def test_lab_python_without_the_packages_is_told_in_a_sentence(environment, empty_lab):
    (empty_lab / "requirements.in").write_text("pytest\nno-such-package-here\nelsewhere; sys_platform == 'x'\n")
    assert environment.missing_packages(empty_lab) == ["no-such-package-here"]


@pytest.mark.parametrize(("version", "words"), [("3.9", "is no Python 3.11, 3.12 or 3.13"), ("", "is no Python")])
def test_an_unfit_lab_python_is_told_in_a_sentence(tmp_path, version, words):
    fake = tmp_path / "python"
    fake.write_text(f"#!/bin/sh\nexit 1 # {version}\n")
    fake.chmod(0o755)
    done = subprocess.run(
        [ROOT / "run_all.sh"], env={"LAB_PYTHON": str(fake), "PATH": "/usr/bin:/bin"}, text=True, capture_output=True
    )
    assert done.returncode == 2 and words in done.stderr and len(done.stderr.splitlines()) == 1


def test_no_python_of_the_right_version_is_told_in_a_sentence(tmp_path):
    for name in ("bash", "dirname"):
        (tmp_path / name).symlink_to(f"/usr/bin/{name}")
    done = subprocess.run(
        ["/bin/bash", ROOT / "run_all.sh"], env={"PATH": str(tmp_path)}, text=True, capture_output=True
    )
    assert done.returncode == 2 and done.stderr.startswith("Python 3.11, 3.12 or 3.13 is needed")
    assert len(done.stderr.splitlines()) == 1
