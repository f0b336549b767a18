"""From image files to batches: decode, resize, crop, augment, batch; flat in memory and the same with the same seed.

Random draws belong to an image and an epoch, not to a moment: they are made from (seed, epoch) for all images at once,
so neither threads nor the batch size change them.
"""

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from PIL import Image

from lab_utils.core import records, store
from lab_utils.data.decoding import decode

if TYPE_CHECKING:
    import tensorflow as tf

IN_MEMORY = 256 * 2**20  # bytes; a larger decoded set stays on disk
DRAWS = 6  # random numbers an image and epoch: angle, shifts, flip, crop
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

    @staticmethod
    def draw(n: int, seed: int, epoch: int = 0) -> np.ndarray:
        """Random numbers for n images in one epoch: float32 (n, DRAWS) in [0, 1)."""
        return np.random.default_rng([seed, epoch]).random((n, DRAWS), dtype=np.float32)

    def apply(self, images: "tf.Tensor", draws: "tf.Tensor") -> "tf.Tensor":
        """Transform a batch; works in eager mode and in a graph.

        Args:
            images: (B, H, W, 3), any number type and range.
            draws: (B, DRAWS) in [0, 1), from `draw`.

        Returns:
            float32 (B, H, W, 3), within the range of the input.
        """
        import tensorflow as tf

        images, draws = tf.cast(images, tf.float32), tf.cast(draws, tf.float32)
        shape = tf.shape(images)
        moved = tf.raw_ops.ImageProjectiveTransformV3(
            images=images,
            transforms=self._transforms(draws, tf.cast(shape[1], tf.float32), tf.cast(shape[2], tf.float32)),
            output_shape=shape[1:3],
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
def variable_shape_batches(
    images_or_paths: np.ndarray | Sequence[str | Path],
    labels: np.ndarray,
    *,
    pixels: int = 65536,
    batch: int = 8,
    seed: int = 0,
    augment: Augment | None = None,
    aspect: np.ndarray | None = None,
    first_epoch: int = 0,
) -> "tf.data.Dataset":
    """Batches of images that keep their aspect ratio at about equal area, padded with zeros to the batch's largest.

    The variable-shape setting of Parés et al. 2022 (doi:10.1007/s10489-021-02951-w).

    Args:
        images_or_paths: uint8 (N, h, w, 3), or N paths.
        labels: integers (N,).
        pixels: area of each image (R65k is 65,536).
        batch: images a batch.
        seed: of the augmentation.
        augment: random transformation, before padding.
        aspect: width / height of each original, (N,): undoes the squashing of 256x256 copies. None: the file's own.
        first_epoch: the epoch of the first pass.

    Returns:
        Elements `((images, mask), labels)`: float32 (B, H, W, 3) in 0..255, float32 (B, H, W) that is 1 on the image
        and 0 on the padding, int32 (B,). Aspect ratios beyond `WIDEST` are squashed to it.
    """
    import tensorflow as tf

    def read(row: np.ndarray) -> np.ndarray:
        image = _pixels(images_or_paths, int(row))
        wanted = image.shape[1] / image.shape[0] if aspect is None else float(aspect[row])
        return to_shape(image, *shape_of_area(pixels, wanted))

    def make(row: "tf.Tensor", draws: "tf.Tensor") -> Any:
        image = tf.ensure_shape(tf.numpy_function(read, [row], tf.uint8, stateful=False), (None, None, 3))
        image = augment.apply(image[None], draws[None])[0] if augment else tf.cast(image, tf.float32)
        return (image, tf.ones(tf.shape(image)[:2])), known[row]

    known = tf.constant(np.asarray(labels), tf.int32)
    order = _Order(len(images_or_paths), batch, seed, first_epoch)
    single = order.dataset().unbatch().map(make, num_parallel_calls=tf.data.AUTOTUNE)
    padded = single.padded_batch(batch, padded_shapes=(([None, None, 3], [None, None]), []))
    return order.counted(padded).prefetch(2)


def shape_of_area(pixels: int, aspect: float) -> tuple[int, int]:
    """Height and width of an image with about `pixels` pixels and `aspect` = width / height (within `WIDEST`)."""
    aspect = min(max(aspect, 1 / WIDEST), WIDEST)
    height = (pixels / aspect) ** 0.5
    return max(1, round(height)), max(1, round(height * aspect))


@dataclass
class _Order:
    """Which rows with which random numbers make each batch; every pass is the next epoch."""

    n: int
    batch: int
    seed: int
    epoch: int

    def __call__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        epoch, self.epoch = self.epoch, self.epoch + 1
        draws = Augment.draw(self.n, self.seed, epoch)
        for start in range(0, self.n, self.batch):
            rows = np.arange(start, min(start + self.batch, self.n))
            yield rows, draws[rows]

    def dataset(self) -> "tf.data.Dataset":
        import tensorflow as tf

        signature = (tf.TensorSpec((None,), tf.int64), tf.TensorSpec((None, DRAWS), tf.float32))
        return tf.data.Dataset.from_generator(self, output_signature=signature)

    def counted(self, batches: "tf.data.Dataset") -> "tf.data.Dataset":
        """The same data set, which knows how many batches a pass has."""
        import tensorflow as tf

        return batches.apply(tf.data.experimental.assert_cardinality(-(-self.n // self.batch)))


def _pixels(images_or_paths: np.ndarray | Sequence[str | Path], row: int) -> np.ndarray:
    item = images_or_paths[row]
    return np.asarray(item) if isinstance(item, np.ndarray) else decode(item)


def cropped(images: "tf.Tensor", draws: "tf.Tensor", crop: int, at_random: bool) -> "tf.Tensor":
    """Cut a square of `crop` pixels out of (B, S, S, 3): one place an image by its draws (B, DRAWS), or the centre."""
    import tensorflow as tf

    room = images.shape[1] - crop
    if not at_random:
        return images[:, room // 2 : room // 2 + crop, room // 2 : room // 2 + crop]
    top, left = (tf.cast(draws[:, column] * (room + 1), tf.int32) for column in (4, 5))
    rows, columns = (start[:, None] + tf.range(crop)[None] for start in (top, left))
    return tf.gather(tf.gather(images, rows, batch_dims=1), columns, axis=2, batch_dims=1)
