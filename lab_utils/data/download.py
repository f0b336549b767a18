"""Downloads that survive interruption: resumed, checked, never half there; and archives unpacked with care."""

import hashlib
import http.client
import lzma
import shutil
import struct
import tempfile
import time
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from lab_utils.core import records
from lab_utils.core.errors import LabError

Progress = Callable[[str], None]
PIECE = 1 << 18  # bytes read at a time
PATIENCE = 30.0  # seconds without an answer
TRIES = 4  # connections to one file before giving up
MOST_TIMES = 100  # an archive's content is not so many times its size (pictures shrink little, tables ten times)
MOST_FILES = 1_000_000  # in an archive


@dataclass(frozen=True)
class Archive:
    """A published archive; `md5` is empty where its authors publish none (ours is then recorded on first download)."""

    url: str
    md5: str = ""

    @property
    def name(self) -> str:
        """File name, the address' last part."""
        return self.url.rsplit("/", 1)[-1]


_PLACE = "https://storage.hpai.bsc.es/mame-dataset/"
METADATA = Archive(_PLACE + "MAMe_metadata.zip", "0bca980978e3883f753f01ccad955981")
SMALL = Archive(_PLACE + "MAMe_data_256.zip")
FULL = Archive(_PLACE + "MAMe_data.zip", "39b11ef14dba807faf284f74ec2576d3")


def mame(full_size: bool = False, progress: Progress = print, home: Path | None = None) -> Path:
    """Download and unpack MAMe where it is not there yet: the metadata, and the 256x256 copies or the originals.

    Args:
        full_size: get the originals instead of the copies.
        progress: gets size, speed and time left.
        home: where to; default `data/mame`.

    Returns:
        The folder; the metadata and `data_256/` (or `data/`) are in folders of it.

    Raises:
        LabError: no network, a wrong checksum, or too little space.
    """
    home = home or records.PROJECT / "data" / "mame"
    for archive in (METADATA, FULL if full_size else SMALL):
        unpacked = home / Path(archive.name).stem
        if not unpacked.is_dir():
            path = fetch(archive.url, home / archive.name, archive.md5, progress)
            extract(path, unpacked, progress)
            path.unlink()
    return home


# ---- one file -------------------------------------------------------------------------------------------------------
def fetch(url: str, path: Path, md5: str = "", progress: Progress = print) -> Path:
    """Download a file, going on where an earlier try stopped.

    It grows under the name `<path>.part` and gets its own when its length and checksum are right. Without a published
    `md5`, the SHA-256 of the first download is kept in `checksums.json` beside it and later ones are compared with it.

    Args:
        url: address.
        path: where to; a file that is there is not downloaded again.
        md5: published checksum, or "".
        progress: gets size, speed and time left.

    Returns:
        `path`.

    Raises:
        LabError: no network, the server refuses, the connection keeps breaking, a wrong checksum, or too little space.
    """
    if path.is_file():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    for attempt in range(TRIES):
        try:
            _receive(url, part, progress)
            break
        except urllib.error.HTTPError as error:
            if error.code == 416:  # the part is no beginning of this file
                part.unlink(missing_ok=True)
            elif error.code < 500 or attempt == TRIES - 1:
                raise LabError(_refused(path, url, f"{error.code} {error.reason}")) from None
        except (OSError, http.client.HTTPException) as error:
            if attempt == TRIES - 1:
                raise LabError(_refused(path, url, getattr(error, "reason", error) or error, part)) from None
        time.sleep(min(2**attempt, 5) * _PAUSE)
    else:
        raise LabError(_refused(path, url, "the server's answers do not fit together"))
    _check(part, url, md5, path)
    part.replace(path)
    _origin(part).unlink(missing_ok=True)
    return path


_PAUSE = 1.0  # factor on the seconds between tries


def _receive(url: str, part: Path, progress: Progress) -> None:
    """Append what is missing to the part; a server that can't resume, or another file at the address, starts anew."""
    have = part.stat().st_size if part.is_file() else 0
    headers = {"User-Agent": "mame-lab", "Accept-Encoding": "identity"}
    version = records.read_json(_origin(part)).get("version") if have and _origin(part).is_file() else None
    if version:
        headers |= {"Range": f"bytes={have}-", "If-Range": version}
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=PATIENCE) as answer:
        resumed = answer.status == 206
        have = have if resumed else 0
        length = answer.headers.get("Content-Length")
        total = have + int(length) if length else None
        version = answer.headers.get("ETag") or answer.headers.get("Last-Modified") or ""
        records.write_json(_origin(part), {"url": url, "version": version, "bytes": total})
        _require_space(part.parent, (total or 0) - have, part.name.removesuffix(".part"))
        with part.open("ab" if resumed else "wb") as out:
            _copy(answer, out, have, total, part.name.removesuffix(".part"), progress)
    if total is not None and part.stat().st_size != total:
        raise http.client.HTTPException(
            f"the connection broke after {in_words(part.stat().st_size)} of {in_words(total)}"
        )


def _copy(answer: Any, out: Any, have: int, total: int | None, name: str, progress: Progress) -> None:
    start, told, done = time.time(), time.time(), have
    progress(
        f"  {name}: {in_words(total) if total else 'size unknown'}"
        + (f", going on at {in_words(have)}" if have else "")
    )
    while piece := answer.read(PIECE):
        out.write(piece)
        done += len(piece)
        if time.time() - told > 5:
            told = time.time()
            speed = (done - have) / (told - start)
            left = f", {_clock((total - done) / speed)} left" if total else ""
            progress(f"  {name}: {in_words(done)} at {in_words(speed)}/s{left}")


