"""What a file is by its name and its first bytes, before anything is decoded."""

import functools
import re
from pathlib import Path

from PIL import Image

# Pillow has plugins for these, but they need another program (Ghostscript), another system, or only know the format
NOT_DECODED = {"EPS", "WMF", "BUFR", "GRIB", "HDF5", "MPEG"}
RAW = {  # suffixes of cameras' raw files
    *(".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".iiq", ".kdc", ".mef", ".mos", ".mrw", ".nef"),
    *(".nrw", ".orf", ".pef", ".raf", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f"),
}
OTHER_PICTURES = {".svg", ".svgz", ".eps", ".ps", ".wmf", ".emf", ".jxl", ".jxr", ".wdp", ".exr", ".hdr", ".xcf"}
UNFINISHED = {".part", ".partial", ".crdownload", ".download", ".tmp", ".bak", ".old", ".orig", ".thm", ".swp"}
HELPER_FILES = {"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "picasa.ini", "albumart.pamp"}
HELPER_FOLDERS = {
    *("@eadir", "@recycle", "@recently-snapshot", "#recycle", "#snapshot", "@__thumb", "@tmp", "@sharesnap"),  # NAS
    *("__macosx", "network trash folder", "temporary items", "lost+found", "__pycache__"),  # archives, file systems
    *("$recycle.bin", "recycler", "system volume information"),  # Windows
}

READ, UNREAD, OTHER = "read", "picture, not read here", "no picture"
_KINDS = (  # what it is, in words, and how it begins
    (READ, "a JPEG picture", rb"\xff\xd8\xff"),
    (READ, "a PNG picture", rb"\x89PNG\r\n\x1a\n"),
    (READ, "a GIF picture", rb"GIF8[79]a"),
    (READ, "a WebP picture", rb"RIFF....WEBP"),
    (READ, "a JPEG 2000 picture", rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51"),
    (READ, "a HEIF or AVIF picture", rb"....ftyp(hei[cxms]|hev[cxms]|mif[12]|msf1|avi[fs])"),
    (UNREAD, "a camera's raw file", rb"II\*\0....CR|....ftypcrx |FUJIFILMCCD-RAW|IIR[OS]|MMOR|IIU\0|FOVb|\0MRM"),
    (READ, "a TIFF picture", rb"II[*+]\0|MM\0[*+]"),
    (UNREAD, "a JPEG XL picture", rb"\xff\x0a|\0\0\0\x0cJXL "),
    (UNREAD, "a JPEG XR picture", rb"II\xbc"),
    (UNREAD, "an OpenEXR picture", rb"v/1\x01"),
    (UNREAD, "a Radiance picture", rb"#\?(RADIANCE|RGBE)"),
    (UNREAD, "a GIMP picture", rb"gimp xcf"),
    (UNREAD, "a PostScript drawing", rb"%!PS|\xc5\xd0\xd3\xc6"),
    (UNREAD, "a Windows metafile", rb"\xd7\xcd\xc6\x9a|\x01\0\0\0.{36} EMF"),
    (UNREAD, "an SVG drawing", rb"(\xef\xbb\xbf)?\s*(<\?xml[^>]*>\s*)?(<!--.{0,400}?-->\s*)*(<!DOCTYPE svg|<svg)"),
    (OTHER, "a web page", rb"(?i)(\xef\xbb\xbf)?\s*<(!doctype html|html|head|body)"),
    (OTHER, "a pointer of Git LFS (`git lfs pull` fetches the picture)", rb"version https://git-lfs"),
    (OTHER, "a PDF document", rb"%PDF"),
    (OTHER, "a video", rb"....ftyp(isom|iso\d|mp4|M4V|qt  |avc1|3gp)|\x1aE\xdf\xa3|RIFF....AVI |\0\0\x01[\xb3\xba]"),
    (OTHER, "an HDF5 file", rb"\x89HDF\r\n"),
    (OTHER, "an archive", rb"PK\x03\x04|Rar!|7z\xbc\xaf|\x1f\x8b"),
    (OTHER, "macOS's notes on another file", rb"\0\x05\x16\x07"),
    (OTHER, "a file of zero bytes only", rb"\0{512}"),
)
_PATTERNS = [(sort, words, re.compile(pattern, re.DOTALL)) for sort, words, pattern in _KINDS]
_HEAD = 1024  # bytes that the patterns look at


def kind(head: bytes) -> tuple[str, str]:
    """What a file is by its first bytes: `READ`, `UNREAD`, `OTHER` or "" (not known), and what it is in words."""
    return next(((sort, words) for sort, words, begins in _PATTERNS if begins.match(head[:_HEAD])), ("", ""))


@functools.cache
def formats() -> list[str]:
    """Pillow's names of the formats that are read, HEIF among them, in the order in which they are tried."""
    import pillow_heif

    pillow_heif.register_heif_opener()
    Image.init()
    return [name for name in Image.ID if name in Image.OPEN and name not in NOT_DECODED]


@functools.cache
def suffixes() -> frozenset[str]:
    """Suffixes, in lower case, of files that are meant as pictures: those that are read, and those that can't be."""
    known = set(formats())
    read = {suffix for suffix, name in Image.registered_extensions().items() if name in known}
    return frozenset(read | OTHER_PICTURES | RAW)


def is_picture(path: Path) -> bool:
    """Whether a file is meant as a picture: by its suffix, or where that is no known one by its first bytes."""
    if path.suffix.lower() in suffixes():
        return True
    try:
        with path.open("rb") as handle:
            return kind(handle.read(_HEAD))[0] == READ
    except OSError:
        return False


def is_helper_folder(name: str) -> bool:
    """Whether a folder is one that systems and NAS boxes make for themselves (thumbnails, recycle bins)."""
    return name.lower() in HELPER_FOLDERS


def is_helper_file(name: str) -> bool:
    """Whether a file is a program's own: a folder's settings, a backup copy, an unfinished download."""
    return name.lower() in HELPER_FILES or name.endswith("~") or Path(name).suffix.lower() in UNFINISHED
