"""What a network is fed, from where it lies: the card's memory where it fits, else main memory or disk.

A training step is given row numbers and looks the pictures up itself (`Held`), or is given the pictures, read ahead of
it (`Read`). The order of the rows is drawn from seed and epoch alone, so a run that was killed sees the same batches.
"""

import math
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from lab_utils.core import usage
from lab_utils.core.errors import LabError
from lab_utils.data import pipeline
from lab_utils.data.splits import SPLITS, SplitImages
from lab_utils.training.model_key import values_hash

if TYPE_CHECKING:
    import tensorflow as tf

IN_MEMORY = 256 * 2**20  # bytes of padded batches that are kept as they are
SHARE = 0.25  # of the memory, for what is held for one process
AHEAD = 2  # batches read before they are asked for


@dataclass(eq=False)
class Split:
    """Rows that a network is trained or tried on.

    Attributes:
        inputs: what the network takes, one row an image: an array (or memory map) of shape (N, ...), or a list, tuple
            or dict of such; or an object whose `batch_of(rows)` gives the arrays of a batch (pictures of several
            shapes, padded to each other).
        labels: class of each of the `rows`, (n,); None: not known here (test).
        rows: positions in `inputs`, (n,); None: all.
        key: plain value that stands for the content of `inputs`; None: all of it is read and hashed.
    """

    inputs: Any
    labels: np.ndarray | None = None
    rows: np.ndarray | None = None
    key: Any = None

    def __len__(self) -> int:
        """Number of images."""
        return len(self.positions)

    @property
    def arrays(self) -> list[Any]:
        """The arrays of `inputs`, in Keras's order; of an object that makes its batches, that object."""
        import keras

        if self.makes_batches:
            return [self.inputs]
        return [array.to_numpy() if hasattr(array, "to_numpy") else array for array in keras.tree.flatten(self.inputs)]

    @property
    def makes_batches(self) -> bool:
        """Whether an image's input depends on the batch that it is in."""
        return hasattr(self.inputs, "batch_of")

    @property
    def positions(self) -> np.ndarray:
        """Positions in `inputs`, int64 (n,)."""
        if self.rows is not None:
            return np.asarray(self.rows)
        if self.labels is not None:
            return np.arange(len(self.labels))
        return np.arange(len(self.arrays[0]))

    @property
    def example(self) -> Any:
        """Inputs of the first image, nested as `inputs` are."""
        import keras

        some = self.positions[:1]
        if self.makes_batches:
            return self.inputs.batch_of(some)
        first = [np.asarray(array[some], np.float32) for array in self.arrays]
        return keras.tree.pack_sequence_as(self.inputs, first) if keras.tree.is_nested(self.inputs) else first[0]

    @cached_property
    def content(self) -> Any:
        """Plain values that stand for inputs, rows and labels."""
        inputs = self.key
        if inputs is None:
            if self.makes_batches:
                raise LabError("Inputs that make their own batches need a key that stands for their content.")
            inputs = values_hash([np.asarray(array[self.positions]) for array in self.arrays])
        labels = None if self.labels is None else values_hash([np.asarray(self.labels, np.int64)])
        return [inputs, values_hash([np.asarray(self.positions, np.int64)]), labels]


def splits_of(
    images: SplitImages, cap: int | None = None, *, size: int | None = None, inputs: Any = None, key: Any = None
) -> dict[str, Split]:
    """The rows of a run's images by split; labels of test are not there.

    Args:
        images: of the run.
        cap: train images a class, at most; None: all.
        size: side in pixels of the images that the network takes.
        inputs: what it takes instead, with a row for each image of the run.
        key: plain value that stands for the content of `inputs`.
    """
    if inputs is None:
        inputs, key = images.pixels(size), ["pixels", images.data_hash, size, usage.code_hash(pipeline.__name__)]
    rows = {split: images.rows(split, cap) for split in SPLITS}
    labels = {split: None if split == "test" else images.labels[rows[split]] for split in SPLITS}
    return {split: Split(inputs, labels[split], rows[split], key) for split in SPLITS}


class Picked:
    """Some rows of an array, indexed like an array of their own (nothing is copied before it is asked for)."""

    def __init__(self, array: Any, rows: np.ndarray):
        self.array, self.rows, self.dtype = array, np.asarray(rows), array.dtype
        self.shape = (len(self.rows), *array.shape[1:])

    def __getitem__(self, places: Any) -> np.ndarray:
        return np.asarray(self.array[self.rows[places]])

    def __len__(self) -> int:
        return len(self.rows)


