"""Features of pretrained networks: several layers in one pass, streamed to disk, made once and checked when read."""

import contextlib
import shutil
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lab_utils.core import locks, usage
from lab_utils.core.errors import LabError
from lab_utils.core.profiles import Features
from lab_utils.core.records import PROJECT, content_hash, read_json, write_atomic
from lab_utils.core.store import Artefact
from lab_utils.data.splits import SplitImages
from lab_utils.networks import backbones
from lab_utils.networks.fused_batch_norm import fused

if TYPE_CHECKING:
    import keras

FOLDER = PROJECT / "data" / "cache" / "features"
PART = 512  # rows kept together; what an interruption can lose at most
LAYERS = ("penultimate", "logits")
SPREAD = "spread:"  # in front of a layer's name: standard deviation over space instead of the average
HIGH, LOW = 0.15, -0.25  # thresholds of the full-network embedding

Images = np.ndarray | Sequence[Path | str] | Callable[[], Any]


def of_run(
    network: str, layer: str, size: int | None, images: SplitImages, settings: Features, weights: str = "imagenet"
) -> np.ndarray:
    """Features of all images of a run by one pretrained network, made once and kept on disk.

    Args:
        network: name in the registry of backbones.
        layer: `penultimate`, `logits`, `averages` (of all layers) or `full_network` (the embedding, standardised on the
            run's train rows and discretised).
        size: side of the input in pixels; None: the profile's.
        images: those of the run.
        settings: the profile's section.
        weights: `imagenet` or `random`.

    Returns:
        Array (N, width) in the order of the images; float32, memory-mapped (`full_network`: int8).

    Raises:
        LabError: two networks gave the same array, or the weights are missing or damaged.
    """
    if size is None and settings.size != "native":
        size = settings.size
    stored = "averages" if layer == "full_network" else layer
    array = extract(
        network,
        lambda: images.pixels(backbones.check_size(network, size)[0]),
        data_hash=images.data_hash,
        layers=(stored,),
        together=(*LAYERS, *(("averages",) if settings.averages else ())),
        size=size,
        weights=weights,
        batch=settings.batch,
        progress=print if len(images.labels) > 5000 else None,
    )[stored]
    return full_network_embedding(array, images.rows("train")) if layer == "full_network" else array


def seconds_of_run(
    network: str, layer: str, size: int | None, images: SplitImages, settings: Features, weights: str = "imagenet"
) -> tuple[int, float | None]:
    """Side of the input, and seconds that a network's pass over all images of a run took when it was made.

    Where they were never extracted at this size, the pass at the profile's size counts, in proportion to the pixels.
    None where neither is known. Arguments as of `of_run`.
    """
    usual = backbones.check_size(network, None if settings.size == "native" else settings.size)[0]
    stored = "averages" if layer == "full_network" else layer
    for asked in dict.fromkeys((size or usual, usual)):
        with contextlib.suppress(LabError):  # a size that the whole network doesn't take
            _, artefacts = _stored(network, images.data_hash, asked, weights, (stored,), FOLDER)
            if (seconds := artefacts[stored].seconds) is not None:
                return size or usual, seconds * ((size or usual) / asked) ** 2
    return size or usual, None


def _stored(
    name: str, data_hash: str, size: int | None, weights: str, layers: Iterable[str], folder: Path
) -> tuple[Path, dict[str, Artefact]]:
    """Folder and artefacts of a network's features of some images."""
    key = {"data": data_hash, "network": name, "weights": backbones.weights_id(name, weights)}
    key |= {"size": backbones.check_size(name, size), "preprocessing": [backbones.backbone(name).mode, "squash"]}
    store = folder / f"{name}-{content_hash(key)}"
    return store, {layer: Artefact(store / f"{layer}.npy", key, code=(__name__,)) for layer in layers}


