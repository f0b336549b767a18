"""EfficientNet-Lite 0, 1, 2 in Keras, and a strict reader of their weight files that needs numpy alone.

EfficientNet-Lite is EfficientNet (Tan and Le 2019, arXiv 1905.11946) without squeeze-excitation, with ReLU6 everywhere,
and with stem, head, first and last stage left unscaled. The weights come from pip as legacy torch files.
"""

import io
import math
import pickletools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from lab_utils.core.errors import LabError
from lab_utils.core.records import file_hash
from lab_utils.networks import fast_ops
from lab_utils.networks.building import source_of

if TYPE_CHECKING:
    import keras

WIDTH_DEPTH = {"lite0": (1.0, 1.0), "lite1": (1.0, 1.1), "lite2": (1.1, 1.2)}
STAGES = (  # repeats, kernel, stride, expansion, filters: EfficientNet-B0's table
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
BROKEN = (
    OSError,
    EOFError,
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    TypeError,
    ValueError,
)  # damaged
MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001  # what a legacy torch file begins with


# ---- the weight file ------------------------------------------------------------------------------------------------
@dataclass
class _Storage:
    """A run of numbers in the file: its type, its length, and (once read) its values."""

    dtype: np.dtype
    length: int
    values: np.ndarray | None = None


@dataclass(frozen=True)
class _View:
    """A tensor as the file tells it: a window on a storage."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def array(self) -> np.ndarray:
        """The tensor's values, copied; ValueError where it reaches beyond its storage or repeats its numbers."""
        _require(all(type(number) is int for number in (self.offset, *self.shape, *self.strides)))
        _require(len(self.shape) == len(self.strides))
        # in Python's whole numbers: numpy's own check of the bounds overflows
        last = self.offset + sum((n - 1) * step for n, step in zip(self.shape, self.strides, strict=True))
        values = self.storage.values
        before = min((self.offset, *self.strides)) < 0 or min((1, *self.shape)) < 1
        if before or last >= len(values) or math.prod(self.shape) > len(values):
            raise ValueError("a tensor reaches beyond its storage")
        step = values.itemsize
        return np.ndarray(
            self.shape, values.dtype, values, self.offset * step, tuple(step * stride for stride in self.strides)
        ).copy()


_NEW_DICT, _NEW_TENSOR = object(), object()
ALLOWED = {  # all that a weight file may name, and what it is read as
    "collections OrderedDict": _NEW_DICT,
    "torch._utils _rebuild_tensor_v2": _NEW_TENSOR,
    "torch FloatStorage": np.dtype("<f4"),
    "torch LongStorage": np.dtype("<i8"),
}
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}


def _interpret(stream: BinaryIO, storages: dict[str, _Storage]) -> Any:
    """Read one pickle by the few operations that weight files use; nothing is imported or called.

    Python's own unpickler would do more than that: a short file can make it take all memory, or crash it by a key that
    is nested deeply.

    Args:
        stream: stands where the pickle begins, and afterwards where it ends.
        storages: gets those that the pickle names.
    """
    stack: list[Any] = []
    marks: list[int] = []
    memo: dict[int, Any] = {}

    def taken(count: int | None = None) -> list[Any]:
        """Remove the last values from the stack: so many, or those since the last mark."""
        start = marks.pop() if count is None else len(stack) - count
        values = stack[start:]
        _require(0 <= start <= len(stack))
        del stack[start:]
        return values

    for operation, argument, _ in pickletools.genops(stream):
        match operation.name:
            case "PROTO":
                pass
            case "STOP":
                return stack.pop()
            case "BININT" | "BININT1" | "BININT2" | "LONG1" | "BINUNICODE":
                stack.append(argument)
            case "NONE" | "NEWTRUE" | "NEWFALSE":
                stack.append(CONSTANTS[operation.name])
            case "EMPTY_TUPLE" | "TUPLE1" | "TUPLE2" | "TUPLE3":
                stack.append(tuple(taken(("EMPTY_TUPLE", "TUPLE1", "TUPLE2", "TUPLE3").index(operation.name))))
            case "EMPTY_LIST":
                stack.append([])
            case "EMPTY_DICT":
                stack.append({})
            case "MARK":
                marks.append(len(stack))
            case "TUPLE":
                stack.append(tuple(taken()))
            case "APPEND" | "APPENDS":
                values = taken(1 if operation.name == "APPEND" else None)
                _require(type(stack[-1]) is list)
                stack[-1].extend(values)
            case "SETITEM" | "SETITEMS":
                values = taken(2 if operation.name == "SETITEM" else None)
                keys = values[::2]
                _require(type(stack[-1]) is dict and all(type(key) is str for key in keys))
                stack[-1].update(zip(keys, values[1::2], strict=True))
            case "BINPUT" | "LONG_BINPUT":
                memo[argument] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(memo[argument])
            case "GLOBAL":
                if argument not in ALLOWED:
                    raise LabError(
                        f"names {argument.replace(' ', '.')}, which no weight file needs, and was refused unread: "
                        "don't trust it."
                    )
                stack.append(ALLOWED[argument])
            case "BINPERSID":
                stack.append(_storage(stack.pop(), storages))
            case "REDUCE":
                what, arguments = taken(2)
                stack.append(_rebuilt(what, arguments))
            case "BUILD":
                stack.pop()  # notes on the state, which are not needed
            case name:
                raise LabError(
                    f"has the pickle operation {name}, which no weight file needs, and was refused unread: don't trust "
                    "it."
                )
    raise EOFError("it ends too early")


