"""What a network looks at: class-activation maps, and numbers in place of hand-picked heat maps (see `focus` too).

Arrays in, plain results out; TensorFlow is imported where it is used.
"""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lab_utils.core.errors import LabError
from lab_utils.stats.intervals import Estimate, mean_estimate

METHODS = ("gradcam", "hirescam")
LEAST = 5  # cells a side of a map, at least: 3 × 3 cells tell no place


# ---- the network, taken apart ----------------------------------------------------------------------------------------
@dataclass(frozen=True)
class OpenedNetwork:
    """A network parted at the last layer that has a map of enough cells; both parts share its weights.

    Attributes:
        layer: name of that layer.
        map_size: height and width of its activations.
        last_size: height and width of the last convolution's.
        size: height and width of the input in pixels.
        trunk: images (B, H, W, 3) → activations (B, h, w, K), compiled (eager Keras keeps every layer's output).
        head: activations → logits (B, C).
    """

    layer: str
    map_size: tuple[int, int]
    last_size: tuple[int, int]
    size: int
    trunk: Any
    head: Any

    @property
    def pooled(self) -> bool:
        """Whether the head begins with average pooling: then Grad-CAM and HiResCAM must give the same maps."""
        kinds = [type(layer).__name__ for layer in self.head.layers if layer.name != self.layer]
        return [kind for kind in kinds if kind != "InputLayer"][:1] == ["GlobalAveragePooling2D"]

    @property
    def map_words(self) -> str:
        """Where the maps come from, if not from the last convolution; "" where that has enough cells."""
        if min(self.last_size) >= LEAST:
            return ""
        last, here = (f"{height} × {width}" for height, width in (self.last_size, self.map_size))
        few = f"its last convolution has {last} cells, too few to tell a place"
        if min(self.map_size) < LEAST:
            return f"{few}, and no layer can be looked into that has more: its maps show nothing of where it looks."
        return f"{few}. Its maps come from an earlier layer, {self.layer}, with {here} cells."

    def forward(self, images: Any, tape: Any) -> tuple[Any, Any]:
        """Activations and logits; only what lies between them is recorded."""
        activations = self.trunk(images)
        with tape:
            tape.watch(activations)
            return activations, self.head(activations, training=False)

    def logits(self, images: np.ndarray) -> np.ndarray:
        """Class scores before any softmax, float32, shape (B, C)."""
        return np.asarray(self.head(self.trunk(images), training=False), np.float32)


def open_network(model: Any, size: int | None = None, least: int = LEAST) -> OpenedNetwork:
    """Part a network behind its last convolution's normalisation and activation; weights are shared, not copied.

    Where that map has too few cells, behind the last layer whose map has enough, and that all paths go through.

    Args:
        model: functional keras model, from images to logits, without models nested in it.
        size: input height and width in pixels, if other than the model's own.
        least: cells a side that a map should have.

    Raises:
        LabError: no convolution, or a flattened map fixes the size to another one.
    """
    import keras
    import tensorflow as tf

    height = size or model.input_shape[1]
    image, outputs = keras.Input((height, height, 3)), {}

    def call(layer: Any, *args: Any, **options: Any) -> Any:
        outputs[layer.name] = layer, layer(*args, **options)
        return outputs[layer.name][1]

    try:
        inputs = [image] if isinstance(model.input, (list, tuple)) else image
        same = keras.models.clone_model(model, inputs, clone_function=lambda layer: layer, call_function=call)
    except ValueError as error:
        flattened = any(type(layer).__name__ == "Flatten" for layer, _ in outputs.values())
        if height == model.input_shape[1] or not flattened:
            raise
        raise LabError(f"{model.name} can't take images of {height} pixels: its head fixes the size.") from error
    layers = _last_maps(outputs, model.name)
    sizes = {name: tuple(outputs[name][1].shape[1:3]) for name in layers}
    for name in [*(name for name in layers if min(sizes[name]) >= least), layers[0]]:
        with contextlib.suppress(ValueError):  # a path leads around this layer
            activations = outputs[name][1]
            trunk, head = keras.Model(image, activations), keras.Model(activations, same.output)
            break
    signature = [tf.TensorSpec((None, height, height, 3), tf.float32)]
    compiled = tf.function(lambda images: trunk(images, training=False), input_signature=signature)
    return OpenedNetwork(name, sizes[name], sizes[layers[0]], height, compiled, head)


def _last_maps(outputs: dict[str, tuple[Any, Any]], model: str) -> list[str]:
    """Names of the last layers whose maps are as large as a convolution's, one a size, the last convolution's first."""
    maps = {name: tensor for name, (_, tensor) in outputs.items() if len(tensor.shape) == 4}
    convolutions = [name for name in maps if "Conv" in type(outputs[name][0]).__name__]
    if not convolutions:
        raise LabError(f"{model} has no convolution to look at.")
    sizes = dict.fromkeys(maps[name].shape[1:3] for name in reversed(convolutions))
    return [[name for name, tensor in maps.items() if tensor.shape[1:3] == size][-1] for size in sizes]