def extract(
    name: str,
    images: Images,
    *,
    data_hash: str,
    layers: Sequence[str] = LAYERS,
    together: Sequence[str] = (),
    size: int | None = None,
    weights: str = "imagenet",
    batch: int = 32,
    folder: Path = FOLDER,
    progress: Callable[[str], Any] | None = None,
) -> dict[str, np.ndarray]:
    """Load the features of a network, or make them in one pass over the images and keep them on disk.

    Args:
        name: of the network.
        images: uint8 array (N, size, size, 3), or N paths, or a function that gives either (called only if needed).
        data_hash: stands for the content and order of the images.
        layers: `penultimate`, `logits`, `averages` (spatial averages of all layers of the full-network embedding), or
            names of layers (averaged over space).
        together: layers that are made in the same pass, should one be needed, and not returned.
        size: input in pixels; None: native.
        weights: `imagenet` or `random`.
        batch: images at once.
        folder: of the store.
        progress: gets a line every few hundred images.

    Returns:
        `{layer: float32 array (N, width)}`, memory-mapped and read-only, rows in the order of `images`.

    Raises:
        LabError: weights missing or damaged, size below the minimum, input outside the network's range, or another
            network (or other weights) gave the same numbers for the same images.
    """
    shape, say = backbones.check_size(name, size), progress or (lambda line: None)
    store, stored = _stored(name, data_hash, size, weights, (*layers, *together), folder)
    if any(stored[layer].load() is None for layer in layers):
        with locks.locked(store / "lock", lambda by: say(f"  process {by} extracts {name}'s features; waiting")):
            missing = {layer: artefact for layer, artefact in stored.items() if artefact.load() is None}
            if missing.keys() & {*layers}:
                images = images() if callable(images) else images
                if len(images) == 0:
                    raise LabError(f"There are no images to extract {name}'s features from.")
                batches = Extractor(name, images, shape[0], weights, batch, [*missing])
                write_store(missing, batches, len(images), say)
                for layer, artefact in missing.items():
                    _require_its_own(artefact, layer)
    return {layer: np.load(stored[layer].path, mmap_mode="r") for layer in layers}


class Extractor:
    """The network's outputs for any range of rows; the network is built when the first range is asked for."""

    def __init__(self, name: str, images: Any, size: int, weights: str, batch: int, layers: list[str]):
        self.name, self.images, self.size = name, images, size
        self.weights, self.batch, self.layers = weights, batch, layers
        self.forward: Callable[[Any], dict[str, Any]] | None = None

    def rows(self, start: int, stop: int) -> dict[str, np.ndarray]:
        """Outputs of the layers for images `start` to `stop`, float32 arrays (stop - start, width)."""
        outputs: dict[str, list[np.ndarray]] = {layer: [] for layer in self.layers}
        for images in image_batches(self.images[start:stop], self.size, self.batch):
            if self.forward is None:
                backbones.check_range(self.name, backbones.preprocess(self.name, np.asarray(images)))
                model = backbones.build(self.name, weights=self.weights, size=self.size)
                self.forward = forward(model, self.name, self.layers)
            for layer, values in self.forward(images).items():
                outputs[layer].append(values.numpy())
        return {layer: np.concatenate(values) for layer, values in outputs.items()}


def image_batches(images: np.ndarray | Sequence[Path], size: int, batch: int) -> Iterator[Any]:
    """Yield batches of images of 0..255, shape (B, size, size, 3), from an array or from paths."""
    if isinstance(images, np.ndarray):
        if images.shape[1:] != (size, size, 3):
            raise LabError(
                f"Images of shape {images.shape[1:]} do not fit an input of {size} pixels: resize them first."
            )
        for start in range(0, len(images), batch):
            yield np.ascontiguousarray(images[start : start + batch])
    else:
        from lab_utils.data import pipeline

        yield from pipeline.decoded_batches(images, size, batch)


def forward(model: "keras.Model", name: str, layers: Sequence[str]) -> Callable[[Any], dict[str, Any]]:
    """Compile one pass from raw images to several layers.

    Args:
        model: takes what `backbones.preprocess(name, …)` gives; layers flat.
        name: of the network, for the preprocessing and the meaning of `penultimate` and `averages`.
        layers: as in `extract`.

    Returns:
        A function from images (B, H, W, 3) of 0..255 to `{layer: tensor (B, width)}`.
    """
    import keras
    import tensorflow as tf

    inner = [layer.removeprefix(SPREAD) for layer in layers]
    model = fused(model, keep=[*inner, *backbones.embedding_layers(model, name)])
    several = keras.Model(model.input, [_output(model, name, layer) for layer in layers])

    @tf.function(reduce_retracing=True)  # never jit_compile: many times slower on a CPU
    def run(images: Any) -> list[Any]:
        outputs = several(backbones.preprocess(name, images), training=False)
        return outputs if isinstance(outputs, (list, tuple)) else [outputs]

    return lambda images: dict(zip(layers, run(tf.convert_to_tensor(images)), strict=True))


def _output(model: "keras.Model", name: str, layer: str) -> Any:
    """Symbolic output of one layer, averaged over space (or its spread); `averages` joins those of many layers."""
    import keras
    from keras import layers

    if layer == "averages":
        return layers.Concatenate()([_output(model, name, inner) for inner in backbones.embedding_layers(model, name)])
    if layer.startswith(SPREAD):
        return keras.ops.std(model.get_layer(layer.removeprefix(SPREAD)).output, axis=(1, 2))
    inner = {"penultimate": backbones.backbone(name).feature_layer, "logits": model.layers[-1].name}.get(layer, layer)
    if inner not in {known.name for known in model.layers}:
        raise LabError(f"{name} has no layer {inner!r}: ask for penultimate, logits, averages or a layer's name.")
    output = model.get_layer(inner).output
    return layers.GlobalAveragePooling2D()(output) if len(output.shape) == 4 else output


