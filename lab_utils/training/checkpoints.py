"""The state of a training run on disk: whole or not at all, with the last good one kept behind the newest."""

import json
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from lab_utils.core.records import atomic_path, plain

Arrays = list[np.ndarray]
NEWEST, BEFORE = "state.npz", "state-before.npz"
ALTERED = (  # what reading an altered zip file can raise: an unknown method or an encrypted member included
    *(OSError, EOFError, ValueError, KeyError, TypeError, RuntimeError, NotImplementedError),
    *(zipfile.BadZipFile, zlib.error, struct.error),
)


def write(path: Path, groups: dict[str, Arrays], about: dict[str, Any]) -> Path:
    """Write groups of arrays and plain facts about them as one file, atomically.

    Args:
        path: a file that ends in `.npz`.
        groups: named lists of arrays of any shape.
        about: plain values (epoch, history, ...), kept as JSON.

    Raises:
        LabError: the disk is full; what was there before stays.
    """
    named = {f"{name}/{i:04d}": array for name, arrays in groups.items() for i, array in enumerate(arrays)}
    whole = {"about": plain(about), "arrays": {key: list(np.shape(array)) for key, array in named.items()}}
    text = np.frombuffer(json.dumps(whole).encode(), dtype=np.uint8)
    with atomic_path(path) as temporary:
        np.savez(temporary, about=text, **named)
    return path


def read(path: Path) -> tuple[dict[str, Arrays], dict[str, Any]] | None:
    """Read what `write` wrote; None where the file is missing, cut short or altered.

    The zip format keeps a checksum of every member but none of its directory, so names and shapes are compared with the
    list that `write` put into the file.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            whole = json.loads(stored["about"].tobytes())
            arrays = {key: stored[key] for key in stored.files if key != "about"}
        if {key: list(array.shape) for key, array in arrays.items()} != whole["arrays"]:
            return None
        groups: dict[str, Arrays] = {}
        for key in sorted(arrays):
            groups.setdefault(key.split("/")[0], []).append(arrays[key])
        return groups, whole["about"]
    except ALTERED:
        return None


def save_state(folder: Path, groups: dict[str, Arrays], about: dict[str, Any]) -> None:
    """Write the newest state of a run; the one before it is kept until the next call."""
    newest = folder / NEWEST
    if newest.is_file():
        newest.replace(folder / BEFORE)
    write(newest, groups, about)


def load_state(folder: Path) -> tuple[tuple[dict[str, Arrays], dict[str, Any]] | None, str]:
    """Read the last good state of a run.

    Returns:
        The state (None: there is none), and a sentence where a damaged file was passed over (else "").
    """
    damaged = ""
    for name in (NEWEST, BEFORE):
        state = read(folder / name)
        if state is not None:
            return state, damaged
        if (folder / name).is_file():
            damaged = f"{folder.name}/{name} is damaged and was passed over: training goes on from the one before it."
    return None, damaged


def remove_states(folder: Path) -> None:
    """Remove the states of a run that ended."""
    for name in (NEWEST, BEFORE):
        (folder / name).unlink(missing_ok=True)
