"""Decoding against known pixel values, and what is said about damaged files."""

import io
import os
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor

import colour_profiles
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from lab_utils.core.errors import LabError
from lab_utils.data import decoding, file_kinds


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


# ---- more than 8 bits, against what was written ----------------------------------------------------------------------
SHARES = np.linspace(0, 1, 120).reshape(12, 10)
COLOURS = np.stack([SHARES, SHARES**2, 1 - SHARES], axis=2)


def tiff(values, **options):
    handle = io.BytesIO()
    tifffile.imwrite(handle, values, **options)
    return handle.getvalue()


NUMBERS = {  # name: (values, options of the file, expected shares of white)
    "float from 0 to 1": (SHARES.astype("f4"), {}, SHARES),
    "float from 0 to 0.4, a dark picture": (0.4 * SHARES.astype("f4"), {}, 0.4 * SHARES),
    "float with a few lights above 1": (
        np.where(SHARES > 0.97, 3, SHARES).astype("f4"),
        {},
        np.where(SHARES > 0.97, 1, SHARES),
    ),
    "float of 8 bits": ((255 * SHARES).astype("f4"), {}, SHARES),
    "float of 12 bits": ((4095 * SHARES).astype("f4"), {}, SHARES),
    "float of 16 bits": ((65535 * SHARES).astype("f4"), {}, SHARES),
    "float from -1 to 1": ((2 * SHARES - 1).astype("f4"), {}, SHARES),
    "float with gaps": (np.where(SHARES == 0, np.nan, SHARES).astype("f4"), {}, SHARES),
    "float, white is 0": (SHARES.astype("f4"), {"photometric": "miniswhite"}, 1 - SHARES),
    "float, compressed, big-endian": (SHARES.astype(">f4"), {"compression": "zlib", "byteorder": ">"}, SHARES),
    "float, all black": (0 * SHARES.astype("f4"), {}, 0 * SHARES),
    "half floats": (SHARES.astype("f2"), {}, SHARES),
    "double floats": (SHARES, {}, SHARES),
    "floats in colour": (COLOURS.astype("f4"), {"photometric": "rgb"}, COLOURS),
    "floats in colour planes": (
        COLOURS.astype("f4").transpose(2, 0, 1).copy(),
        {"photometric": "rgb", "planarconfig": "separate"},
        COLOURS,
    ),
    "16 bits": ((65535 * SHARES).astype("u2"), {}, SHARES),
    "16 bits, white is 0": ((65535 * SHARES).astype("u2"), {"photometric": "miniswhite"}, 1 - SHARES),
    "16 bits in colour": ((65535 * COLOURS).astype("u2"), {"photometric": "rgb"}, COLOURS),
    "16 bits in colour planes": (
        (65535 * COLOURS).astype("u2").transpose(2, 0, 1).copy(),
        {"photometric": "rgb", "planarconfig": "separate"},
        COLOURS,
    ),
    "16 bits, signed": ((32767 * SHARES).astype("i2"), {}, SHARES),
    "32 bits": ((SHARES * (2**32 - 1)).astype("u4"), {}, SHARES),
    "32 bits that hold 8": ((255 * SHARES).astype("i4"), {}, SHARES),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_tiff_files_of_more_than_8_bits_are_scaled_by_what_they_hold(name):
    values, options, shares = NUMBERS[name]
    pixels = decoding.decode_bytes(tiff(values, **options))
    assert np.abs(pixels - 255 * np.atleast_3d(shares)).max() <= 1.5


def test_grey_of_16_bits_with_transparency_is_laid_onto_white():
    values = np.stack([np.full((4, 4), 20000), np.full((4, 4), 32768)], axis=2).astype("u2")
    pixels = decoding.decode_bytes(
        tiff(values, photometric="minisblack", planarconfig="contig", extrasamples=["unassalpha"])
    )
    assert np.abs(pixels - (255 + (20000 / 257 - 255) / 2)).max() <= 1


@pytest.mark.parametrize("side", [(1, 7), (7, 1), (1, 1)])
def test_a_picture_one_pixel_wide_keeps_its_shape(side):
    for values in (np.full(side, 0.5, "f8"), np.full((*side, 3), 0.5, "f8")):
        pixels = decoding.decode_bytes(tiff(values, photometric="minisblack" if values.ndim == 2 else "rgb"))
        assert pixels.shape == (*side, 3) and np.abs(pixels - 127.5).max() <= 1


@pytest.mark.parametrize(
    "options",
    [{}, {"compression": "zlib"}, {"tile": (16, 16)}, {"bigtiff": True}, {"byteorder": ">"}, {"rowsperstrip": 1}],
)
def test_colour_tiff_files_agree_with_another_decoder(options):
    data = tiff((255 * np.tile(COLOURS, (2, 2, 1))).astype("u1"), photometric="rgb", **options)
    assert (decoding.decode_bytes(data) == tifffile.imread(io.BytesIO(data))).all()


@pytest.mark.parametrize("kind", ["u1", "u2", "f4"])
@pytest.mark.parametrize("colour", [False, True])
def test_tiff_orientation_is_applied_once(kind, colour):
    upright = np.zeros((6, 4), kind)
    upright[0, 0] = 1 if kind == "f4" else np.iinfo(kind).max
    turned = np.rot90(upright, 1)
    turned = np.stack([turned] * 3, axis=2) if colour else turned.copy()
    options = {"photometric": "rgb"} if colour else {}
    pixels = decoding.decode_bytes(tiff(turned, extratags=[(274, "H", 1, 6, True)], **options))
    assert pixels.shape == (6, 4, 3) and (pixels[0, 0] == 255).all() and pixels.sum() == 3 * 255


# ---- colour spaces, against a calculation without lcms ---------------------------------------------------------------
def saved(image, kind="PNG", **options):
    file_kinds.formats()  # HEIF among them
    handle = io.BytesIO()
    image.save(handle, kind, **options)
    return handle.getvalue()


NOISE = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)
SPACES = {
    "Adobe RGB": (colour_profiles.ADOBE_RGB, 563 / 256),
    "linear": (colour_profiles.SRGB, 1.0),
    "Display P3's colours": (colour_profiles.DISPLAY_P3, 2.2),
}