# ---- the store ------------------------------------------------------------------------------------------------------
def write_store(missing: dict[str, Artefact], batches: Extractor, n: int, progress: Callable[[str], Any]) -> None:
    """Stream all parts into one file a layer; parts are kept until the whole is there, so that a stop costs little."""
    layers, store = [*missing], next(iter(missing.values())).path.parent
    parts = store / f"parts-{content_hash([layers, n, usage.code_hash(__name__)])}"
    with contextlib.ExitStack() as stack:
        paths = {layer: stack.enter_context(artefact.making())[0] for layer, artefact in missing.items()}
        whole: dict[str, np.memmap] = {}
        for start in range(0, n, PART):
            stop = min(start + PART, n)
            values = _part(parts / f"{start:08d}.npz", layers, batches, start, stop)
            for layer, rows in values.items():
                if layer not in whole:
                    shape = (n, rows.shape[1])
                    whole[layer] = np.lib.format.open_memmap(paths[layer], "w+", np.float32, shape)
                whole[layer][start:stop] = rows
            progress(f"{batches.name}: features of {stop:,} of {n:,} images")
        for array in whole.values():
            array.flush()
    for left in store.glob("parts-*"):  # of this pass, and of stopped ones that asked for other layers
        shutil.rmtree(left, ignore_errors=True)


def _part(path: Path, layers: Iterable[str], batches: Extractor, start: int, stop: int) -> dict[str, np.ndarray]:
    """Read one part; make it where it is missing or damaged."""
    with contextlib.suppress(OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile), np.load(path) as part:
        values = {layer: part[layer] for layer in layers}
        if all(len(rows) == stop - start for rows in values.values()):
            return values
    values = batches.rows(start, stop)

    def save(temporary: Path) -> None:
        with temporary.open("wb") as handle:
            np.savez(handle, **values)

    write_atomic(path, save)
    return values


def _require_its_own(artefact: Artefact, layer: str) -> None:
    """Compare new features with those of other networks for the same images; remove them where they are equal."""
    array = np.load(artefact.path, mmap_mode="r")
    for other, stored in _of_other_networks(artefact, layer):
        try:
            assert_different(stored, array, (other, artefact.key["network"]))
        except LabError:
            artefact.remove()
            raise


def _of_other_networks(artefact: Artefact, layer: str) -> Iterator[tuple[str, np.ndarray]]:
    """Names and stored features of other networks for the same images; what can't be read is passed over."""
    for path in sorted(artefact.path.parent.parent.glob(f"*/{layer}.npy")):
        with contextlib.suppress(LabError, OSError, ValueError, KeyError, TypeError):
            key = read_json(Artefact(path, None, ()).about_path)["key"]
            if key["data"] == artefact.key["data"] and key["network"] != artefact.key["network"]:
                yield key["network"], np.load(path, mmap_mode="r")


# ---- what is made of them -------------------------------------------------------------------------------------------
def full_network_embedding(averages: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Full-network embedding (Garcia-Gasulla et al. 2017, arXiv 1705.07706).

    Args:
        averages: spatial averages of many layers, shape (N, D).
        train: positions of the training rows, by which each column is standardised.

    Returns:
        int8 array (N, D): 1 where the standardised value is above 0.15, -1 where it is below -0.25, else 0. A column
        that is constant on train is 0.
    """
    averages = np.asarray(averages, dtype=np.float32)
    mean, spread = averages[train].mean(0), averages[train].std(0)
    values = (averages - mean) / np.where(spread > 0, spread, np.inf)
    return (values > HIGH).astype(np.int8) - (values < LOW).astype(np.int8)


def assert_different(first: np.ndarray, second: np.ndarray, names: tuple[str, str]) -> None:
    """Stop where two networks (or two sets of weights) gave the same features.

    The original's script saved one network's features under four names; equal arrays are how that would show.

    Args:
        first: features, shape (N, D).
        second: features of the same images, shape (N, E).
        names: what they are of.

    Raises:
        LabError: the arrays are equal up to rounding.
    """
    if first.shape == second.shape and np.allclose(first[:256], second[:256], rtol=1e-4, atol=1e-6):
        raise LabError(
            f"The features of {names[0]} and {names[1]} are the same array, so one network was used under two names: "
            "check the builder of each."
        )
