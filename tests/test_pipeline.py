"""Decoding into arrays, augmentation against independent transforms, batches that repeat, and memory flat in n."""

import numpy as np
import pytest
import scipy.ndimage
from PIL import Image

from lab_utils.core.errors import LabError
from lab_utils.data import pipeline
from lab_utils.data.pipeline import Augment


@pytest.fixture
def files(tmp_path):
    """Seven smooth pictures of different shapes."""
    rng = np.random.default_rng(0)
    paths = []
    for number in range(7):
        small = Image.fromarray(rng.integers(0, 255, (5, 5, 3), np.uint8))
        path = tmp_path / f"{number}.png"
        small.resize((30 + 10 * number, 40), Image.Resampling.BICUBIC).save(path)
        paths.append(str(path))
    return paths


def smooth(height=21, width=25, seed=0):
    pixels = np.random.default_rng(seed).integers(0, 255, (4, 4, 3), np.uint8)
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC)).astype(np.float32)


def draws(angle=0.5, right=0.5, down=0.5, flip=0.9):
    return np.array([[angle, right, down, flip, 0, 0]], np.float32)


# ---- resizing -------------------------------------------------------------------------------------------------------
def test_decoded_array_equals_each_file_resized_and_is_made_once(files, tmp_path, monkeypatch):
    array = pipeline.decoded(files, 16, folder=tmp_path / "cache", key="k")
    assert array.shape == (7, 16, 16, 3) and array.dtype == np.uint8
    for pixels, path in zip(array, files, strict=True):
        assert (pixels == np.asarray(Image.open(path).resize((16, 16), Image.Resampling.BILINEAR))).all()
    monkeypatch.setattr(pipeline, "decode", lambda path: pytest.fail("opened again"))
    assert (pipeline.decoded(files, 16, folder=tmp_path / "cache", key="k") == array).all()


@pytest.mark.parametrize("batch", [2, 3, 7, 50])
def test_decoded_batches_hold_each_file_in_order(files, batch):
    got = list(pipeline.decoded_batches(files, 16, batch))
    assert [len(one) for one in got[:-1]] == [batch] * (len(got) - 1)
    wanted = np.stack([np.asarray(Image.open(path).resize((16, 16), Image.Resampling.BILINEAR)) for path in files])
    np.testing.assert_array_equal(np.concatenate(got), wanted)


def test_decoded_batches_say_which_file_is_bad(files, tmp_path):
    (tmp_path / "bad.png").write_bytes(b"no image")
    with pytest.raises(LabError, match=r"bad\.png"):
        list(pipeline.decoded_batches([*files, tmp_path / "bad.png"], 16, batch=2))


def test_large_decoded_array_stays_on_disk(files, tmp_path, monkeypatch):
    whole = pipeline.decoded(files, 16, key="k", folder=tmp_path / "cache")
    monkeypatch.setattr(pipeline, "IN_MEMORY", 100)
    mapped = pipeline.decoded(files, 16, key="k", folder=tmp_path / "cache")
    assert isinstance(mapped, np.memmap) and not mapped.flags.writeable and (mapped == whole).all()


def test_a_bad_file_leaves_no_half_array(files, tmp_path):
    (tmp_path / "bad.png").write_bytes(b"")
    with pytest.raises(LabError, match=r"bad.png is an empty file"):
        pipeline.decoded([*files, str(tmp_path / "bad.png")], 16, key="k", folder=tmp_path / "cache")
    assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [".lock"]


def test_memory_of_decoding_does_not_grow_with_the_number_of_images(files, tmp_path, monkeypatch):
    import tracemalloc

    monkeypatch.setattr(pipeline, "CHUNK", 8)
    monkeypatch.setattr(pipeline, "IN_MEMORY", 0)
    peaks = []
    for times in (4, 40):
        tracemalloc.start()
        array = pipeline.decoded(files * times, 64, key="k", folder=tmp_path / "cache")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 3 * peaks[0] and peaks[1] < array.nbytes / 4


# ---- augmentation ---------------------------------------------------------------------------------------------------
def test_no_rotation_shift_or_flip_changes_nothing():
    image = smooth()
    assert np.allclose(Augment().apply(image[None], draws())[0], image, atol=1e-3)


def test_flip_mirrors_left_to_right():
    image = smooth()
    flipped = Augment().apply(image[None], draws(flip=0.1))[0]
    assert np.allclose(flipped, image[:, ::-1], atol=1e-3)
    assert np.allclose(Augment(flip=False).apply(image[None], draws(flip=0.1))[0], image, atol=1e-3)


def test_quarter_turn_equals_rot90():
    image = smooth(21, 21)
    turned = Augment(rotation=90, flip=False).apply(image[None], draws(angle=1.0))[0]
    expected = [np.rot90(image, 1), np.rot90(image, 3)]
    assert min(np.abs(turned - one).max() for one in expected) < 1e-2


def test_shift_moves_right_and_down_by_its_share():
    image = smooth(20, 30)
    moved = np.asarray(Augment(shift=0.1, flip=False).apply(image[None], draws(right=1.0, down=1.0))[0])
    assert np.allclose(moved[2:, 3:], image[:-2, :-3], atol=1e-3)
    assert np.allclose(moved[0, 3:], image[0, :-3], atol=1e-3)  # the edge is repeated