def _check(part: Path, url: str, md5: str, path: Path) -> None:
    """Compare with the published checksum, or with that of the first download (which is recorded)."""
    kept = path.with_name("checksums.json")
    known = records.read_json(kept) if kept.is_file() else {}
    if path.suffix == ".zip" and not md5 and url not in known and not zipfile.is_zipfile(part):
        _remove(part)
        raise LabError(f"{url} sent no zip archive (a log-in page of the network?): download it again when it does.")
    digest = _digest(part, "md5") if md5 else _digest(part, "sha256")
    wanted = md5 or known.get(url, digest)
    if digest != wanted:
        _remove(part)
        said = "the published one" if md5 else f"that of the first download ({kept})"
        raise LabError(
            f"{path.name} has the checksum {digest}, not {said}, {wanted}: it was removed, download it again."
        )
    if not md5 and url not in known:
        records.write_json(kept, known | {url: digest})


def size_at(url: str, patience: float = 5.0) -> int | None:
    """Bytes of the file at an address, without fetching it; None where no server answers, or it doesn't say."""
    headers = {"User-Agent": "mame-lab", "Accept-Encoding": "identity"}
    try:
        asked = urllib.request.Request(url, method="HEAD", headers=headers)
        with urllib.request.urlopen(asked, timeout=patience) as answer:
            length = answer.headers.get("Content-Length")
    except (OSError, http.client.HTTPException, ValueError):
        return None
    return int(length) if length and length.isdigit() else None


# ---- archives -------------------------------------------------------------------------------------------------------
def extract(archive: Path, folder: Path, progress: Progress = print) -> Path:
    """Unpack a zip archive into a folder that appears whole or not at all.

    Raises:
        LabError: a member would land outside the folder or is a link, the archive is damaged, locked or a bomb, or
            space is short.
    """
    try:
        with zipfile.ZipFile(archive) as file:
            members = file.infolist()
            _require_harmless(members, archive)
            _require_space(folder.parent, sum(member.file_size for member in members), f"the content of {archive.name}")
            progress(f"  {archive.name}: unpacking {len(members):,} files")
            with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as temporary:
                file.extractall(Path(temporary) / "content")
                if not folder.is_dir():  # another process may have been quicker
                    (Path(temporary) / "content").rename(folder)
    except OSError as error:
        raise LabError(
            f"{archive} can't be unpacked to {folder} ({error}): free some space, check the folder, or get another "
            "copy."
        ) from None
    except RuntimeError as error:  # also NotImplementedError, of an unknown compression
        raise LabError(f"{archive} can't be unpacked ({error}): get another copy of it.") from None
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, ValueError, struct.error) as error:
        raise LabError(f"{archive} is damaged ({error}): delete it and download it again.") from None
    return folder


def _require_harmless(members: list[zipfile.ZipInfo], archive: Path) -> None:
    """Stop before anything is written where an archive reaches out of its folder or is a decompression bomb."""
    for member in members:
        path = PurePosixPath(member.filename.replace("\\", "/"))
        is_link = (member.external_attr >> 16) & 0o170000 == 0o120000
        if path.is_absolute() or ".." in path.parts or ":" in member.filename[:2] or is_link:
            raise LabError(
                f"{archive.name} holds {member.filename!r}, which would be written outside its folder: "
                "it was not unpacked, delete it."
            )
    size, unpacked = archive.stat().st_size, sum(member.file_size for member in members)
    if unpacked > MOST_TIMES * size + PIECE or len(members) > MOST_FILES:
        raise LabError(
            f"{archive.name} ({in_words(size)}) claims to hold {len(members):,} files of {in_words(unpacked)} (a "
            "decompression bomb?): it was not unpacked, delete it."
        )
    if len({member.filename.rstrip("/") for member in members}) < len(members):
        raise LabError(f"{archive.name} holds a file twice: it was not unpacked, delete it and download it again.")


# ---- inside ---------------------------------------------------------------------------------------------------------
def _require_space(folder: Path, needed: int, what: str) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise LabError(
            f"{what} needs {in_words(needed)} and {folder} has {in_words(free)} free: make room and start again."
        )


def _refused(path: Path, url: str, why: Any, part: Path | None = None) -> str:
    kept = ""
    if part is not None and part.is_file():
        kept = f"; {in_words(part.stat().st_size)} are kept and the next start goes on from there"
    return (
        f"{path.name} can't be downloaded from {url} ({why}){kept}: check the network, or give the files that "
        "you have by --data DIR."
    )


def _remove(part: Path) -> None:
    part.unlink()
    _origin(part).unlink(missing_ok=True)


def _origin(part: Path) -> Path:
    """File beside a part that says which version of which address it is the beginning of."""
    return part.with_name(part.name + ".json")


def _digest(path: Path, kind: str) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, kind).hexdigest()


def in_words(n: float | None) -> str:
    """A number of bytes, or that it is not known, in words."""
    if n is None:
        return "size unknown"
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if n >= scale:
            return f"{n / scale:.1f} {unit}"
    return f"{n:.0f} bytes"


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
