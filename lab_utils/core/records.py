"""Results as JSON with provenance, content hashes, and the one atomic writer of the project."""

import contextlib
import dataclasses
import functools
import hashlib
import json
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lab_utils.core import card
from lab_utils.core.errors import LabError

if TYPE_CHECKING:
    import pandas as pd

PROJECT = Path(__file__).resolve().parents[2]


@contextlib.contextmanager
def atomic_path(path: Path | str) -> Iterator[Path]:
    """Give a temporary path beside `path` to write to; rename it to `path` when the block ends well.

    Args:
        path: the file that is to appear whole or not at all; its folder is made.

    Yields:
        A path in the same folder with the same suffix. If the block raises, it is removed and `path` stays as it was.

    Raises:
        LabError: the disk is full or the folder cannot be written.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem[:40]}~{writer()}~", suffix=path.suffix)
        os.close(handle)
    except OSError as error:
        raise LabError(f"{path} cannot be written ({error.strerror}): free some space or check the folder.") from error
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        raise LabError(f"{path} cannot be written ({error}): free some space or check the folder.") from error
    finally:
        temporary.unlink(missing_ok=True)


def writer() -> str:
    """This machine and process, as they stand in names of temporary files: what a killed process left can be told."""
    return f"{platform.node().replace('/', '').replace('~', '')[:40]}~{os.getpid()}"


def write_atomic(path: Path | str, content: bytes | str | Callable[[Path], Any]) -> Path:
    """Write a file whole or not at all.

    Args:
        path: where to.
        content: bytes, text (UTF-8), or a function that writes to the path it is given.

    Returns:
        `path`.
    """
    with atomic_path(path) as temporary:
        if callable(content):
            content(temporary)
        else:
            temporary.write_bytes(content.encode() if isinstance(content, str) else content)
    return Path(path)


def write_if_changed(path: Path, content: str) -> bool:
    """Write text only where it differs from what is there, so that file times speak of content; tell if it did."""
    if path.is_file() and path.read_text(encoding="utf-8") == content:
        return False
    write_atomic(path, content)
    return True


def plain(value: Any) -> Any:
    """Turn dataclasses, pydantic models, numpy values, paths and sets into what JSON can hold; NaN becomes None."""
    if hasattr(value, "to_record"):
        return plain(value.to_record())
    if hasattr(value, "model_dump"):
        return plain(value.model_dump(mode="json"))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return plain({field.name: getattr(value, field.name) for field in dataclasses.fields(value)})
    if hasattr(value, "iloc"):  # a pandas table keeps index, columns and data; a series becomes a mapping
        return plain(value.to_dict("split") if hasattr(value, "columns") else value.to_dict())
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (set, frozenset)):
        return sorted(plain(item) for item in value)
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    return value if value is None or isinstance(value, (str, int, bool)) else str(value)


def write_json(path: Path | str, value: Any) -> Path:
    """Write a value as readable JSON, atomically."""
    return write_atomic(path, json.dumps(plain(value), indent=1, ensure_ascii=False, sort_keys=False) + "\n")


def read_json(path: Path | str, missing: Any = None) -> Any:
    """Read a JSON file.

    Args:
        path: of the file.
        missing: what is returned where there is none; None: that is an error.

    Raises:
        LabError: the file is missing or no JSON.
    """
    path = Path(path)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        if missing is not None:
            return missing
        raise LabError(f"{path} is missing: run the notebook that makes it first.") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise LabError(f"{path} is not readable JSON ({error}): delete it and run again.") from error


def all_reported() -> dict[str, list[dict[str, str]]]:
    """Rows of all tables of `data/reported` as they stand there, by table."""
    import csv

    tables = {}
    for path in sorted((PROJECT / "data" / "reported").glob("*.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            tables[path.stem] = list(csv.DictReader(file))
    return tables


def reported(name: str) -> "pd.DataFrame":
    """Numbers printed in the original or the paper: `data/reported/<name>.csv`, always to be labelled so.

    Raises:
        LabError: there is no such table; the sentence lists those there are.
    """
    import pandas as pd

    path = PROJECT / "data" / "reported" / f"{name}.csv"
    if not path.is_file():
        there = ", ".join(sorted(item.stem for item in path.parent.glob("*.csv")))
        raise LabError(f"There are no reported numbers {name!r}; the tables are {there}.")
    return pd.read_csv(path)


def content_hash(value: Any, length: int = 16) -> str:
    """Hash plain data (or bytes) by content: the same value gives the same hash on every machine."""
    data = value if isinstance(value, bytes) else json.dumps(plain(value), sort_keys=True).encode()
    return hashlib.sha256(data).hexdigest()[:length]


def file_hash(path: Path | str, length: int = 64) -> str:
    """SHA-256 of a file's bytes, read in pieces."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as handle:
        while piece := handle.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()[:length]


@functools.cache
def git_revision() -> str:
    """The commit the code is at (`+` appended where files were changed since), or `unknown` outside git."""
    import subprocess

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=PROJECT, capture_output=True, text=True, check=True).stdout.strip()

    try:
        return git("rev-parse", "--short", "HEAD") + ("+" if git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def versions(*names: str) -> dict[str, str]:
    """Installed versions of packages, and Python's; a package that is not there is left out."""
    installed = {"python": platform.python_version()}
    for name in names:
        with contextlib.suppress(metadata.PackageNotFoundError):
            installed[name] = metadata.version(name)
    return installed


@functools.cache
def hardware() -> dict[str, Any]:
    """Machine facts that a number may depend on: processor, cores this process may use, memory in GiB, system, GPU."""
    import psutil

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = round(psutil.virtual_memory().total / 2**30, 1)
    about = {"machine": platform.machine(), "system": platform.system(), "cores": cores, "memory_gib": memory}
    unused = os.environ.get(card.UNUSED)  # why a card that is there isn't used
    return {**about, "gpu": graphics_card(), **({"gpu_unused": unused} if unused else {})}


def graphics_card() -> str:
    """Names of the graphics cards that TensorFlow uses in this process; empty where it uses none or isn't loaded."""
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow is None or not hasattr(tensorflow, "config"):
        return ""
    cards = tensorflow.config.list_physical_devices("GPU")
    details = (tensorflow.config.experimental.get_device_details(card) for card in cards)
    return ", ".join(str(about.get("device_name", "GPU")) for about in details)
