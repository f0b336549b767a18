"""Activations at the end of a network's frozen part, computed once and shared by all runs that freeze the same part."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from lab_utils.core.errors import memory_named
from lab_utils.core.store import Artefact, write_rows

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
    code: tuple[str, ...] = (),
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
        code: names of the modules that made `images` and `function` (`store.Artefact`).
        limit: bytes above which nothing is stored; None: what the disk holds.
        title: of the frozen part, for the progress lines.
        progress: receives lines.

    Returns:
        A memory map of shape (N, ...), or a `Computed` where they are too large to store.

    Raises:
        LabError: a folder cannot be written, or memory ran out.
    """
    artefact = Artefact.under(folder, "front", key, code=(__name__, *code))
    with memory_named(title, batch, np.shape(images)[1:]):
        if (about := artefact.load(lambda reason: progress(f"  activations of {title}: {reason}."))) is not None:
            return _opened(artefact, about)
        first = np.asarray(function(images[:1]))
        need = first.nbytes * len(images)
        reason = refusal(need, Path(folder), limit)
        if reason:
            progress(f"  activations of {title}: {reason}; they are computed anew in every epoch.")
            return Computed(images, function)

        def write(path: Path) -> dict[str, str]:
            progress(f"  activations of {title}: {len(images):,} images, {size_in_words(need)} on disk")
            starts = range(0, len(images), batch)
            write_rows(path, len(images), (np.asarray(function(images[start : start + batch])) for start in starts))
            return {"dtype": first.dtype.name}

        return _opened(artefact, artefact.load_or_make(write, title=f"the activations of {title}", progress=progress))


def kept_as(key: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Name and seconds of stored activations, as they were measured when these were made; empty where none are kept.

    Args:
        key: as of `cached`.
        folder: where caches are kept.
    """
    artefact = Artefact.under(folder, "front", key, code=(__name__,))
    return {} if artefact.seconds is None else {"name": artefact.path.stem, "seconds": artefact.seconds}


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


def _opened(artefact: Artefact, about: dict[str, str]) -> np.ndarray:
    """Stored activations as a read-only memory map."""
    return np.load(artefact.path, mmap_mode="r").view(_dtype(about["dtype"]))


def _dtype(name: str) -> np.dtype:
    if name != "bfloat16":
        return np.dtype(name)
    import ml_dtypes

    return np.dtype(ml_dtypes.bfloat16)
