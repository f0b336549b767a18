"""Decoding against known pixel values, and what is said about damaged files."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from lab_utils.core.errors import LabError
from lab_utils.data import decoding


def gradient(low=0, high=255, dtype=np.uint8):
    return np.linspace(low, high, 12 * 10).reshape(12, 10).astype(dtype)


def test_grey_image_gets_three_equal_channels(tmp_path):
    Image.fromarray(gradient()).save(tmp_path / "grey.png")
    pixels = decoding.decode(tmp_path / "grey.png")
    assert pixels.dtype == np.uint8 and pixels.shape == (12, 10, 3)
    assert (pixels == gradient()[..., None]).all()


def test_sixteen_bit_grey_is_scaled_by_257_and_not_clipped(tmp_path):
    values = gradient(0, 65535, np.uint16)
    for name in ("deep.png", "deep.tif"):
        Image.fromarray(values).save(tmp_path / name)
        assert (decoding.decode(tmp_path / name)[..., 0] == np.rint(values / 257)).all()


def test_sixteen_bit_colour_png_is_scaled_and_not_clipped(tmp_path):
    values = np.stack([gradient(0, 65535, np.uint16)] * 3, axis=2) // [1, 2, 4]
    raw = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    parts = [(b"IHDR", struct.pack(">IIBBBBB", 10, 12, 16, 2, 0, 0, 0)), (b"IDAT", zlib.compress(raw)), (b"IEND", b"")]
    chunks = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    ]
    (tmp_path / "deep.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))
    assert np.abs(decoding.decode(tmp_path / "deep.png") - values / 257).max() <= 1


def test_palette_image_shows_its_colours(tmp_path):
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, 200, 30, 90])
    image.save(tmp_path / "palette.gif")
    assert (decoding.decode(tmp_path / "palette.gif") == [200, 30, 90]).all()


def test_cmyk_image_is_converted(tmp_path):
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "red.tif")
    assert (decoding.decode(tmp_path / "red.tif") == [255, 0, 0]).all()
    Image.new("CMYK", (8, 8), (0, 0, 0, 0)).save(tmp_path / "white.jpg", quality=95)
    assert decoding.decode(tmp_path / "white.jpg").min() >= 253


@pytest.mark.parametrize("mode, colour", [("RGBA", (100, 0, 0, 0)), ("LA", (0, 0))])
def test_transparent_pixels_become_white(tmp_path, mode, colour):
    Image.new(mode, (5, 5), colour).save(tmp_path / "clear.png")
    assert (decoding.decode(tmp_path / "clear.png") == 255).all()


def test_half_transparent_pixel_is_mixed_with_white(tmp_path):
    Image.new("RGBA", (5, 5), (0, 100, 200, 128)).save(tmp_path / "half.png")
    expected = 255 + (np.array([0, 100, 200]) - 255) * 128 / 255
    assert np.abs(decoding.decode(tmp_path / "half.png") - expected).max() <= 1


def test_palette_with_a_transparent_colour_becomes_white_there(tmp_path):
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, 200, 30, 90])
    image.putpixel((0, 0), 0)
    image.save(tmp_path / "palette.png", transparency=0)
    pixels = decoding.decode(tmp_path / "palette.png")
    assert (pixels[0, 0] == 255).all() and (pixels[1, 1] == [200, 30, 90]).all()


def test_exif_orientation_is_applied(tmp_path):
    upright = np.zeros((6, 4, 3), np.uint8)
    upright[0, 0] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # stored turned by 90 degrees; a viewer turns it clockwise
    Image.fromarray(np.rot90(upright, 1)).save(tmp_path / "turned.png", exif=exif)
    assert (decoding.decode(tmp_path / "turned.png") == upright).all()
    assert (decoding.examine(tmp_path / "turned.png").width, decoding.examine(tmp_path / "turned.png").height) == (4, 6)


def test_one_bit_image_is_black_and_white(tmp_path):
    Image.fromarray(gradient() > 100).save(tmp_path / "bits.png")
    assert (decoding.decode(tmp_path / "bits.png")[..., 0] == np.where(gradient() > 100, 255, 0)).all()


# ---- bad files -----------------------------------------------------------------------------------------------------
def bomb(path):
    """A BMP whose header claims 30,000 x 30,000 pixels."""
    header = struct.pack("<IiiHHIIiiII", 40, 30000, 30000, 1, 24, 0, 0, 0, 0, 0, 0)
    path.write_bytes(b"BM" + struct.pack("<IHHI", 54 + 100, 0, 0, 54) + header + b"\0" * 100)


@pytest.fixture
def bad_folder(tmp_path):
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (64, 64, 3), np.uint8)).save(tmp_path / "good.jpg")
    whole = (tmp_path / "good.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "text.jpg").write_text("not a picture")
    bomb(tmp_path / "bomb.bmp")
    return tmp_path


@pytest.mark.parametrize(
    "name, words",
    [
        ("cut.jpg", "is truncated"),
        ("empty.jpg", "is an empty file"),
        ("text.jpg", "is not an image"),
        ("bomb.bmp", "decompression bomb"),
        ("absent.jpg", "can't be read"),
    ],
)
def test_a_bad_file_is_named_with_its_reason(bad_folder, name, words):
    with pytest.raises(LabError, match=words) as caught:
        decoding.decode(bad_folder / name)
    assert name in str(caught.value)


def test_all_bad_images_are_listed_in_one_go(bad_folder, tmp_path):
    names = ["cut.jpg", "empty.jpg", "good.jpg", "text.jpg", "bomb.bmp", "absent.jpg"]
    found = decoding.examine_all(bad_folder, names, cache_folder=tmp_path / "cache")
    with pytest.raises(LabError, match=r"^5 images") as caught:
        decoding.require_good(found, bad_folder)
    assert all(name in str(caught.value) for name in names if name != "good.jpg")
    assert "good.jpg" not in str(caught.value)


def test_second_look_opens_only_what_changed(bad_folder, tmp_path, monkeypatch):
    names = ["cut.jpg", "good.jpg"]
    first = decoding.examine_all(bad_folder, names, cache_folder=tmp_path / "cache")
    opened = []
    real = decoding.examine
    monkeypatch.setattr(decoding, "examine", lambda path, *rest: opened.append(path.name) or real(path, *rest))
    assert decoding.examine_all(bad_folder, names, cache_folder=tmp_path / "cache") == first and opened == []
    (bad_folder / "cut.jpg").write_bytes((bad_folder / "good.jpg").read_bytes())
    repaired = decoding.examine_all(bad_folder, names, cache_folder=tmp_path / "cache")
    assert opened == ["cut.jpg"] and repaired["cut.jpg"].problem == ""
