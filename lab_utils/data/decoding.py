"""Image files: decode any format that Pillow reads, correctly, and find the bad ones before anything is trained."""

import hashlib
import io
import json
import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from lab_utils.core import records
from lab_utils.core.errors import LabError
from lab_utils.core.store import Artefact

LISTED = 200  # bad files named in one message
MOST_PIXELS = 400_000_000  # more is taken for a decompression bomb (MAMe's largest original has 373 million)


def decode(path: Path | str) -> np.ndarray:
    """Read an image file as 8-bit RGB.

    Grey and palette images become RGB; 16-bit ones are scaled by 1/257 (Pillow would clip them); transparency is laid
    onto white; CMYK is converted; the EXIF orientation is applied; of several frames the first is taken.

    Returns:
        uint8 array of shape (H, W, 3).

    Raises:
        LabError: the file is missing, empty, truncated, no image, or a decompression bomb.
    """
    try:
        return decode_bytes(Path(path).read_bytes())
    except OSError as error:
        raise LabError(f"Image {path} can't be read ({error.strerror}): put it back or remove its row.") from None
    except BadImageError as error:
        raise LabError(f"Image {path} {error}: replace it or remove it.") from None


class BadImageError(Exception):
    """What is wrong with an image file, to be put behind its name."""


def decode_bytes(data: bytes) -> np.ndarray:
    """Decode the bytes of an image file to uint8 (H, W, 3); see `decode`.

    Raises:
        BadImageError: the bytes are no whole image.
    """
    if not data:
        raise BadImageError("is an empty file")
    Image.MAX_IMAGE_PIXELS = MOST_PIXELS // 2  # Pillow warns at its limit and refuses at twice as much
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data)) as image:
                return to_rgb(ImageOps.exif_transpose(image))
    except Image.DecompressionBombError:
        raise BadImageError(f"claims more than {MOST_PIXELS:,} pixels (a decompression bomb?)") from None
    except Image.UnidentifiedImageError:
        raise BadImageError("is not an image that Pillow can read") from None
    except Exception as error:  # Pillow's plugins raise nearly anything on damaged files
        damage = "is truncated" if "truncated" in str(error).lower() else f"is damaged ({error})"
        raise BadImageError(damage) from None


def to_rgb(image: Image.Image) -> np.ndarray:
    """Convert a Pillow image of any mode to uint8 (H, W, 3), transparency onto white, 16 bits scaled by 1/257."""
    if image.mode.startswith("I"):  # 16-bit grey, or 32-bit holding 16
        grey = np.rint(np.asarray(image, dtype=np.float64).clip(0, 65535) / 257).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)
    if image.mode == "F":
        values = np.nan_to_num(np.asarray(image))
        grey = np.rint((values * 255 if values.max() <= 1 else values).clip(0, 255)).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return np.asarray(image.convert("RGB"))


# ---- checking many files -------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Finding:
    """What one look into a file gave: its size as seen, the hash of its bytes, or what is wrong with it."""

    width: int = 0
    height: int = 0
    digest: str = ""
    phash: str = ""
    problem: str = ""


def examine(path: Path, perceptual: bool = False) -> Finding:
    """Decode a file completely and describe it.

    Args:
        path: of the image.
        perceptual: also compute the 64-bit perceptual hash (DCT of the 32x32 grey image), as 16 hex digits.
    """
    try:
        data = path.read_bytes()
        pixels = decode_bytes(data)
    except OSError as error:
        return Finding(problem=f"can't be read ({error.strerror})")
    except BadImageError as error:
        return Finding(problem=str(error))
    digest = hashlib.sha256(data).hexdigest()[:32]
    return Finding(pixels.shape[1], pixels.shape[0], digest, perceptual_hash(pixels) if perceptual else "")


def perceptual_hash(pixels: np.ndarray) -> str:
    """Perceptual hash of a uint8 (H, W, 3) image as 16 hex digits: equal or nearly so for near-identical images."""
    import imagehash

    return str(imagehash.phash(Image.fromarray(pixels)))


def examine_all(
    root: Path,
    files: Iterable[str],
    perceptual: bool = False,
    progress: Callable[[str], None] = print,
    cache_folder: Path | None = None,
) -> dict[str, Finding]:
    """Examine many files in parallel; what was examined before and has the same size and times is not opened again.

    Args:
        root: folder that the file names are relative to.
        files: names, with `/` between folders.
        perceptual: see `examine`.
        progress: gets a line now and then.
        cache_folder: where findings are kept; default `data/cache/examined`.

    Returns:
        A finding for each file, in the order given.
    """
    files = list(files)
    folder = cache_folder or records.PROJECT / "data" / "cache" / "examined"
    cache = Artefact.under(folder, root.name, [str(root.resolve()), perceptual], code=(__name__,), suffix=".json")
    known = {} if cache.load() is None else json.loads(cache.path.read_text(encoding="utf-8"))
    stamps = {name: _stamp(root / name) for name in files}
    new = [name for name in files if known.get(name, [None])[0] != stamps[name]]
    if new:
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            found = pool.map(lambda name: examine(root / name, perceptual), new)
            for name, finding in zip(new, _reported(found, len(new), progress), strict=True):
                known[name] = [stamps[name], *vars(finding).values()]
        with cache.making() as (temporary, _):
            temporary.write_text(json.dumps(known), encoding="utf-8")
    return {name: Finding(*known[name][1:]) for name in files}


def require_good(findings: dict[str, Finding], where: Path) -> None:
    """Stop where images are bad, naming all of them at once.

    Raises:
        LabError: with every bad file and what is wrong with it.
    """
    bad = [f"{name} {finding.problem}" for name, finding in findings.items() if finding.problem]
    if bad:
        more = f"; and {len(bad) - LISTED} more" if len(bad) > LISTED else ""
        kind = "image" if len(bad) == 1 else "images"
        raise LabError(
            f"{len(bad)} {kind} in {where} can't be used, replace or remove: {'; '.join(bad[:LISTED])}{more}."
        )


def _stamp(path: Path) -> list[int]:
    """Size and times; that of the last change of any kind can't be set back, so that a replaced file is seen."""
    try:
        status = path.stat()
    except OSError:
        return []
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns]


def _reported(items: Iterator, total: int, progress: Callable[[str], None], every: int = 5000) -> Iterator:
    for done, item in enumerate(items, 1):
        if done % every == 0:
            progress(f"  {done:,} of {total:,} images checked")
        yield item
