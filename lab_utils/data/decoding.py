"""Image files: decode any format that Pillow reads, correctly, and find the bad ones before anything is trained."""

import functools
import hashlib
import io
import json
import logging
import math
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms, ImageOps

from lab_utils.core import file_names, records
from lab_utils.core.errors import LabError
from lab_utils.core.store import Artefact
from lab_utils.data import file_kinds

LISTED = 200  # bad files named in one message
NAMED = 5  # files named in a note
MOST_PIXELS = 400_000_000  # more is taken for a decompression bomb (MAMe's largest original has 373 million)
MOST_BYTES = 4_000_000_000  # of a file
SAME = 2  # a profile that moves no colour by more is taken for sRGB, and its pixels stay as they are
SPACES = {"GRAY": "L", "RGB": "RGB", "CMYK": "CMYK"}  # colours of a profile: Pillow's mode


def decode(path: Path | str) -> np.ndarray:
    """Read an image file as 8-bit RGB in the colour space sRGB.

    Grey and palette images become RGB; 16-bit ones are scaled by 1/257 (Pillow would clip them), 32-bit ones by the
    range that they use; transparency is laid onto white; CMYK and Lab are converted; an embedded colour profile is
    applied; so is the EXIF orientation; of several frames the first is taken.

    Returns:
        uint8 array of shape (H, W, 3).

    Raises:
        LabError: the file is missing, empty, truncated, no image, of a kind that is not read, or a decompression bomb.
    """
    try:
        return decode_bytes(_content(Path(path)))
    except OSError as error:
        shown = file_names.shown(path)
        raise LabError(f"Image {shown} can't be read ({error.strerror}): put it back or remove its row.") from None
    except BadImageError as error:
        raise LabError(f"Image {file_names.shown(path)} {error}: replace it or remove it.") from None


def _content(path: Path) -> bytes:
    """All bytes of a file, unless they are more than an image has."""
    if (size := path.stat().st_size) > MOST_BYTES:
        raise BadImageError(f"has {size / 1e9:.1f} GB, too much for an image")
    return path.read_bytes()


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
            with _opened(data) as image:
                return to_rgb(ImageOps.exif_transpose(_eight_bits(image)))
    except BadImageError:
        raise
    except Image.DecompressionBombError:
        raise BadImageError(f"claims more than {MOST_PIXELS:,} pixels (a decompression bomb?)") from None
    except Image.UnidentifiedImageError:
        raise BadImageError(_what_it_is(data)) from None
    except MemoryError:
        raise BadImageError("needs more memory than this machine has") from None
    except Exception as error:  # Pillow's plugins raise nearly anything on damaged files
        damage = "is truncated" if "truncated" in str(error).lower() else f"is damaged ({error})"
        raise BadImageError(damage) from None


def _what_it_is(data: bytes) -> str:
    sort, words = file_kinds.kind(data)
    if sort == file_kinds.OTHER:
        return f"is {words}, not an image"
    if sort == file_kinds.UNREAD:
        return f"is {words}, which the lab can't read (save it as PNG or JPEG)"
    return f"begins as {words} but is damaged or of a rare kind" if sort else "is not an image that Pillow can read"


# ---- opening: by Pillow, or by tifffile where Pillow can't read a TIFF file or reads it wrongly ----------------------
def _opened(data: bytes) -> Image.Image:
    """Open an image with Pillow, without those of its plugins that call other programs."""
    if file_kinds.kind(data)[0] == file_kinds.UNREAD:
        raise Image.UnidentifiedImageError
    try:
        image = Image.open(io.BytesIO(data), formats=file_kinds.formats())
    except Image.UnidentifiedImageError:
        if data[:4] not in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
            raise
        return _tiff(data)
    if image.format == "TIFF":
        tags = image.tag_v2
        if tags.get(_DNG_VERSION) or tags.get(_SUBFILE_TYPE, 0) & 1:
            raise BadImageError("is a camera's raw file or begins with a preview (save it as PNG or JPEG)")
        planes = tags.get(_PLANAR) == 2 and max(tags.get(_BITS, (1,))) > 8
        swapped = image.mode == "F" and data[:2] == b"MM" and tags.get(_COMPRESSION, 1) != 1
        if planes or swapped:  # Pillow takes the bytes of these in a wrong order
            return _tiff(data)
    return image


_DNG_VERSION, _SUBFILE_TYPE, _PLANAR, _BITS, _COMPRESSION = 50706, 254, 284, 258, 259  # codes of TIFF's tags
_SAMPLE_FORMAT, _PHOTOMETRIC, _ORIENTATION, _PROFILE = 339, 262, 274, 34675


