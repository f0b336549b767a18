"""Activations at the end of a network's frozen part, computed once and shared by all runs that freeze the same part."""

import shutil
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from lab_utils.core import locks
from lab_utils.core.errors import LabError, memory_named
from lab_utils.core.records import atomic_path, content_hash, read_json, write_json

SPARE = 0.05  # share of the free space that a cache leaves free


class Computed:
    """Activations that are computed each time they are asked for; indexed like the array that is not there.

    Attributes:
        images: uint8 images, shape (N, H, W, 3), or another array with rows.
        function: from a batch of images to activations.
    """

    def __init__(self, images: Any, function: Callable[[Any], Any]):
        self.images, self.function = images, function
        self.shape = (len(images), *np.shape(self.function(images[:1]))[1:])

    def __getitem__(self, rows: np.ndarray) -> Any:
        return self.function(self.images[rows])

    def __len__(self) -> int:
        return len(self.images)


def cached(
    images: Any,
    function: Callable[[Any], Any],
    key: dict[str, Any],
    *,
    folder: Path,
    batch: int = 64,
    limit: float | None = None,
    title: str = "the frozen part",
    progress: Callable[[str], None] = print,
) -> np.ndarray | Computed:
    """Open the stored activations of some images, or compute and store them; their size is said before.

    They are kept as they are computed (bfloat16 as its two bytes, else float16 or float32), so that training on them
    and training through the frozen part see the same numbers.

    Args:
        images: shape (N, ...).
        function: from a batch of images to activations, an array or tensor of shape (B, ...).
        key: plain values that the activations depend on (data hash, rows, network, weights hash, size, layer,
            preprocessing, precision).
        folder: where caches are kept.
        batch: images a call of `function`.
        limit: bytes above which nothing is stored; None: what the disk holds.
        title: of the frozen part, for the progress lines.
        progress: receives lines.

    Returns:
        A memory map of shape (N, ...), or a `Computed` where they are too large to store.

    Raises:
        LabError: a folder cannot be written, or memory ran out.
    """
    path = Path(folder) / f"{content_hash(key)}.bin"
    found = opened(path)
    if found is not None:
        return found
    if path.exists():
        progress(f"  {path.name} is damaged: the activations of {title} are computed again.")
    with memory_named(title, batch, np.shape(images)[1:]):
        first = np.asarray(function(images[:1]))
        need = first.nbytes * len(images)
        reason = refusal(need, Path(folder), limit)
        if reason:
            progress(f"  activations of {title}: {reason}; they are computed anew in every epoch.")
            return Computed(images, function)
        with locks.locked(path.with_suffix(".lock"), lambda by: progress(f"  process {by} computes {title}; waiting")):
            if opened(path) is None:  # the one that was waited for may have made it
                progress(f"  activations of {title}: {len(images):,} images, {size_in_words(need)} on disk")
                _fill(path, images, function, batch, first, key)
    return opened(path)


def refusal(need: int, folder: Path, limit: float | None = None) -> str:
    """Why so many bytes are not stored, as part of a sentence; "" where they fit."""
    if limit is not None and need > limit:
        return f"{size_in_words(need)} are above the limit of {size_in_words(limit)}"
    there = next(place for place in [folder, *folder.absolute().parents] if place.exists())
    free = shutil.disk_usage(there).free
    if need > free * (1 - SPARE):
        return f"{size_in_words(need)} do not fit into the {size_in_words(free)} that are free on the disk"
    return ""


def size_in_words(count: float) -> str:
    """Bytes as MB or GB."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def opened(path: Path) -> np.ndarray | None:
    """A stored cache as a read-only memory map; None where it is missing, cut short or altered.

    All of it is read for that (about a second a GB where the disk keeps up): an epoch that uses it reads as much.
    """
    try:
        about = read_json(path.with_suffix(".json"))
        shape, kept, rows = tuple(about["shape"]), np.dtype(about["stored"]), int(about["rows"])
        if path.stat().st_size != int(np.prod(shape)) * kept.itemsize:
            return None
        array = np.memmap(path, kept, "r", shape=shape)
        if [zlib.crc32(array[i : i + rows]) for i in range(0, len(array), rows)] != about["checksums"]:
            return None
        return array.view(_dtype(about["dtype"]))
    except (LabError, OSError, KeyError, TypeError, ValueError):
        return None


def _dtype(name: str) -> np.dtype:
    if name != "bfloat16":
        return np.dtype(name)
    import ml_dtypes

    return np.dtype(ml_dtypes.bfloat16)


def _fill(path: Path, images: Any, function: Callable, batch: int, first: np.ndarray, key: dict[str, Any]) -> None:
    stored = np.dtype("uint16") if first.dtype.name == "bfloat16" else first.dtype
    sums = []
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        for start in range(0, len(images), batch):
            part = np.ascontiguousarray(function(images[start : start + batch])).view(stored)
            sums.append(zlib.crc32(part))
            part.tofile(file)
    about = {"shape": [len(images), *first.shape[1:]], "stored": stored.name, "dtype": first.dtype.name}
    write_json(path.with_suffix(".json"), {**about, "rows": batch, "checksums": sums, "key": key})