# ---- class-activation maps -------------------------------------------------------------------------------------------
def grad_cam(
    model: Any,
    images: np.ndarray,
    targets: np.ndarray | Sequence[int] | None = None,
    method: str = "gradcam",
) -> np.ndarray:
    """Where in the image the evidence for a class lies.

    Grad-CAM (arXiv 1610.02391) weighs each channel of the last convolution by the mean gradient of the class's
    *logit*; HiResCAM (arXiv 2011.08891) multiplies activation and gradient place by place. With pooling and one dense
    layer as head the two are the same. Negative evidence is cut off.

    Args:
        model: keras model that ends in logits, or an `OpenedNetwork`.
        images: preprocessed, shape (N, H, W, 3).
        targets: class of each map, shape (N,); default the predicted class.
        method: `gradcam` or `hirescam`.

    Returns:
        float32 (N, H, W) in [0, 1], each map scaled to a maximum of 1; all zero where nothing speaks for the class.

    Raises:
        LabError: unknown method, no convolution, or another number of targets than of images.
    """
    return enlarged(evidence(model, images, targets, method), images.shape[1:3])


def evidence(
    model: Any,
    images: np.ndarray,
    targets: np.ndarray | Sequence[int] | None = None,
    method: str = "gradcam",
    batch: int = 8,
) -> np.ndarray:
    """The map of `grad_cam` as it is, signed and of the layer's size, float32 (N, h, w); `batch` images at a time."""
    if method not in METHODS:
        raise LabError(f"method {method!r}: the class-activation methods are {', '.join(METHODS)}.")
    opened = model if isinstance(model, OpenedNetwork) else open_network(model, images.shape[1])
    if targets is not None and len(targets) != len(images):
        raise LabError(f"{len(targets)} targets for {len(images)} images: give one class for each image.")
    pieces = []
    for start in range(0, len(images), batch):
        part = slice(start, start + batch)
        pieces.append(_batch_evidence(opened, images[part], None if targets is None else targets[part], method))
    return np.concatenate(pieces) if pieces else np.zeros((0, 1, 1), np.float32)


def _batch_evidence(opened: OpenedNetwork, images: np.ndarray, targets: Any, method: str) -> np.ndarray:
    import tensorflow as tf

    tape = tf.GradientTape()
    activations, logits = opened.forward(tf.convert_to_tensor(images), tape)
    if targets is None:
        targets = tf.argmax(logits, axis=1)
    chosen = tf.one_hot(targets, logits.shape[-1], dtype=logits.dtype)
    slopes = tf.cast(tape.gradient(logits, activations, output_gradients=chosen), tf.float32)
    if method == "gradcam":
        slopes = tf.reduce_mean(slopes, axis=(1, 2), keepdims=True)
    return tf.reduce_sum(tf.cast(activations, tf.float32) * slopes, axis=-1).numpy()