def _tiff(data: bytes) -> Image.Image:
    """Read the first picture of a TIFF file with tifffile: floating-point colour, 64 bits, planes, grey with alpha."""
    import tifffile

    tifffile.logger().setLevel(logging.CRITICAL)  # what is wrong is said once, by us
    refusal = "is a TIFF file of a rare kind (save it as 8-bit PNG or TIFF)"
    try:
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            page = file.pages[0]
            if page.imagewidth * page.imagelength > MOST_PIXELS or page.nbytes > 8 * MOST_PIXELS:
                raise Image.DecompressionBombError
            values = np.moveaxis(page.asarray(), 0, 2) if page.axes == "SYX" else page.asarray()
            axes, photometric, tags = page.axes, int(page.photometric), {tag.code: tag.value for tag in page.tags}
    except Image.DecompressionBombError:
        raise
    except Exception:  # as many kinds of errors as Pillow
        raise BadImageError(refusal) from None
    values = values[..., None] if axes == "YX" else values
    mode = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}.get(values.shape[-1])
    if axes not in ("YX", "YXS", "SYX") or values.ndim != 3 or values.dtype.kind not in "iuf" or mode is None:
        raise BadImageError(refusal)
    if photometric != {"L": 1, "R": 2}[mode[0]] and (mode[0], photometric) != ("L", 0):
        raise BadImageError(refusal)
    colours = len(mode.removesuffix("A"))
    shares = [_scaled(values[..., :colours])]
    shares[0] = 1 - shares[0] if photometric == 0 else shares[0]
    shares += [_scaled(values[..., colours:])] if mode.endswith("A") else []
    pixels = np.rint(255 * np.concatenate(shares, axis=2)).astype(np.uint8)
    image = Image.fromarray(pixels[..., 0] if mode == "L" else pixels, mode)
    image.getexif()[_ORIENTATION] = int(tags.get(_ORIENTATION, 1))
    if tags.get(_PROFILE):
        image.info["icc_profile"] = bytes(tags[_PROFILE])
    return image