@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_an_embedded_colour_space_is_brought_to_srgb(name, kind):
    options = {"lossless": True} if kind == "WEBP" else {}
    data = saved(Image.fromarray(NOISE), kind, icc_profile=colour_profiles.rgb_profile(*SPACES[name]), **options)
    expected = colour_profiles.in_srgb(NOISE / 255, *SPACES[name])
    assert np.abs(NOISE - expected).mean() > 5  # what ignoring it would cost
    assert np.abs(decoding.decode_bytes(data) - expected).max() <= 1.1


@pytest.mark.parametrize("kind", ["u1", "u2", "f4"])
def test_linear_grey_is_brought_to_srgb_in_dark_tones_too(kind):
    values = SHARES.astype(kind) if kind == "f4" else (SHARES * np.iinfo(kind).max).astype(kind)
    profile = colour_profiles.grey_profile(1.0)
    data = tiff(values, extratags=[(34675, "B", len(profile), profile, True)])
    shares = values / (1 if kind == "f4" else np.iinfo(kind).max)
    assert np.abs(decoding.decode_bytes(data)[..., 0] - 255 * colour_profiles.encoded(shares)).max() <= 1.1


def test_grey_in_a_colour_space_and_colours_with_alpha_use_its_profile():
    profile = colour_profiles.rgb_profile(colour_profiles.SRGB, 1.0)
    grey = saved(Image.fromarray(gradient()), icc_profile=profile)
    assert np.abs(decoding.decode_bytes(grey)[..., 0] - 255 * colour_profiles.encoded(gradient() / 255)).max() <= 1.1
    clear = Image.fromarray(np.dstack([NOISE, np.full(NOISE.shape[:2], 255, np.uint8)]))
    clear.putpixel((0, 0), (9, 9, 9, 0))
    pixels = decoding.decode_bytes(saved(clear, icc_profile=profile))
    assert (pixels[0, 0] == 255).all()
    assert np.abs(pixels - 255 * colour_profiles.encoded(NOISE / 255))[1:].max() <= 1.1


def lab_in_srgb(lightness, a, b):
    y = (lightness + 16) / 116
    cubes = [
        part**3 if part > 6 / 29 else 3 * (6 / 29) ** 2 * (part - 4 / 29) for part in (y + a / 500, y, y - b / 200)
    ]
    d50_to_d65 = [
        [0.9555766, -0.0230393, 0.0631636],
        [-0.0282895, 1.0099416, 0.0210077],
        [0.0122982, -0.020483, 1.3299098],
    ]
    xyz = np.array(d50_to_d65) @ (np.array(cubes) * colour_profiles.D50)
    return 255 * colour_profiles.encoded(np.linalg.solve(colour_profiles.to_xyz(colour_profiles.SRGB), xyz))