def enlarged(maps: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Maps (N, h, w) as large as the image, without what is negative, each scaled to a maximum of 1; (N, *size)."""
    import tensorflow as tf

    maps = tf.image.resize(np.maximum(maps, 0)[..., None], size, method="bilinear").numpy()[..., 0]
    top = maps.max(axis=(1, 2), keepdims=True)
    return np.divide(maps, top, out=np.zeros_like(maps), where=top > 0).astype(np.float32)


# ---- numbers of maps -------------------------------------------------------------------------------------------------
def border_share(maps: np.ndarray, border: float = 0.1) -> np.ndarray:
    """Share of a map's relevance that lies in the outer frame of the image.

    Args:
        maps: shape (N, H, W), 0 or above.
        border: width of the frame as a share of each side, in (0, 0.5).

    Returns:
        Shape (N,) in [0, 1]; NaN where a map is all zero. `border_area` is what an even map would give.
    """
    height, width = maps.shape[1:]
    rows, columns = round(border * height), round(border * width)
    total = maps.sum(axis=(1, 2), dtype=float)
    inner = maps[:, rows : height - rows, columns : width - columns].sum(axis=(1, 2), dtype=float)
    return np.divide(total - inner, total, out=np.full(len(maps), np.nan), where=total > 0)


def border_area(size: tuple[int, int], border: float = 0.1) -> float:
    """Share of the area that the outer frame of `border_share` takes in an image of (height, width) pixels."""
    return float(border_share(np.ones((1, *size)), border)[0])


def mean_border_share(maps: np.ndarray, of: str, groups: np.ndarray | None = None) -> Estimate | None:
    """Mean of `border_share` in percent; `of` says how many maps were left out because nothing speaks for their class.

    Args:
        maps: shape (N, H, W), 0 or above.
        of: what the maps are of, in words.
        groups: what is drawn together (lots), shape (N,).

    Returns:
        None where no map has any relevance.
    """
    shares = border_share(maps)
    there = np.isfinite(shares)
    if not there.any():
        return None
    out = f" ({(~there).sum()} of {len(maps)} maps are empty and left out)" if not there.all() else ""
    known = None if groups is None else groups[there]
    return mean_estimate(shares[there], f"border share, {of}{out}", known, (0, 1), scale=100, unit=" %", digits=1)


# ---- pictures chosen by rule -----------------------------------------------------------------------------------------
def first_right(truth: np.ndarray, probabilities: np.ndarray, n: int) -> np.ndarray:
    """Positions of the first `n` images (table order) that are right, one a class as long as classes last."""
    right = np.flatnonzero(probabilities.argmax(1) == truth)
    _, first = np.unique(truth[right], return_index=True)
    one_each = right[np.sort(first)]
    return np.concatenate([one_each, np.setdiff1d(right, one_each)])[:n]


def most_confidently_wrong(truth: np.ndarray, probabilities: np.ndarray, n: int) -> np.ndarray:
    """Positions of the `n` wrong images with the highest probability of the wrong class; ties in table order."""
    wrong = np.flatnonzero(probabilities.argmax(1) != truth)
    return wrong[np.argsort(-probabilities[wrong].max(1), kind="stable")][:n]


def pair_members(truth: np.ndarray, predicted: np.ndarray, first: int, second: int, n: int) -> np.ndarray:
    """Positions of the first `n` images of class `first` taken for `second`, filled up by right ones of both."""
    confused = np.flatnonzero((truth == first) & (predicted == second))
    right = [np.flatnonzero((truth == label) & (predicted == label)) for label in (first, second)]
    return np.concatenate([confused[: max(1, n // 3)], right[0], right[1][:n]])[: 2 * n] if n else confused[:0]


# ---- does the map depend on the network at all? ----------------------------------------------------------------------
def randomisation_check(
    model: Any,
    images: np.ndarray,
    targets: np.ndarray,
    stages: int = 4,
    seed: int = 0,
    opened: OpenedNetwork | None = None,
) -> dict[str, np.ndarray]:
    """Rank correlation of maps before and after the network's weights are scrambled from the top down.

    A map that stays the same says nothing about what was learned (Adebayo et al., arXiv 1810.03292). The values of each
    kernel are permuted, which keeps their distribution; biases and normalisations stay. The weights are put back.

    Args:
        model: keras model.
        images: preprocessed, shape (N, H, W, 3).
        targets: class of each map, shape (N,).
        stages: steps from the head alone to all kernels.
        seed: of the permutations.
        opened: the model opened, where it is already.

    Returns:
        `{"2 of 50 kernels": rho}`, Spearman's rho of each image, shape (N,); NaN where a map is constant.
    """
    opened, rng = opened or open_network(model, images.shape[1]), np.random.default_rng(seed)
    kernels = [weight for weight in model.weights if len(weight.shape) > 1][::-1]
    before, kept = evidence(opened, images, targets), [kernel.numpy() for kernel in kernels]
    done, correlations = 0, {}
    try:
        for stop in np.unique(np.geomspace(1, len(kernels), stages).round().astype(int)):
            for kernel, values in zip(kernels[done:stop], kept[done:stop], strict=True):
                kernel.assign(rng.permutation(values.ravel()).reshape(values.shape))
            done = stop
            after = evidence(opened, images, targets)
            correlations[f"{stop} of {len(kernels)} kernels"] = rank_correlation(before, after)
    finally:
        for kernel, values in zip(kernels, kept, strict=True):
            kernel.assign(values)
    return correlations


def rank_correlation(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Spearman's rho of two stacks of signed maps (N, h, w), map by map; shape (N,), NaN where a map is constant."""
    from scipy.stats import rankdata

    ranks = [rankdata(maps.reshape(len(maps), -1), axis=1) for maps in (first, second)]
    centred = [rank - rank.mean(1, keepdims=True) for rank in ranks]
    product = (centred[0] * centred[1]).sum(1)
    scale = np.sqrt((centred[0] ** 2).sum(1) * (centred[1] ** 2).sum(1))
    return np.divide(product, scale, out=np.full(len(product), np.nan), where=scale > 0)


def mean_correlation(correlations: np.ndarray, of: str = "", groups: np.ndarray | None = None) -> Estimate:
    """Mean of the known rank correlations (N,), lots (N,) drawn; where no map varies none is known: it counts as 0."""
    there = np.isfinite(correlations)
    if not there.any():
        return mean_estimate(np.zeros(len(correlations)), of, groups, (-1, 1))
    return mean_estimate(correlations[there], of, None if groups is None else groups[there], (-1, 1))