def _storage(saved: Any, storages: dict[str, _Storage]) -> _Storage:
    _, dtype, key, _, length, _ = saved
    _require(isinstance(dtype, np.dtype) and type(key) is str and type(length) is int)
    return storages.setdefault(key, _Storage(dtype, length))


def _rebuilt(what: Any, arguments: Any) -> "dict | _View":
    _require(type(arguments) is tuple)
    if what is _NEW_DICT and not arguments:
        return {}
    storage, offset, shape, strides, *_ = arguments
    _require(what is _NEW_TENSOR and type(storage) is _Storage and type(shape) is type(strides) is tuple)
    return _View(storage, offset, shape, strides)


def _require(true: bool) -> None:
    if not true:
        raise ValueError("it is not built as a weight file")


def read_state(path: Path | str) -> dict[str, np.ndarray]:
    """Read a legacy torch state file (`.pth`) with numpy alone.

    Args:
        path: the file; where its name ends in `-xxxxxxxx.pth`, these are the first digits of its SHA-256.

    Returns:
        `{parameter name: array}`, float32 (and int64 counters), in torch's axis order.

    Raises:
        LabError: the file is truncated, changed, no such file, or names a class outside the whitelist.
    """
    path = Path(path)
    try:
        state = _read(io.BytesIO(path.read_bytes()))  # in memory: no claimed length takes more than there is
    except LabError as error:
        raise LabError(f"{path} {error}") from None
    except BROKEN as error:
        raise LabError(f"{path} is truncated or no weight file ({error}): delete it and fetch it again.") from None
    digits = re.search(r"-([0-9a-f]{8})\.pth$", path.name)
    if digits and not file_hash(path).startswith(digits[1]):
        raise LabError(f"{path} was changed (its SHA-256 does not begin with {digits[1]}): fetch it again.")
    return state


def _read(stream: BinaryIO) -> dict[str, np.ndarray]:
    storages: dict[str, _Storage] = {}
    header = [_interpret(stream, {}) for _ in range(2)]
    if header != [MAGIC, PROTOCOL]:
        raise ValueError("it does not begin as a legacy torch file does")
    _interpret(stream, {})  # sizes of C types on the machine that wrote it
    views, keys = _interpret(stream, storages), _interpret(stream, {})
    _require(type(views) is dict and type(keys) is list and all(type(key) is str for key in keys))
    for key in keys:
        storage, length = storages[key], int.from_bytes(stream.read(8), "little")
        data = stream.read(length * storage.dtype.itemsize) if length == storage.length else b""
        if not length or len(data) != length * storage.dtype.itemsize:
            raise ValueError(f"storage {key} is not whole")
        storage.values = np.frombuffer(data, storage.dtype)
    return {name: view.array() for name, view in views.items()}