@pytest.mark.parametrize("kind, options", [("TIFF", {}), ("JPEG", {"quality": 100})])
def test_cmyk_is_printed_by_its_profile(kind, options):
    profile = colour_profiles.cmyk_profile(cyan=(60, -20, -30))
    for ink, lab in (((255, 0, 0, 0), (60, -20, -30)), ((0, 0, 0, 0), (100, 0, 0))):
        pixels = decoding.decode_bytes(saved(Image.new("CMYK", (8, 8), ink), kind, icc_profile=profile, **options))
        assert np.abs(pixels - lab_in_srgb(*lab)).max() <= 3


def test_lab_pictures_are_converted():
    for lab in ((50, 0, 0), (60, -20, -30), (100, 0, 0)):
        stored = (round(lab[0] * 2.55), lab[1] + 128, lab[2] + 128)
        pixels = decoding.decode_bytes(saved(Image.new("LAB", (4, 4), stored), "TIFF"))
        assert np.abs(pixels - lab_in_srgb(*lab)).max() <= 3


@pytest.mark.parametrize(
    "profile",
    [
        ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
        b"no profile",
        colour_profiles.rgb_profile(*SPACES["linear"])[:300],
        colour_profiles.grey_profile(1.0),  # of other colours than the image's
        colour_profiles.cmyk_profile((50, 0, 0)),
    ],
)
def test_srgb_and_profiles_that_do_not_fit_leave_the_pixels_alone(profile):
    assert (decoding.decode_bytes(saved(Image.fromarray(NOISE), icc_profile=profile)) == NOISE).all()


def test_threads_get_the_same_pixels():
    files = [
        saved(Image.fromarray(np.roll(NOISE, shift, 0)), icc_profile=colour_profiles.rgb_profile(*space))
        for shift in range(10)
        for space in SPACES.values()
    ]
    with ThreadPoolExecutor(8) as pool:
        threaded = list(pool.map(decoding.decode_bytes, files))
    assert all((decoding.decode_bytes(data) == pixels).all() for data, pixels in zip(files, threaded, strict=True))


# ---- HEIC, the photos of iPhones -------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def heic():
    """A photo stored lying, as telephones do, in Display P3: red above, green below when upright."""
    upright = np.zeros((80, 48, 3), np.uint8)
    upright[:40], upright[40:] = (200, 40, 40), (40, 160, 40)
    exif = Image.Exif()
    exif[0x0112] = 6
    profile = colour_profiles.rgb_profile(*SPACES["Display P3's colours"])
    lying = Image.fromarray(np.rot90(upright, 1).copy())
    return upright, saved(lying, "HEIF", quality=95, exif=exif.tobytes(), icc_profile=profile)


def test_a_heic_photo_is_read_upright_and_in_srgb(heic):
    upright, data = heic
    pixels = decoding.decode_bytes(data)
    expected = colour_profiles.in_srgb(upright / 255, *SPACES["Display P3's colours"])
    assert pixels.shape == upright.shape and np.abs(pixels - expected).mean() < 4
    assert np.abs(upright - expected).mean() > 5


@pytest.mark.parametrize("share", [0.2, 0.7, 0.95])
def test_a_cut_heic_photo_is_bad(heic, share):
    with pytest.raises(decoding.BadImageError, match=r"damaged|truncated|rare kind"):
        decoding.decode_bytes(heic[1][: int(share * len(heic[1]))])


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


def camera_raw():
    """A TIFF file that begins with a small preview, as Nikon's and Sony's raw files do."""
    return tiff(np.zeros((8, 8, 3), "u1"), photometric="rgb", subfiletype=1)


REASONS = {  # content: true reason, and what to do
    "svg": (
        b'<?xml version="1.0"?>\n<!-- drawn -->\n<svg xmlns="http://www.w3.org/2000/svg"/>',
        "an SVG drawing.*save it",
    ),
    "jxl": (b"\xff\x0a" + bytes(50), "a JPEG XL picture.*save it as PNG or JPEG"),
    "eps": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "a PostScript drawing.*save it"),
    "raw": (camera_raw(), "a camera's raw file.*save it"),
    "dng": (tiff(np.zeros((8, 8), "u1"), extratags=[(50706, "B", 4, (1, 4, 0, 0), True)]), "a camera's raw file"),
    "cr2": (b"II*\0\x10\0\0\0CR\2\0" + bytes(90), "a camera's raw file.*save it"),
    "page": (b"\n<!DOCTYPE html><html>404</html>", "is a web page, not an image"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "git lfs pull"),
    "pdf": (b"%PDF-1.7\n", "is a PDF document, not an image"),
    "video": (b"\0\0\0\x18ftypmp42\0\0\0\0", "is a video, not an image"),
    "zeros": (bytes(2000), "zero bytes only"),
    "hdf5": (b"\x89HDF\r\n\x1a\n" + bytes(100), "an HDF5 file, not an image"),
    "stack": (tiff(np.zeros((8, 8, 5), "u1"), photometric="minisblack", planarconfig="contig"), "a rare kind.*save it"),
    "head": (b"\xff\xd8\xff\xe0", "begins as a JPEG picture but is damaged"),
    "text": (b"not a picture", "is not an image that Pillow can read"),
}


