"""From image files to arrays and padded batches: decode, resize, move at random, crop; flat in memory."""

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from PIL import Image

from lab_utils.core import records, store
from lab_utils.data.decoding import decode

if TYPE_CHECKING:
    import tensorflow as tf

IN_MEMORY = 256 * 2**20  # bytes; a larger decoded set stays on disk
DRAWS = 6  # random numbers an image: angle, shifts, flip, crop
WIDEST = 8.0  # aspect ratios beyond 8:1 and 1:8 are squashed to it: one such image would blow up its whole batch
CHUNK = 256  # images decoded ahead of what is written
THUMBNAIL = 40_000  # pixels of a thumbnail, at most


# ---- files to fixed-size arrays -------------------------------------------------------------------------------------
def to_shape(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize uint8 (H, W, 3) to uint8 (height, width, 3) by antialiased bilinear interpolation."""
    if pixels.shape[:2] == (height, width):
        return pixels
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR))


def square(path: str | Path, size: int) -> np.ndarray:
    """An image file squashed to a square, whatever its aspect ratio, uint8 (size, size, 3)."""
    return to_shape(decode(path), size, size)


def thumbnail(path: str | Path, aspect: float) -> np.ndarray:
    """A small copy of an image in the `aspect` (width / height) of its original, uint8 (h, w, 3)."""
    image = decode(path)
    return to_shape(image, *shape_of_area(min(THUMBNAIL, image.shape[0] * image.shape[1]), aspect))


def decoded(
    paths: Sequence[str | Path],
    size: int,
    *,
    key: str,
    folder: Path | None = None,
) -> np.ndarray:
    """Decode many images once, in threads, as squares; the next call with the same key only opens the result.

    Args:
        paths: of N image files.
        size: side in pixels.
        key: stands for the content and order of the images (a table's `data_hash`, and which rows of it).
        folder: where the array is kept; default `data/cache/decoded`.

    Returns:
        uint8 (N, size, size, 3), in memory up to `IN_MEMORY` bytes, above that memory-mapped and read-only. Making it
        holds `CHUNK` images at a time.

    Raises:
        LabError: an image can't be read, or the disk is full.
    """
    artefact = _stored(len(paths), size, key, folder)
    artefact.load_or_make(
        lambda temporary: store.write_rows(temporary, len(paths), _chunks(paths, size)),
        title=f"images at {size} px",
    )
    return np.load(artefact.path, mmap_mode="r" if artefact.path.stat().st_size > IN_MEMORY else None)


def decoding_seconds(n: int, size: int, *, key: str, folder: Path | None = None) -> float | None:
    """Seconds that decoding n images at a size took when it was done (`decoded`); None where that isn't known."""
    return _stored(n, size, key, folder).seconds


def _stored(n: int, size: int, key: str, folder: Path | None) -> store.Artefact:
    home = folder or records.PROJECT / "data" / "cache" / "decoded"
    return store.Artefact.under(home, f"{size}px", [key, n, size, "squash"], code=(__name__,))


def decoded_batches(paths: Sequence[str | Path], size: int, batch: int = 32) -> Iterator[np.ndarray]:
    """Yield uint8 batches of squares (B, size, size, 3) in order; threads decode the next two while one is used.

    Args:
        paths: of N image files.
        size: side in pixels.
        batch: images a batch; the last one may be smaller.

    Raises:
        LabError: an image can't be read.
    """
    starts, waiting = range(0, len(paths), batch), deque[list]()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in [*starts, None, None]:
            if start is not None:
                part = paths[start : start + batch]
                waiting.append([pool.submit(square, path, size) for path in part])
            if waiting and (start is None or len(waiting) > 2):
                yield np.stack([image.result() for image in waiting.popleft()])


def _chunks(paths: Sequence, size: int) -> Iterator[np.ndarray]:
    """The images, up to `CHUNK` at a time, uint8 (n, size, size, 3)."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, max(len(paths), 1), CHUNK):
            chunk = paths[start : start + CHUNK]
            yield np.array([*pool.map(square, chunk, [size] * len(chunk))], np.uint8).reshape(-1, size, size, 3)
            if start and start % (20 * CHUNK) == 0:
                print(f"  {start:,} of {len(paths):,} images decoded at {size} px")


# ---- augmentation ---------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Augment:
    """Random rotation, shift, mirroring and cropping, computed from given random numbers only (stateless).

    Attributes:
        rotation: largest angle, in degrees either way.
        shift: largest shift, as share of height and width, either way.
        flip: mirror half of the images left to right.
        crop: side of a crop in a random place, as share of the image's; it is enlarged to the image's size. 1: none.
        fill: what comes in at the borders: `nearest` repeats the edge, `constant` is black.
    """

    rotation: float = 30.0
    shift: float = 0.1
    flip: bool = True
    crop: float = 1.0
    fill: Literal["nearest", "constant"] = "nearest"

    def apply(self, images: "tf.Tensor", draws: "tf.Tensor", sides: "tf.Tensor | None" = None) -> "tf.Tensor":
        """Transform a batch; works in eager mode and in a graph.

        Args:
            images: (B, H, W, 3), any number type and range.
            draws: (B, DRAWS), random numbers in [0, 1).
            sides: height and width of each image at the upper left of its (H, W), (B, 2); None: it fills them.

        Returns:
            float32 (B, H, W, 3), within the range of the input.
        """
        import tensorflow as tf

        images, draws = tf.cast(images, tf.float32), tf.cast(draws, tf.float32)
        shape = tf.shape(images)[1:3]
        sides = tf.cast(shape[None] if sides is None else sides, tf.float32)
        moved = tf.raw_ops.ImageProjectiveTransformV3(
            images=images,
            transforms=self._transforms(draws, sides[:, 0], sides[:, 1]),
            output_shape=shape,
            fill_value=0.0,
            interpolation="BILINEAR",
            fill_mode=self.fill.upper(),
        )
        moved.set_shape(images.shape)
        return moved

    def _transforms(self, draws: "tf.Tensor", height: "tf.Tensor", width: "tf.Tensor") -> "tf.Tensor":
        """Rows (B, 8) that map an output pixel to where it comes from: mirror, then shift, turn, shrink it."""
        import math

        import tensorflow as tf

        angle = (2 * draws[:, 0] - 1) * self.rotation * math.pi / 180
        right, down = (2 * draws[:, 1] - 1) * self.shift * width, (2 * draws[:, 2] - 1) * self.shift * height
        if self.crop < 1:
            spare = (1 - self.crop) / (2 * self.crop)  # of the enlarged picture, on either side
            right, down = right + (2 * draws[:, 4] - 1) * spare * width, down + (2 * draws[:, 5] - 1) * spare * height
        mirror = tf.where(draws[:, 3] < 0.5, -1.0, 1.0) if self.flip else tf.ones_like(angle)
        cos, sin = self.crop * tf.cos(angle), self.crop * tf.sin(angle)
        x, y = (width - 1) / 2, (height - 1) / 2
        zero = tf.zeros_like(angle)
        across = x - mirror * cos * (x + right) + mirror * sin * (y + down)
        along = y - sin * (x + right) - cos * (y + down)
        return tf.stack([mirror * cos, -mirror * sin, across, sin, cos, along, zero, zero], axis=1)


# ---- batches --------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, eq=False)
class PaddedImages:
    """Images that keep their aspect ratio at about equal area; each batch is padded with zeros to its largest.

    The variable-shape setting of Parés et al. 2022 (doi:10.1007/s10489-021-02951-w).

    Attributes:
        paths: of N image files.
        pixels: area of each image (R65k is 65,536).
        aspect: width / height of each original, (N,): undoes the squashing of 256x256 copies. None: the file's own.
        multiple: height and width of a batch are multiples of it.
    """

    paths: Sequence[str | Path]
    pixels: int = 65536
    aspect: np.ndarray | None = None
    multiple: int = 1

    def batch_of(self, rows: np.ndarray) -> list[np.ndarray]:
        """Some of the images, padded to each other.

        Args:
            rows: positions in `paths`, shape (B,).

        Returns:
            uint8 (B, H, W, 3), and float32 (B, H, W) that is 1 on the image and 0 on the padding. Aspect ratios beyond
            `WIDEST` are squashed to it.

        Raises:
            LabError: an image can't be read.
        """
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            images = list(pool.map(self._image, rows))
        height, width = (-(-max(image.shape[axis] for image in images) // self.multiple) for axis in (0, 1))
        shape = (len(images), height * self.multiple, width * self.multiple)
        padded, mask = np.zeros((*shape, 3), np.uint8), np.zeros(shape, np.float32)
        for place, image in enumerate(images):
            padded[place, : image.shape[0], : image.shape[1]] = image
            mask[place, : image.shape[0], : image.shape[1]] = 1
        return [padded, mask]

    def _image(self, row: int) -> np.ndarray:
        image = decode(self.paths[row])
        aspect = image.shape[1] / image.shape[0] if self.aspect is None else float(self.aspect[row])
        return to_shape(image, *shape_of_area(self.pixels, aspect))


def shape_of_area(pixels: int, aspect: float) -> tuple[int, int]:
    """Height and width of an image with about `pixels` pixels and `aspect` = width / height (within `WIDEST`)."""
    aspect = min(max(aspect, 1 / WIDEST), WIDEST)
    height = (pixels / aspect) ** 0.5
    return max(1, round(height)), max(1, round(height * aspect))


def cropped(images: "tf.Tensor", draws: "tf.Tensor", crop: int, at_random: bool) -> "tf.Tensor":
    """Cut a square of `crop` pixels out of (B, S, S, 3): one place an image by its draws (B, DRAWS), or the centre."""
    import tensorflow as tf

    room = images.shape[1] - crop
    if not at_random:
        return images[:, room // 2 : room // 2 + crop, room // 2 : room // 2 + crop]
    top, left = (tf.cast(draws[:, column] * (room + 1), tf.int32) for column in (4, 5))
    rows, columns = (start[:, None] + tf.range(crop)[None] for start in (top, left))
    return tf.gather(tf.gather(images, rows, batch_dims=1), columns, axis=2, batch_dims=1)
