"""A training run on disk: its state while it goes on, its result when it has ended; whole or not at all.

All that `fit` keeps of weights is written and read here.
"""

import json
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from lab_utils.core.records import atomic_path, plain

Groups = dict[str, list[np.ndarray]]
RESULT, NEWEST, BEFORE = "model.npz", "state.npz", "state-before.npz"
ALTERED = (  # what reading an altered zip file can raise: an unknown method or an encrypted member included
    *(OSError, EOFError, ValueError, KeyError, TypeError, RuntimeError, NotImplementedError),
    *(zipfile.BadZipFile, zlib.error, struct.error),
)


def write(path: Path, groups: Groups, about: dict[str, Any]) -> None:
    """Write named lists of arrays and plain facts about them as one file, atomically.

    Raises:
        LabError: the disk is full; what was there before stays.
    """
    named = {f"{name}/{i:04d}": np.asarray(array) for name, arrays in groups.items() for i, array in enumerate(arrays)}
    kinds = {key: [list(array.shape), array.dtype.name] for key, array in named.items()}
    # the zip format keeps a checksum of every member but none of its list of members: that stands inside one, too
    text = np.frombuffer(json.dumps({"about": plain(about), "arrays": kinds}).encode(), dtype=np.uint8)
    stored = {key: array.view(np.uint16) if array.dtype.name == "bfloat16" else array for key, array in named.items()}
    with atomic_path(path) as temporary:
        np.savez(temporary, about=text, **stored)


def read(path: Path) -> tuple[Groups, dict[str, Any]] | None:
    """Read what `write` wrote; None where the file is missing, cut short or altered."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            whole = json.loads(stored["about"].tobytes())
            arrays = {key: _typed(stored[key], whole["arrays"][key][1]) for key in stored.files if key != "about"}
        if {key: [list(array.shape), array.dtype.name] for key, array in arrays.items()} != whole["arrays"]:
            return None
        groups: Groups = {}
        for key in sorted(arrays):
            groups.setdefault(key.split("/")[0], []).append(arrays[key])
        return groups, whole["about"]
    except ALTERED:
        return None


def _typed(array: np.ndarray, kind: str) -> np.ndarray:
    if kind != "bfloat16":
        return array
    import ml_dtypes

    return array.view(ml_dtypes.bfloat16)


def save_state(folder: Path, groups: Groups, about: dict[str, Any]) -> None:
    """Write the newest state of a run; the one before it is kept until the next call."""
    if (folder / NEWEST).is_file():
        (folder / NEWEST).replace(folder / BEFORE)
    write(folder / NEWEST, groups, about)


def load_state(folder: Path) -> tuple[tuple[Groups, dict[str, Any]] | None, str]:
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
