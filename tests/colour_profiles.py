"""ICC profiles for tests, put together byte by byte, and the colours that they stand for, calculated without lcms."""

import struct

import numpy as np

D50, D65 = np.array([0.9642, 1.0, 0.8249]), np.array([0.95047, 1.0, 1.08883])
ADOBE_RGB = ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06))  # x and y of red, green and blue; Adobe RGB (1998)
DISPLAY_P3 = ((0.68, 0.32), (0.265, 0.69), (0.15, 0.06))
SRGB = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06))


def to_xyz(primaries: tuple) -> np.ndarray:
    """Matrix (3, 3) from linear RGB with the white D65 to XYZ."""
    columns = np.array([[x / y, 1, (1 - x - y) / y] for x, y in primaries]).T
    return columns * np.linalg.solve(columns, D65)


def rgb_profile(primaries: tuple, gamma: float) -> bytes:
    """A matrix profile with one gamma for all channels (1: linear)."""
    cones = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])  # Bradford
    to_d50 = np.linalg.solve(cones, np.diag(cones @ D50 / (cones @ D65)) @ cones)
    colorants = (to_d50 @ to_xyz(primaries)).T
    tags = {name: _xyz(values) for name, values in zip((b"rXYZ", b"gXYZ", b"bXYZ"), colorants, strict=True)}
    return _profile(b"RGB ", b"XYZ ", tags | {name: _curve(gamma) for name in (b"rTRC", b"gTRC", b"bTRC")})


def grey_profile(gamma: float) -> bytes:
    """A profile of grey with a gamma."""
    return _profile(b"GRAY", b"XYZ ", {b"kTRC": _curve(gamma)})


def cmyk_profile(cyan: tuple) -> bytes:
    """A press whose full cyan has this Lab colour, with nothing else in it; all other full inks are black."""
    nodes = [(100, 0, 0) if ink == 0 else cyan if ink == 0b1000 else (0, 0, 0) for ink in range(16)]
    identity = bytes(range(256))
    lab = b"".join(bytes([round(lightness * 2.55), a + 128, b + 128]) for lightness, a, b in nodes)
    matrix = struct.pack(">9i", *(65536 if i % 4 == 0 else 0 for i in range(9)))
    table = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0]) + matrix + identity * 4 + lab + identity * 3
    return _profile(b"CMYK", b"Lab ", {b"A2B0": table}, b"prtr")


def in_srgb(values: np.ndarray, primaries: tuple, gamma: float) -> np.ndarray:
    """Values (..., 3) from 0 to 1 in a colour space as sRGB from 0 to 255, not rounded."""
    linear = np.asarray(values) ** gamma @ (np.linalg.inv(to_xyz(SRGB)) @ to_xyz(primaries)).T
    return 255 * encoded(linear)


def encoded(linear: np.ndarray) -> np.ndarray:
    """The curve of sRGB."""
    linear = np.clip(linear, 0, 1)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def _xyz(values: np.ndarray) -> bytes:
    return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(value * 65536) for value in values))


def _curve(gamma: float) -> bytes:
    return b"curv\0\0\0\0" + (struct.pack(">I", 0) if gamma == 1 else struct.pack(">IH", 1, round(gamma * 256)))


def _profile(space: bytes, connection: bytes, tags: dict[bytes, bytes], device: bytes = b"mntr") -> bytes:
    text = b"desc\0\0\0\0" + struct.pack(">I", 5) + b"test\0" + bytes(78)
    tags = {b"desc": text, b"cprt": b"text\0\0\0\0none\0", b"wtpt": _xyz(D50), **tags}
    index, body, start = b"", b"", 132 + 12 * len(tags)
    for name, content in tags.items():
        content += bytes(-len(content) % 4)
        index += name + struct.pack(">II", start + len(body), len(content))
        body += content
    head = struct.pack(">I4sI4s4s4s", start + len(body), b"test", 0x02400000, device, space, connection)
    head += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28)
    head += struct.pack(">3i", *(round(value * 65536) for value in D50))
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + index + body
