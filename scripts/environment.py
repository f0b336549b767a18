"""Make `.venv` from the lock file, once, and start programs in it. Standard library only; Python 3.11 to 3.13.

    environment.py                    make .venv where it is missing, unfinished or made from another lock
    environment.py check              whether this Python (LAB_PYTHON) has the packages
    environment.py start MODULE …     become `python -m MODULE …` in the environment that core/environment.py states

The environment is built where it will stay (a venv can't be moved) and its stamp is written last: without a stamp that
fits, the next set-up starts from an empty `.venv`, with the packages that pip or uv have kept in their caches.
"""

import contextlib
import fcntl
import hashlib
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # it is started with -I

from lab_utils.core import card, environment  # noqa: E402

CUDA_SIZE = "2.8 GB"  # the wheels that requirements-gpu.txt adds, as the package index states their sizes
WHEELS_ONLY = ("--only-binary", ":all:", "--no-binary", "connection-pool")  # this one comes as a source package


def locks(root: Path, gpu: bool) -> list[Path]:
    """Lock files to install, in order."""
    return [root / "requirements.txt"] + ([root / "requirements-gpu.txt"] if gpu else [])


def stamp(root: Path, gpu: bool) -> str:
    """What the environment was made from: its place and the content of the lock files."""
    digest = hashlib.sha256(str(root).encode())
    for lock in locks(root, gpu):
        digest.update(lock.read_bytes())
    return f"{'gpu' if gpu else 'cpu'} {digest.hexdigest()}"


def wants_gpu(root: Path) -> bool:
    """Whether CUDA's packages are wanted: as the environment was made, by LAB_GPU=1, or for a card that lacks them.

    LAB_GPU=0 installs none. (Those that are there stay: they cost nothing, and a run does not use the card.)
    """
    stamp_file = root / ".venv" / "lab-stamp"
    if stamp_file.is_file() and stamp_file.read_text().startswith("gpu"):
        return True
    return {"1": True, "0": False}.get(os.environ.get("LAB_GPU", ""), _lacks_cuda())


def _lacks_cuda() -> bool:
    """Whether there is an NVIDIA card for which pip has CUDA, and nothing else has brought it (system, container)."""
    here = sys.platform == "linux" and platform.machine() in ("x86_64", "AMD64")
    return here and card.signs().devices and bool(card.missing_libraries())


def is_made(root: Path, wanted: str) -> bool:
    """Whether `.venv` was made, wholly, from these lock files."""
    stamp_file = root / ".venv" / "lab-stamp"
    return stamp_file.is_file() and stamp_file.read_text() == wanted


@contextlib.contextmanager
def one_at_a_time(root: Path) -> Iterator[None]:
    """Wait until no other set-up is at work in this folder; a killed one holds nothing."""
    with (root / ".venv.lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("Another set-up is at work in this folder: waiting for it.", file=sys.stderr, flush=True)
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def build(root: Path, gpu: bool) -> None:
    """Make an empty `.venv`, install the lock files into it, make `lab_utils` importable, stamp it."""
    folder, uv = root / ".venv", shutil.which("uv")
    if not uv and not importlib.util.find_spec("ensurepip"):
        version = f"{sys.version_info[0]}.{sys.version_info[1]}"
        raise SystemExit(
            f"Python {version} has no venv module here: install it (apt-get install python{version}-venv)."
        )
    print("Set-up: installing the packages into .venv (once; one to three minutes).", file=sys.stderr, flush=True)
    if gpu:
        print(
            f"Set-up: CUDA's libraries for the NVIDIA card come along, a download of {CUDA_SIZE} (LAB_GPU=0 declines).",
            file=sys.stderr,
            flush=True,
        )
    venv.EnvBuilder(clear=True, symlinks=True, with_pip=not uv).create(folder)
    python = folder / "bin" / "python"
    pip = [python, "-I", "-m", "pip"]
    installer = [uv, "pip", "install", "--quiet", "--python", python] if uv else [*pip, "install", "-qq"]
    variables = environment.for_installing("" if uv else _printed([*pip, "config", "list"]), root=root)
    for lock in locks(root, gpu):
        command = [*installer, "--require-hashes", *WHEELS_ONLY, "-r", lock]
        if subprocess.run(command, env=variables, cwd=root).returncode:
            without = " (or with LAB_GPU=0, without the card)" if gpu else ""
            raise SystemExit(
                f"Set-up stopped while installing {lock.name} (see above): run the same command again{without}."
            )
    packages = next(folder.glob("lib/python*/site-packages"))
    (packages / "lab_utils.pth").write_text(f"{root}\n")
    unfinished = folder / "lab-stamp.new"
    unfinished.write_text(stamp(root, gpu))
    unfinished.replace(folder / "lab-stamp")


def _printed(command: list[str | Path]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def set_up(root: Path) -> None:
    """Make `.venv` where it is missing, unfinished or made from another lock."""
    gpu = wants_gpu(root)
    if is_made(root, stamp(root, gpu)):
        return
    with one_at_a_time(root):
        if not is_made(root, stamp(root, gpu)):
            build(root, gpu)


def missing_packages(root: Path) -> list[str]:
    """Packages that `requirements.in` names without a condition and this Python does not have."""
    lines = (root / "requirements.in").read_text().splitlines()
    names = [line.strip() for line in lines if re.fullmatch(r"[\w.-]+", line.strip())]
    return [name for name in names if not _installed(name)]


def _installed(name: str) -> bool:
    try:
        return bool(metadata.version(name))
    except metadata.PackageNotFoundError:
        return False


def main(words: list[str]) -> None:
    """Do what the words ask for.

    Raises:
        SystemExit: it can't be done; with a sentence.
    """
    if problem := environment.root_problem(ROOT):
        raise SystemExit(problem)
    if words[:1] == ["start"]:
        environment.start(words[1], words[2:], ROOT)
    elif words == ["check"]:
        if lacking := missing_packages(ROOT):
            raise SystemExit(
                f"LAB_PYTHON={sys.executable} lacks {', '.join(lacking)}: install them there (environment.yml or "
                "requirements.txt), or unset LAB_PYTHON."
            )
    else:
        try:
            set_up(ROOT)
        except KeyboardInterrupt:
            raise SystemExit("Set-up stopped; the next run starts it again.") from None
        except OSError as error:
            where = error.filename or ROOT / ".venv"
            raise SystemExit(
                f"Set-up can't write {where} ({error.strerror}): free some space or check the folder."
            ) from None


if __name__ == "__main__":
    main(sys.argv[1:])