# ---- the network ----------------------------------------------------------------------------------------------------
def scaled_filters(filters: int, width: float) -> int:
    """Filters times `width`, rounded to a multiple of 8 and never down by more than a tenth."""
    wanted = filters * width
    rounded = max(8, int(wanted + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * wanted else rounded


def blocks(variant: str) -> Iterator[tuple[str, int, int, int, int]]:
    """Yield name, kernel, stride, expansion and filters of each block of a variant."""
    width, depth = WIDTH_DEPTH[variant]
    for stage, (repeats, kernel, stride, expansion, filters) in enumerate(STAGES):
        scaled = repeats if stage in (0, len(STAGES) - 1) else math.ceil(repeats * depth)
        for i in range(scaled):
            name = f"block{stage + 1}{chr(ord('a') + i)}"
            yield name, kernel, stride if i == 0 else 1, expansion, scaled_filters(filters, width)


def _convolve(x: Any, name: str, bn: str, filters: int, kernel: int = 1, stride: int = 1, relu: str = "") -> Any:
    """Convolution (depthwise where `filters` is 0) without bias, batch normalisation, ReLU6 where it has a name."""
    from keras import layers

    options = {"strides": stride, "padding": "same", "use_bias": False, "name": name}
    depthwise = fast_ops.depthwise_layer()
    convolution = layers.Conv2D(filters, kernel, **options) if filters else depthwise(kernel, **options)
    x = layers.BatchNormalization(epsilon=1e-3, name=bn)(convolution(x))
    return layers.ReLU(6.0, name=relu)(x) if relu else x


def _block(x: Any, name: str, kernel: int, stride: int, expansion: int, filters: int) -> Any:
    from keras import layers

    start, channels = x, x.shape[-1]
    if expansion > 1:
        wide = channels * expansion
        x = _convolve(x, f"{name}_expand_conv", f"{name}_expand_bn", wide, relu=f"{name}_expand_activation")
    x = _convolve(x, f"{name}_dwconv", f"{name}_bn", 0, kernel, stride, relu=f"{name}_activation")
    x = _convolve(x, f"{name}_project_conv", f"{name}_project_bn", filters)
    return layers.Add(name=f"{name}_add")([x, start]) if stride == 1 and filters == channels else x


def network(variant: str, images: Any, top: bool = True) -> "keras.Model":
    """Build EfficientNet-Lite with untrained weights.

    Args:
        variant: `lite0`, `lite1` or `lite2`.
        images: symbolic, (B, H, W, 3): (RGB − 127) / 128, of any size.
        top: end in 1,000 logits; else in the last feature map (height / 32, width / 32, 1280).

    Returns:
        A Keras model with flat layer names as in `keras.applications` (`block2a_expand_conv`, `top_activation`, ...).
    """
    import keras
    from keras import layers

    x = _convolve(images, "stem_conv", "stem_bn", 32, 3, 2, relu="stem_activation")
    for block in blocks(variant):
        x = _block(x, *block)
    x = _convolve(x, "top_conv", "top_bn", 1280, relu="top_activation")
    if top:
        x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
        x = layers.Dense(1000, name="predictions")(x)
    return keras.Model(source_of(images), x, name=variant)


# ---- from one to the other ------------------------------------------------------------------------------------------
def assign(model: "keras.Model", state: dict[str, np.ndarray]) -> None:
    """Put a state read by `read_state` into a model made by `network`.

    Raises:
        LabError: the state is of another network or has another number of classes.
    """
    classes = len(np.atleast_1d(state.get("_fc.weight", ())))
    if classes != 1000:
        raise LabError(f"holds a head of {classes} classes where 1,000 are expected: take the ImageNet weights.")
    blocks_there = len({name.split(".")[1] for name in state if name.startswith("_blocks.")})
    for layer, name in _torch_names(model):
        values = _values(layer, name, state)
        shapes = [array.shape for array in values]
        if blocks_there != len(list(blocks(model.name))) or shapes != [tuple(w.shape) for w in layer.weights]:
            raise LabError(f"holds the weights of another network than {model.name} (see layer {layer.name}).")
        layer.set_weights(values)
    used = {name for _, name in _torch_names(model)}
    used |= {"_fc"}  # which a network without its top leaves out
    left = [name for name in state if name.rpartition(".")[0] not in used]
    if left:
        raise LabError(f"holds the weights of another network than {model.name} ({left[0]} has no place in it).")


def _torch_names(model: "keras.Model") -> Iterator[tuple[Any, str]]:
    """Yield each layer that has weights with its name in the torch file."""
    order = {name: i for i, (name, *_) in enumerate(blocks(model.name))}
    outer = {"stem_conv": "_conv_stem", "stem_bn": "_bn0", "top_conv": "_conv_head", "top_bn": "_bn1"}
    inner = {"expand_conv": "_expand_conv", "expand_bn": "_bn0", "dwconv": "_depthwise_conv", "bn": "_bn1"}
    inner |= {"project_conv": "_project_conv", "project_bn": "_bn2"}
    for layer in model.layers:
        block, _, rest = layer.name.partition("_")
        if layer.weights and block in order:
            yield layer, f"_blocks.{order[block]}.{inner[rest]}"
        elif layer.weights:
            yield layer, (outer | {"predictions": "_fc"})[layer.name]


def _values(layer: Any, name: str, state: dict[str, np.ndarray]) -> list[np.ndarray]:
    """Arrays of a layer in Keras's order and axis order; an empty list where the state lacks one."""
    parts = {"BatchNormalization": ("weight", "bias", "running_mean", "running_var"), "Dense": ("weight", "bias")}
    axes = {"Conv2D": (2, 3, 1, 0), "DepthwiseConv2D": (2, 3, 0, 1), "Dense": (1, 0)}
    kind = type(layer).__name__
    try:
        first, *others = (state[f"{name}.{part}"] for part in parts.get(kind, ("weight",)))
    except KeyError:
        return []
    return [first.transpose(axes[kind]) if kind in axes and first.ndim == len(axes[kind]) else first, *others]