# ---- where the rows lie ----------------------------------------------------------------------------------------------
class Read:
    """Rows read from main memory or disk, batch by batch, ahead of the network.

    Attributes:
        specs: shapes (B, ...) and number types of what `take` gives.
        variables: none; see `Held`.
    """

    variables = ()

    def __init__(self, split: Split):
        import tensorflow as tf

        self.split, self.positions, self.failure = split, split.positions, None
        first = self.take(np.arange(1))
        self.specs = [tf.TensorSpec(_shape_of_batches(array, split.makes_batches), array.dtype) for array in first]

    def take(self, rows: np.ndarray) -> list[np.ndarray]:
        """Inputs of some rows of the split."""
        import keras

        positions = self.positions[np.asarray(rows)]
        if self.split.makes_batches:
            return [np.asarray(array) for array in keras.tree.flatten(self.split.inputs.batch_of(positions))]
        return [np.asarray(array[positions]) for array in self.split.arrays]

    def fed(self, rows: "tf.Tensor") -> Any:
        """What a step is given for a batch of row numbers: their inputs, read while it works on the ones before."""
        import tensorflow as tf

        def take(numbers: np.ndarray) -> list[np.ndarray]:
            try:
                return self.take(numbers)
            except Exception as error:  # TensorFlow would give only its text
                self.failure = error
                raise

        arrays = tf.numpy_function(take, [rows], [spec.dtype for spec in self.specs], stateful=False)
        return tuple(tf.ensure_shape(array, spec.shape) for array, spec in zip(arrays, self.specs, strict=True))

    @staticmethod
    def inside(batch: tuple, variables: tuple) -> list[Any]:
        """Inputs, of what `fed` gave a step."""
        return list(batch)

    def batches(self, rows: np.ndarray, size: int) -> Iterator[list[Any]]:
        """Inputs of the given rows in order; the next batch is read while the network works on the one before."""
        parts = [rows[start : start + size] for start in range(0, len(rows), size)]
        with ThreadPoolExecutor(1) as reader:
            coming = reader.submit(self.take, parts[0])
            for part in [*parts[1:], None]:
                ready = coming.result()
                coming = reader.submit(self.take, part) if part is not None else coming
                yield ready


def _shape_of_batches(array: np.ndarray, padded: bool) -> list[int | None]:
    """Shape of any batch, from one; of padded pictures only the number of channels is the same in all."""
    if not padded:
        return [None, *array.shape[1:]]
    return [None] * (array.ndim - 1) + [array.shape[-1] if array.ndim == 4 else None]


class Held:
    """Rows that lie in the memory of the device that computes, looked up by number inside a step.

    Attributes:
        variables: the rows, handed to a compiled step, so that it serves any data of this kind. (They are no constants,
            because those would be copied into the step, and a card can't look uint8 up in a constant.)
        size: bytes.
    """

    failure = None

    def __init__(self, split: Split):
        import tensorflow as tf

        arrays = [np.asarray(array[split.positions]) for array in split.arrays]
        self.size = sum(array.nbytes for array in arrays)
        self.variables = tuple(tf.Variable(array, False, shape=[None, *array.shape[1:]]) for array in arrays)

    def fed(self, rows: "tf.Tensor") -> Any:
        """What a step is given for a batch of row numbers: these alone."""
        return rows

    @staticmethod
    def inside(batch: Any, variables: tuple) -> list["tf.Tensor"]:
        """Inputs, of what `fed` gave a step."""
        import tensorflow as tf

        return [tf.gather(variable, batch) for variable in variables]

    def batches(self, rows: np.ndarray, size: int) -> Iterator[list[Any]]:
        """Inputs of the given rows in order."""
        for start in range(0, len(rows), size):
            yield self.inside(np.asarray(rows[start : start + size], np.int32), self.variables)


Source = Read | Held
_held: "OrderedDict[str, Held]" = OrderedDict()


def source(split: Split, key: str) -> Source:
    """Lay the rows of a split where they fit; what is held already under the same key is used again."""
    if split.makes_batches:
        return Read(split)
    if key not in _held:
        row = sum(int(np.prod(np.shape(array)[1:])) * np.dtype(array.dtype).itemsize for array in split.arrays)
        room = SHARE * memory() - row * len(split)
        if room < 0:
            return Read(split)
        while sum(held.size for held in _held.values()) > room:  # what was used longest ago has to go
            _held.popitem(last=False)
        _held[key] = Held(split)
    _held.move_to_end(key)
    return _held[key]


def memory() -> float:
    """Bytes of memory of the device that computes."""
    import psutil
    import tensorflow as tf

    if tf.config.list_physical_devices("GPU"):
        from tensorflow.python.client import device_lib

        return max(device.memory_limit for device in device_lib.list_local_devices() if device.device_type == "GPU")
    return psutil.virtual_memory().total


# ---- an epoch --------------------------------------------------------------------------------------------------------
class Epochs:
    """The train rows of one epoch after the other, as `model.fit` takes them.

    Attributes:
        epoch: the coming one, from 0; set before each (the order is drawn from it).
        steps: batches an epoch.
    """

    def __init__(self, labels: np.ndarray, batch: int, seed: int, classes: int | None):
        """Take integer labels; `classes`: of the one-hot labels that the loss wants (None: it wants integers)."""
        self.labels, self.batch, self.seed, self.classes = np.asarray(labels, np.int32), batch, seed, classes
        self.epoch, self.steps = 0, math.ceil(len(self.labels) / batch)

    def order(self) -> np.ndarray:
        """Rows in the order of this epoch, int32 (n,)."""
        return np.random.default_rng([self.seed, self.epoch]).permutation(len(self.labels)).astype(np.int32)

    def dataset(self, where: Source, weights: Sequence[float] | None = None) -> "tf.data.Dataset":
        """Batches `(rows or inputs, labels)`, or with the weight of each image's class as a third part."""
        import tensorflow as tf

        labels = self.labels if self.classes is None else np.eye(self.classes, dtype=np.float32)[self.labels]
        columns = [labels] if weights is None else [labels, np.asarray(weights, np.float32)[self.labels]]
        spec = tf.TensorSpec((len(self.labels),), tf.int32)
        orders = tf.data.Dataset.from_generator(lambda: iter([self.order()]), output_signature=spec)
        rows = orders.flat_map(lambda order: tf.data.Dataset.from_tensor_slices(order).batch(self.batch))
        batches = rows.map(lambda numbers: (where.fed(numbers), *(tf.gather(column, numbers) for column in columns)))
        return batches.apply(tf.data.experimental.assert_cardinality(self.steps)).prefetch(AHEAD)