def test_a_crop_is_a_part_of_the_picture_enlarged_in_a_place_that_is_drawn():
    """Against scipy's zoom of the same part; the place goes from the one corner to the other."""
    image = smooth(40, 40, seed=2)
    numbers = [np.array([[0.5, 0.5, 0.5, 0.9, across, down]], np.float32) for across, down in ((0.0, 0.0), (1.0, 0.0))]
    found = [np.asarray(Augment(crop=0.5, flip=False).apply(image[None], one)[0]) for one in numbers]
    for got, columns in zip(found, (slice(20, 40), slice(0, 20)), strict=True):
        part = image[20:, columns]
        wanted = scipy.ndimage.zoom(part, (2, 2, 1), order=1, grid_mode=True, mode="nearest")
        np.testing.assert_allclose(got[1:-1, 1:-1], wanted[1:-1, 1:-1], atol=1e-2)


@pytest.mark.parametrize("fill, mode", [("nearest", "nearest"), ("constant", "grid-constant")])
def test_rotation_with_shift_equals_scipy(fill, mode):
    image = smooth(31, 41, seed=3)
    got = Augment(rotation=30, shift=0.1, flip=False, fill=fill).apply(image[None], draws(0.9, 0.8, 0.3))[0]
    angle, right, down = 0.8 * np.deg2rad(30), 0.6 * 0.1 * 41, -0.4 * 0.1 * 31
    matrix = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])  # (row, column) order
    centre, moved = np.array([15.0, 20.0]), np.array([15.0 + down, 20.0 + right])
    both = [
        np.stack([scipy.ndimage.affine_transform(image[..., c], m, o, order=1, mode=mode) for c in range(3)], -1)
        for m, o in ((matrix, centre - matrix @ moved), (matrix.T, centre - matrix.T @ moved))
    ]
    errors = [np.abs(got - one).max() for one in both]
    assert min(errors) < 0.05 and max(errors) > 5


# ---- batches --------------------------------------------------------------------------------------------------------
def drawn(n, seed=0):
    return np.random.default_rng(seed).random((n, pipeline.DRAWS), dtype=np.float32)


def test_augmentation_of_an_image_does_not_depend_on_its_batch():
    images, draws = np.stack([smooth(seed=seed) for seed in range(4)]), drawn(4, 3)
    whole = Augment().apply(images, draws)
    alone = [Augment().apply(images[[i]], draws[[i]])[0] for i in range(4)]
    assert np.allclose(whole, alone, atol=1e-3)


def test_crop_takes_the_centre_or_a_random_place():
    images = np.stack([smooth(16, 16, seed) for seed in range(7)])
    draws = drawn(7, 1)
    assert (pipeline.cropped(images, draws, 8, False) == images[:, 4:12, 4:12]).all()
    places = set()
    for image, part in zip(images, pipeline.cropped(images, draws, 8, True).numpy(), strict=True):
        fits = [
            (top, left)
            for top in range(9)
            for left in range(9)
            if np.allclose(image[top : top + 8, left : left + 8], part, atol=1e-2)
        ]
        assert len(fits) == 1
        places.add(fits[0])
    assert len(places) > 3


def test_padded_images_keep_aspect_and_area_and_mask_the_padding(files):
    images = pipeline.PaddedImages(files, 900)
    rows = np.array([5, 0, 3, 1])
    padded, masks = images.batch_of(rows)
    assert padded.dtype == np.uint8 and padded.shape[:3] == masks.shape
    for image, inside, row in zip(padded, masks, rows, strict=True):
        height, width = int(inside[:, 0].sum()), int(inside[0].sum())
        original = Image.open(files[row])
        assert abs(height * width - 900) < 40 and abs(width / height - original.width / original.height) < 0.06
        assert inside.sum() == height * width and (image[inside == 0] == 0).all()
        resized = np.asarray(original.resize((width, height), Image.Resampling.BILINEAR))
        assert (image[:height, :width] == resized).all()


def test_a_batch_is_no_larger_than_its_largest_image_up_to_the_multiple(files):
    masks = pipeline.PaddedImages(files, 900).batch_of(np.arange(7))[1]
    assert masks.any(axis=(0, 2)).all() and masks.any(axis=(0, 1)).all()
    wide = pipeline.PaddedImages(files, 900, multiple=32).batch_of(np.arange(7))[1]
    assert wide.shape[1] == -(-masks.shape[1] // 32) * 32 and wide.shape[2] == -(-masks.shape[2] // 32) * 32
    assert wide.sum() == masks.sum()


def test_given_aspect_undoes_squashing(tmp_path):
    Image.fromarray(np.zeros((20, 20, 3), np.uint8)).save(tmp_path / "square.png")
    images = pipeline.PaddedImages([tmp_path / "square.png"] * 2, 400, np.array([4.0, 0.25]))
    assert [images.batch_of(np.array([row]))[0].shape[1:3] for row in (0, 1)] == [(10, 40), (40, 10)]


def test_extreme_aspect_is_limited():
    assert pipeline.shape_of_area(800, 100.0) == (10, 80) and pipeline.shape_of_area(800, 0.001) == (80, 10)


def test_thumbnail_has_the_aspect_of_the_original_and_is_never_enlarged(files, monkeypatch):
    assert np.prod(pipeline.thumbnail(files[0], 1.0).shape[:2]) <= 1.05 * 30 * 40
    monkeypatch.setattr(pipeline, "THUMBNAIL", 400)
    assert pipeline.thumbnail(files[3], 2.0).shape == (14, 28, 3)
