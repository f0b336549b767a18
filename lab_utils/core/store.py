"""The one load-or-make store: whatever is kept on disk under `data/cache` because it takes long to make.

    artefact = Artefact.under(folder, "lite0", key, code=(__name__,))
    facts = artefact.load_or_make(write)         # write(temporary) -> facts to keep beside it, or None
    np.load(artefact.path, mmap_mode="r")

An artefact is one file, found by its **key**: plain values that its content depends on (data hash, size, seed, hash
of the weights, …). Beside it lies what is known of it, `<file>.json`: key, checksum, facts (the seconds that it took,
and what its maker adds), and its **makers**, the code and files that made it. It is trusted while its bytes are those
that were written and its makers are as they were; else it is made anew. Reading it adds its makers to what the reader
used (`usage`): a chapter that only loads it still depends on the code that made it.

`code` names the modules that compute it. All that they import counts with them, as far as it is loaded: no module of
`display` or `chapters`, as imports only go up the rooms. Whatever else is used while it is made is added by itself.
What went into it and was computed before belongs into the key, by its content, or into `code`, by its module.
"""

import contextlib
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lab_utils.core import locks, usage
from lab_utils.core.errors import LabError
from lab_utils.core.records import atomic_path, content_hash, plain, read_json, write_json

Progress = Callable[[str], Any]
Facts = dict[str, Any]
_checked: dict[Path, tuple[int, ...]] = {}  # files whose bytes were compared in this process, and their times then


@dataclass(frozen=True)
class Artefact:
    """One stored file.

    Attributes:
        path: where it is, or will be.
        key: plain values that its content depends on; the path should hold their hash.
        code: names of the modules that compute it (`__name__`).
    """

    path: Path
    key: Any
    code: tuple[str, ...]

    @classmethod
    def under(cls, folder: Path, name: str, key: Any, code: tuple[str, ...], suffix: str = ".npy") -> "Artefact":
        """The artefact of a key in a folder: `<name>-<hash of the key><suffix>`."""
        return cls(Path(folder) / f"{name}-{content_hash(key)}{suffix}", key, code)

    @property
    def about_path(self) -> Path:
        """File that says what is known of it."""
        return self.path.with_name(f"{self.path.name}.json")

    def load_or_make(
        self, write: Callable[[Path], Facts | None], *, title: str = "", progress: Progress | None = print
    ) -> Facts:
        """See to it that the artefact is there; of several processes that want it, one makes it and the others wait.

        Args:
            write: makes it: writes the file to the path it is given, and returns facts to keep beside it.
            title: of what is made, for the lines of progress.
            progress: gets a line where it has to be made anew, or is waited for.

        Returns:
            The facts, from JSON.

        Raises:
            LabError: the disk is full or the folder cannot be written.
        """
        say, title = progress or (lambda line: None), title or self.path.name
        facts = self.load(lambda reason: say(f"  {title}: {reason}; it is made anew."))
        if facts is None:
            with locks.locked(self.lock_path, lambda by: say(f"  process {by} makes {title}; waiting")):
                facts = self.load()
                if facts is None:
                    with self.making() as (temporary, facts):
                        facts.update(plain(write(temporary) or {}))
        return facts

    @property
    def lock_path(self) -> Path:
        """The lock file of its making."""
        return self.path.with_name(f"{self.path.name}.lock")

    def load(self, distrusted: Progress | None = None) -> Facts | None:
        """The facts of an artefact that can be trusted, whose makers then count as used; None: it has to be made.

        Args:
            distrusted: gets the reason where it is there and can't be trusted.
        """
        try:
            about = read_json(self.about_path)
            used, facts, reason = about["used"], about["facts"], self._reason(about)
        except (LabError, OSError, KeyError, TypeError, AttributeError):
            return None
        if reason:
            if distrusted:
                distrusted(reason)
            return None
        for name, value in used.items():
            usage.note(name, value)
        return facts

    def _reason(self, about: dict[str, Any]) -> str:
        """Why the file can't be trusted; "" where it can."""
        if changes := usage.changed(about["used"]):
            return f"{changes[0].partition(' ')[2]} has changed since it was made"
        status = self.path.stat()
        times = (status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        known = _checked.get(self.path) == times
        if status.st_size != about["bytes"] or not (known or checksum(self.path) == about["crc32"]):
            return f"{self.path.name} is damaged"
        _checked[self.path] = times
        return ""

    @contextlib.contextmanager
    def making(self) -> Iterator[tuple[Path, Facts]]:
        """Give a temporary path to write the file to, and a dictionary for facts; keep both when the block ends well.

        For what `load_or_make` is too simple for: several artefacts made in one pass, states of a run that is trained.
        """
        facts: Facts = {}
        with usage.recording() as used:
            began = time.perf_counter()
            with atomic_path(self.path) as temporary:
                yield temporary, facts
                facts.setdefault("seconds", round(time.perf_counter() - began, 3))
                size, crc32 = temporary.stat().st_size, checksum(temporary)
            used = usage.makers({**used, **usage.modules_of(*self.code)})
        for name, value in used.items():
            usage.note(name, value)
        about = {"key": self.key, "bytes": size, "crc32": crc32, "used": used, "facts": facts}
        write_json(self.about_path, about)

    @property
    def seconds(self) -> float | None:
        """Seconds that making it took; None where it is not there, or doesn't say."""
        try:
            return read_json(self.about_path)["facts"].get("seconds")
        except (LabError, OSError, KeyError, AttributeError):
            return None

    def remove(self) -> None:
        """Remove the file and what is known of it."""
        self.path.unlink(missing_ok=True)
        self.about_path.unlink(missing_ok=True)


def checksum(path: Path) -> int:
    """CRC-32 of a file's bytes, read in pieces (a second for one to three GB)."""
    value = 0
    with path.open("rb") as handle:
        while piece := handle.read(1 << 18):
            value = zlib.crc32(piece, value)
    return value


def write_rows(path: Path, n: int, parts: Iterable[np.ndarray]) -> None:
    """Write an array of n rows to an `.npy` file part by part, holding one part at a time.

    Args:
        path: of the file.
        n: rows of all parts together.
        parts: arrays (rows, ...) of one dtype and shape; bfloat16 is written as its two bytes.
    """
    with path.open("wb") as file:
        for i, part in enumerate(parts):
            part = storable(part)
            if i == 0:
                header = {"descr": part.dtype.str, "fortran_order": False, "shape": (n, *part.shape[1:])}
                np.lib.format.write_array_header_1_0(file, header)
            part.tofile(file)


def storable(array: np.ndarray) -> np.ndarray:
    """A contiguous array of a dtype that `.npy` files know: bfloat16 becomes uint16 of the same bytes."""
    array = np.ascontiguousarray(array)
    return array.view(np.uint16) if array.dtype.name == "bfloat16" else array