# ---- more than 8 bits ------------------------------------------------------------------------------------------------
def _scaled(values: np.ndarray) -> np.ndarray:
    """Grey or colour values of any number type as shares 0 (black) to 1 (white), float32 of the same shape.

    8- and 16-bit unsigned integers have their type's range. Longer integers and floating-point numbers don't say what
    white is. It is 1 where hardly any value is larger (light sources may be, up to 4), else the largest number of as
    few bits as hold them: 255, 511, ... Where many values are negative, the range begins at the smallest.
    """
    if values.dtype in (np.uint8, np.uint16):
        return (values / np.float32(np.iinfo(values.dtype).max)).astype(np.float32)
    numbers = values.astype(np.float64)
    finite = numbers[np.isfinite(numbers)]
    low, high = np.percentile(finite[:: 1 + finite.size // 1_000_000], (1, 99)) if finite.size else (0, 0)
    if low < -0.01 * abs(high):
        black, white = finite.min(), finite.max()
    elif values.dtype.kind == "f" and high <= 4:
        black, white = 0, 1
    else:
        black, white = 0, max(255, 2 ** math.ceil(math.log2(max(high, 1) / 1.1 + 1)) - 1)
    numbers = np.nan_to_num(numbers, nan=black, posinf=white, neginf=black)
    return ((numbers - black) / max(white - black, 1e-9)).clip(0, 1).astype(np.float32)


def _eight_bits(image: Image.Image) -> Image.Image:
    """A grey image of 16 or 32 bits in 8 bits and in sRGB; any other as it is."""
    if not image.mode.startswith("I") and image.mode != "F":
        return image
    values, tags = np.asarray(image), getattr(image, "tag_v2", {})
    if image.mode == "I" and image.format in ("PPM", "PNG"):
        values = values.clip(0, 65535).astype(np.uint16)  # 32 bits that hold 16
    elif image.mode.startswith("I;16"):
        values = values.astype(np.uint16)
    elif image.mode == "I" and tags.get(_BITS) == (32,) and tags.get(_SAMPLE_FORMAT, (1,)) == (1,):
        values = values.astype(np.int64) % 2**32  # Pillow reads unsigned numbers as signed ones
    share = 1 - _scaled(values) if tags.get(_PHOTOMETRIC) == 0 else _scaled(values)  # 0: white is stored as 0
    profile = image.info.get("icc_profile")
    if transform := profile and _to_srgb(profile, "L"):
        ramp = np.array(_grey_ramp(transform)) / 255
        share = np.interp(share, np.linspace(0, 1, 256), ramp)  # of 16 bits, not of 8 that were rounded
    grey = Image.fromarray(np.rint(share * 255).astype(np.uint8))
    grey.getexif()[_ORIENTATION] = image.getexif().get(_ORIENTATION, 1)
    return grey


# ---- to sRGB ---------------------------------------------------------------------------------------------------------
def to_rgb(image: Image.Image) -> np.ndarray:
    """Convert an 8-bit Pillow image of any mode to uint8 (H, W, 3) in sRGB, transparency onto white."""
    alpha = None
    if image.has_transparency_data:
        image = image.convert("LA" if image.mode in ("1", "L", "LA") else "RGBA")
        alpha, image = image.getchannel("A"), image.convert(image.mode.removesuffix("A"))
    colours = _in_srgb(image)
    if alpha is not None:
        colours = Image.composite(colours, Image.new("RGB", colours.size, "white"), alpha)
    return np.asarray(colours)


def _in_srgb(image: Image.Image) -> Image.Image:
    """Apply the embedded profile; without one, or with one that does not fit the image, the colours are sRGB's."""
    if image.mode == "LAB":
        lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        return ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB", flags=ImageCms.Flags.NOOPTIMIZE)
    profile = image.info.get("icc_profile")
    if profile:
        image = image if image.mode in ("L", "CMYK") else image.convert("RGB")
        transform = _to_srgb(profile, image.mode)
        if transform and image.mode == "L":
            image = image.point(_grey_ramp(transform))
        elif transform:
            image = transform.apply(image)
    return image.convert("RGB")


def _grey_ramp(transform: ImageCms.ImageCmsTransform) -> list[int]:
    """What the 256 greys become in sRGB."""
    ramp = Image.fromarray(np.arange(256, dtype=np.uint8)[None]).convert(transform.input_mode)
    return np.asarray(transform.apply(ramp))[0, :, 0].tolist()


@functools.lru_cache(maxsize=64)
def _to_srgb(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """The way from a profile's colours to sRGB; None where it changes nothing, is damaged, or is of other colours."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        own = SPACES.get(source.profile.xcolor_space.strip(), "")
        if own != mode and (own, mode) != ("RGB", "L"):  # a grey image in an RGB space is all right
            return None
        # lcms's shortcut for grey is off by 10 of 255 in dark tones (so is that for Lab, in saturated colours)
        flags = {"L": ImageCms.Flags.NOOPTIMIZE, "RGB": ImageCms.Flags.HIGHRESPRECALC}.get(own, ImageCms.Flags.NONE)
        srgb, intent = ImageCms.createProfile("sRGB"), ImageCms.Intent.PERCEPTUAL
        transform = ImageCms.buildTransform(source, srgb, own, "RGB", intent, flags)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None
    if own != "RGB":
        return transform
    steps = np.linspace(0, 255, 9).astype(np.uint8)
    colours = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(27, 27, 3)
    moved = np.asarray(transform.apply(Image.fromarray(colours))).astype(int) - colours
    return transform if np.abs(moved).max() > SAME else None


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
    if problem := file_names.problem(path):
        return Finding(problem=problem)
    try:
        data = _content(path)
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
            findings = pool.map(lambda name: examine(root / name, perceptual), new)
            for name, finding in zip(new, _reported(findings, len(new), progress), strict=True):
                known[name] = [stamps[name], *vars(finding).values()]
        with cache.making() as (temporary, _):
            temporary.write_text(json.dumps(known), encoding="utf-8")
    return {name: Finding(*known[name][1:]) for name in files}


def require_good(findings: dict[str, Finding], where: Path, otherwise: str = "") -> None:
    """Stop where images are bad, naming all of them at once.

    Args:
        findings: of `examine_all`.
        where: the folder, for the message.
        otherwise: what else can be done, to end the message with.

    Raises:
        LabError: with every bad file and what is wrong with it.
    """
    bad = [f"{file_names.shown(name)} {finding.problem}" for name, finding in findings.items() if finding.problem]
    if bad:
        more = f"; and {len(bad) - LISTED} more" if len(bad) > LISTED else ""
        kind = "image" if len(bad) == 1 else "images"
        raise LabError(
            f"{len(bad)} {kind} in {where} can't be used, replace or remove{otherwise}: "
            f"{'; '.join(bad[:LISTED])}{more}."
        )


def usable(findings: dict[str, Finding], where: Path, skip_bad: bool = False) -> tuple[dict[str, Finding], list[str]]:
    """The findings of the images that can be read, and a note on how many were left out.

    Args:
        findings: of `examine_all`.
        where: the folder, for the message.
        skip_bad: go on without the bad ones.

    Raises:
        LabError: an image is bad and `skip_bad` is not set; or none is left.
    """
    if not skip_bad:
        require_good(findings, where, " them, or go on with the others by --skip-bad")
    good = {name: finding for name, finding in findings.items() if not finding.problem}
    bad = [f"{file_names.shown(name)} {finding.problem}" for name, finding in findings.items() if finding.problem]
    if bad and not good:
        raise LabError(f"None of the {len(bad)} images in {where} can be read; the first: {bad[0]}.")
    return good, [
        f"{len(bad)} of {len(findings)} images can't be read and were left out: {few(bad, '; ')}."
    ] if bad else []


def few(names: Sequence[str], between: str = ", ") -> str:
    """The first names of a list, and how many more there are."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return between.join(names[:NAMED]) + more


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