@pytest.mark.parametrize("name", REASONS)
def test_the_reason_against_a_file_is_true_and_says_what_to_do(name):
    data, words = REASONS[name]
    with pytest.raises(decoding.BadImageError, match=words):
        decoding.decode_bytes(data)


def test_no_other_program_is_started_to_read_a_file(monkeypatch):
    monkeypatch.setattr("subprocess.Popen", lambda *_, **__: pytest.fail("a program was started"))
    monkeypatch.setattr("os.system", lambda *_: pytest.fail("a program was started"))
    for data, _ in REASONS.values():
        with pytest.raises(decoding.BadImageError):
            decoding.decode_bytes(data)


def test_a_tiff_bomb_for_the_second_reader_is_refused():
    small = tiff(np.zeros((4, 4, 3), "f4"), photometric="rgb")
    with tifffile.TiffFile(io.BytesIO(small)) as file:
        places = [file.pages[0].tags[name].valueoffset for name in ("ImageWidth", "ImageLength")]
    data = bytearray(small)
    for place in places:
        data[place : place + 2] = struct.pack("<H", 60000)
    with pytest.raises(decoding.BadImageError, match="decompression bomb"):
        decoding.decode_bytes(bytes(data))


@pytest.mark.parametrize(
    "name, words",
    [(b"no \xff text.png", "no UTF-8 text"), (b"two\nlines.png", "a line break"), (b"bell\7.png", "control")],
)
def test_a_name_that_can_not_be_stored_is_named_with_its_file(tmp_path, name, words):
    path = os.path.join(os.fsencode(tmp_path), name)  # noqa: PTH118 (bytes)
    try:
        with open(path, "wb") as handle:  # noqa: PTH123
            handle.write(saved(Image.new("RGB", (4, 4))))
    except OSError:
        pytest.skip("this file system has no such names")
    names = [os.fsdecode(name)]
    findings = decoding.examine_all(tmp_path, names, cache_folder=tmp_path / "cache")
    assert decoding.examine_all(tmp_path, names, cache_folder=tmp_path / "cache") == findings
    with pytest.raises(LabError, match=words) as caught:
        decoding.require_good(findings, tmp_path)
    assert name[:3].decode() in str(caught.value) and str(caught.value).encode().decode().isprintable()


def test_a_file_too_large_for_an_image_is_not_read(tmp_path):
    with (tmp_path / "film.jpg").open("wb") as handle:
        handle.truncate(5_000_000_000)
    assert "5.0 GB, too much for an image" in decoding.examine(tmp_path / "film.jpg").problem


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
    findings = decoding.examine_all(bad_folder, names, cache_folder=tmp_path / "cache")
    with pytest.raises(LabError, match=r"^5 images") as caught:
        decoding.require_good(findings, bad_folder)
    assert all(name in str(caught.value) for name in names if name != "good.jpg")
    assert "good.jpg" not in str(caught.value)


def test_bad_images_are_skipped_only_where_that_is_asked_for_and_are_counted(bad_folder, tmp_path):
    names = ["cut.jpg", "empty.jpg", "good.jpg"]
    findings = decoding.examine_all(bad_folder, names, cache_folder=tmp_path / "cache")
    with pytest.raises(LabError, match="go on with the others by --skip-bad"):
        decoding.usable(findings, bad_folder)
    good, notes = decoding.usable(findings, bad_folder, skip_bad=True)
    assert list(good) == ["good.jpg"]
    assert notes == ["2 of 3 images can't be read and were left out: cut.jpg is truncated; empty.jpg is an empty file."]
    assert decoding.usable(good, bad_folder) == (good, [])
    del findings["good.jpg"]
    with pytest.raises(LabError, match="None of the 2 images"):
        decoding.usable(findings, bad_folder, skip_bad=True)


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
