"""What a network looks at: class-activation maps, and numbers in place of hand-picked heat maps.

Arrays in, plain results out; TensorFlow is imported where it is used.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lab_utils.core.errors import LabError
from lab_utils.stats.intervals import Estimate, bootstrap_estimate

METHODS = ("gradcam", "hirescam")


# ---- the network, taken apart ----------------------------------------------------------------------------------------
@dataclass(frozen=True)
class View:
    """A network seen from one of its layers; all parts share its weights.

    Attributes:
        model: images (B, H, W, 3) → [activations of the layer (B, h, w, K), logits (B, C)].
        layer: name of the layer.
        size: height and width of its input in pixels.
        trunk: images → activations, compiled (eager Keras keeps every layer's output until the end); None where
            connections pass the layer by.
        head: activations → logits, likewise.
    """

    model: Any
    layer: str
    size: int
    trunk: Any = None
    head: Any = None

    @property
    def pooled(self) -> bool:
        """Whether the head begins with average pooling: then Grad-CAM and HiResCAM must give the same maps."""
        layers = [type(one).__name__ for one in self.head.layers if one.name != self.layer] if self.head else []
        return bool([name for name in layers if name != "InputLayer"][:1] == ["GlobalAveragePooling2D"])

    def forward(self, images: Any, tape: Any) -> tuple[Any, Any]:
        """Activations and logits; only what lies between them is recorded where that can be told apart."""
        if self.head is None:
            with tape:
                return self.model(images, training=False)
        activations = self.trunk(images)
        with tape:
            tape.watch(activations)
            return activations, self.head(activations, training=False)

    def logits(self, images: np.ndarray) -> np.ndarray:
        """Class scores before any softmax, float32, shape (B, C)."""
        if self.head is None:
            return np.asarray(self.model(images, training=False)[1], np.float32)
        return np.asarray(self.head(self.trunk(images), training=False), np.float32)


def view(model: Any, layer: str | None = None, size: int | None = None) -> View:
    """Open a network at its last convolution (or at `layer`), with logits instead of probabilities.

    Models nested in models are unfolded, and a softmax at the end is left out. Weights are shared, not copied.

    Args:
        model: functional or sequential keras model that ends in class scores.
        layer: name of a layer with an output (B, h, w, K); default the last one that still has the size of the last
            convolution's output (so after its normalisation and activation, before pooling).
        size: input height and width in pixels, if other than the model's own.

    Raises:
        LabError: no such layer, no convolution, or a flattened map fixes the size to another one.
    """
    import keras

    height = size or model.input_shape[1]
    image = keras.Input((height, height, 3))
    seen: dict[str, tuple[Any, Any]] = {}
    try:
        output = _run(model, image, seen)
    except ValueError as error:
        if height == model.input_shape[1] or not any(type(one).__name__ == "Flatten" for one, _ in seen.values()):
            raise
        raise LabError(f"{model.name} can't take images of {height} pixels: its head fixes the size.") from error
    name = layer or _last_convolution(seen, model.name)
    if name not in seen or len(seen[name][1].shape) != 4:
        maps = ", ".join(key for key, (_, tensor) in seen.items() if len(tensor.shape) == 4)
        raise LabError(f"{model.name} has no layer {name!r} with an activation map; it has {maps}.")
    activations, logits = seen[name][1], _without_softmax(output)
    return View(keras.Model(image, [activations, logits]), name, height, *_halves(image, activations, logits))


def _halves(image: Any, activations: Any, logits: Any) -> tuple[Any, Any]:
    """Models image → activations and activations → logits, or two times None where they can't be told apart."""
    import keras
    import tensorflow as tf

    try:
        trunk, head = keras.Model(image, activations), keras.Model(activations, logits)
    except ValueError:
        return None, None
    taken = tf.TensorSpec((None, *image.shape[1:]), tf.float32)
    return tf.function(lambda images: trunk(images, training=False), input_signature=[taken]), head


def _run(layer: Any, tensor: Any, seen: dict[str, tuple[Any, Any]]) -> Any:
    """Apply a model to a symbolic tensor layer by layer, noting each layer's output under its name."""
    import keras

    def call(one: Any, *args: Any, **more: Any) -> Any:
        if hasattr(one, "layers") and isinstance(one, keras.Model):
            return _run(one, args[0], seen)
        seen[one.name] = (one, one(*args, **more))
        return seen[one.name][1]

    if isinstance(layer, keras.Sequential):
        for one in layer.layers:
            tensor = call(one, tensor)
        return tensor
    unfolded = keras.models.clone_model(
        layer, input_tensors=_like(layer.input, tensor), clone_function=lambda one: one, call_function=call
    )
    return unfolded.output


def _like(structure: Any, tensor: Any) -> Any:
    return [tensor] if isinstance(structure, (list, tuple)) else tensor


def _last_convolution(seen: dict[str, tuple[Any, Any]], model: str) -> str:
    names = [name for name, (_, tensor) in seen.items() if len(tensor.shape) == 4]
    convolutions = [name for name in names if "Conv" in type(seen[name][0]).__name__]
    if not convolutions:
        raise LabError(f"{model} has no convolution to look at: name a layer.")
    size = seen[convolutions[-1]][1].shape[1:3]
    return [name for name in names if seen[name][1].shape[1:3] == size][-1]


def _without_softmax(output: Any) -> Any:
    """The tensor before a softmax at the end (its gradient would mix all classes), else the output itself."""
    import keras

    operation = output._keras_history.operation
    before = operation._inbound_nodes[-1].input_tensors[0]
    if isinstance(operation, keras.layers.Softmax):
        return before
    if getattr(operation, "activation", None) is not keras.activations.softmax:
        return output
    if not hasattr(operation, "kernel"):
        return before
    logits = keras.ops.matmul(before, operation.kernel)
    return logits + operation.bias if operation.use_bias else logits


# ---- class-activation maps -------------------------------------------------------------------------------------------
def grad_cam(
    model: Any,
    images: np.ndarray,
    targets: np.ndarray | Sequence[int] | None = None,
    layer: str | None = None,
    method: str = "gradcam",
    batch: int = 8,
) -> np.ndarray:
    """Where in the image the evidence for a class lies.

    Grad-CAM (arXiv 1610.02391) weighs each channel of the last convolution by the mean gradient of the class's
    *logit*; HiResCAM (arXiv 2011.08891) multiplies activation and gradient place by place. With pooling and one dense
    layer as head the two are the same. Negative evidence is cut off.

    Args:
        model: keras model that ends in class scores, or a `View` of one.
        images: preprocessed, shape (N, H, W, 3).
        targets: class of each map, shape (N,); default the predicted class.
        layer: see `view`.
        method: `gradcam` or `hirescam`.
        batch: images at a time.

    Returns:
        float32 (N, H, W) in [0, 1], each map scaled to a maximum of 1; all zero where nothing speaks for the class.

    Raises:
        LabError: unknown method, no such layer, or sizes that don't match.
    """
    small = evidence(model, images, targets, layer, method, batch)
    return _normalised(upsample(np.maximum(small, 0), images.shape[1:3]))


def evidence(
    model: Any,
    images: np.ndarray,
    targets: np.ndarray | Sequence[int] | None = None,
    layer: str | None = None,
    method: str = "gradcam",
    batch: int = 8,
) -> np.ndarray:
    """The map of `grad_cam` as it is: signed and at the layer's own resolution, float32 (N, h, w)."""
    if method not in METHODS:
        raise LabError(f"method {method!r}: the class-activation methods are {', '.join(METHODS)}.")
    opened = model if isinstance(model, View) else view(model, layer, images.shape[1])
    if targets is not None and len(targets) != len(images):
        raise LabError(f"{len(targets)} targets for {len(images)} images: give one class for each image.")
    pieces = []
    for start in range(0, len(images), batch):
        part = slice(start, start + batch)
        pieces.append(_batch_evidence(opened, images[part], None if targets is None else targets[part], method))
    return np.concatenate(pieces) if pieces else np.zeros((0, 1, 1), np.float32)


def _batch_evidence(opened: View, images: np.ndarray, targets: Any, method: str) -> np.ndarray:
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


def upsample(maps: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Bilinear resize of maps (N, h, w) to (N, *size)."""
    import tensorflow as tf

    return tf.image.resize(maps[..., None], size, method="bilinear").numpy()[..., 0]


def _normalised(maps: np.ndarray) -> np.ndarray:
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


def mean_border_share(
    maps: np.ndarray, of: str, border: float = 0.1, groups: np.ndarray | None = None
) -> Estimate | None:
    """Mean of `border_share` in percent; `of` says how many maps were left out because nothing speaks for their class.

    Args:
        maps: shape (N, H, W), 0 or above.
        of: what the maps are of, in words.
        border: see `border_share`.
        groups: what the bootstrap draws together (lots), shape (N,).

    Returns:
        None where no map has any relevance.
    """
    shares = border_share(maps, border)
    there = np.isfinite(shares)
    if not there.any():
        return None
    out = f" ({(~there).sum()} of {len(maps)} maps are empty and left out)" if not there.all() else ""
    drawn = None if groups is None else groups[there]
    return bootstrap_estimate(shares[there], f"border share, {of}{out}", drawn, scale=100, unit=" %", digits=1)


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
    right = [np.flatnonzero((truth == one) & (predicted == one)) for one in (first, second)]
    return np.concatenate([confused[: max(1, n // 3)], right[0], right[1][:n]])[: 2 * n] if n else confused[:0]


# ---- focus -----------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Mosaics:
    """A plan of 2×2 mosaics: two images of a target class, two of other classes, in random places.

    Attributes:
        members: positions of the four images (top left, top right, bottom left, bottom right), shape (M, 4).
        targets: class sought in each mosaic, shape (M,).
        wanted: which quadrants hold the target class, bool (M, 4), two in each row.
        left_out: classes with fewer than two images, which can't be targets.
    """

    members: np.ndarray
    targets: np.ndarray
    wanted: np.ndarray
    left_out: list[int]


def plan_mosaics(labels: np.ndarray, count: int, seed: int = 0) -> Mosaics:
    """Plan mosaics whose targets go evenly through the classes (arXiv 2109.15035).

    Args:
        labels: classes of the images to draw from, shape (N,).
        count: number of mosaics.
        seed: of the draw.

    Raises:
        LabError: no class has two images, or there is no second class.
    """
    labels = np.asarray(labels)
    classes, sizes = np.unique(labels, return_counts=True)
    able = classes[sizes >= 2]
    if not len(able) or (~np.isin(labels, able[:1])).sum() < 2:
        raise LabError("Mosaics need a class with two images and two images of other classes: use more images.")
    rng = np.random.default_rng(seed)
    targets = np.resize(rng.permutation(able), count)
    drawn = [_draw(labels, target, rng) for target in targets]
    members, wanted = (np.stack(part) for part in zip(*drawn, strict=True))
    return Mosaics(members, targets, wanted, classes[sizes < 2].tolist())


def _draw(labels: np.ndarray, target: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    same = rng.choice(np.flatnonzero(labels == target), 2, replace=False)
    other = rng.choice(np.flatnonzero(labels != target), 2, replace=False)
    places = rng.permutation(4)
    return np.concatenate([same, other])[places], np.array([True, True, False, False])[places]


def assemble(images: np.ndarray, members: np.ndarray, side: int) -> np.ndarray:
    """Put four images together.

    Args:
        images: in 0..255, shape (N, H, W, 3).
        members: positions of the four, shape (M, 4).
        side: of a mosaic in pixels; each image is resized to half of it.

    Returns:
        float32 (M, side, side, 3) in 0..255.
    """
    import tensorflow as tf

    half = side // 2
    parts = images[members.ravel()].astype(np.float32)
    if parts.shape[1:3] != (half, half):
        parts = tf.image.resize(parts, (half, half), antialias=True).numpy()
    grid = parts.reshape(len(members), 2, 2, half, half, -1)
    return grid.transpose(0, 1, 3, 2, 4, 5).reshape(len(members), 2 * half, 2 * half, -1)


def focus_score(maps: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Share of positive relevance that lies in the quadrants of the target class; chance is 0.5.

    Args:
        maps: of mosaics, shape (M, H, W), H and W even; negative values count as none.
        wanted: quadrants of the target class, bool (M, 4), row by row.

    Returns:
        Shape (M,) in [0, 1]; NaN where a map has no positive relevance. Arias-Duart et al., arXiv 2109.15035.
    """
    count, height, width = maps.shape
    parts = np.maximum(maps, 0).reshape(count, 2, height // 2, 2, width // 2).sum(axis=(2, 4), dtype=float)
    quadrants = parts.reshape(count, 4)
    total = quadrants.sum(1)
    return np.divide((quadrants * wanted).sum(1), total, out=np.full(count, np.nan), where=total > 0)


@dataclass(frozen=True)
class Focus:
    """Focus scores of one network.

    Attributes:
        scores: one a mosaic, shape (M,); NaN where nothing speaks for the class.
        side: of the mosaics in pixels.
        shrunk: whether the four images were halved (the head fixes the size, or it was asked for).
    """

    scores: np.ndarray
    side: int
    shrunk: bool


def focus(
    model: Any,
    images: np.ndarray,
    plan: Mosaics,
    preprocess: Callable[[np.ndarray], np.ndarray],
    method: str = "gradcam",
    batch: int = 8,
    shrink: bool = False,
) -> Focus:
    """Score a network on mosaics at twice its input size, or at its own size where the head fixes it.

    Args:
        model: keras model whose classes are those of the plan.
        images: at the model's input size, in 0..255, shape (N, S, S, 3).
        plan: which images make the mosaics.
        preprocess: from 0..255 to what the model expects.
        method: of the maps.
        batch: mosaics at a time (memory stays flat in their number).
        shrink: its own size even where it could take more: the fair comparison with a network that can't.
    """
    opened, shrunk = (view(model), True) if shrink else _at_twice_the_size(model, model.input_shape[1])
    scores = []
    for start in range(0, len(plan.targets), batch):
        part = slice(start, start + batch)
        mosaics = preprocess(assemble(images, plan.members[part], opened.size))
        maps = evidence(opened, np.asarray(mosaics), plan.targets[part], method=method, batch=batch)
        scores.append(focus_score(_even(maps), plan.wanted[part]))
    return Focus(np.concatenate(scores), opened.size, shrunk)


def mean_focus(scores: np.ndarray, of: str = "", seed: int = 0) -> Estimate:
    """Mean focus over the mosaics with positive relevance, with a bootstrap interval; chance is 0.5.

    Raises:
        LabError: no mosaic has any.
    """
    known = scores[np.isfinite(scores)]
    if not len(known):
        raise LabError(f"{of or 'This network'} has no positive evidence on any mosaic: nothing to score.")
    return bootstrap_estimate(known, of, seed=seed)


def focus_gain(first: np.ndarray, second: np.ndarray, of: str = "", seed: int = 0) -> Estimate:
    """Mean difference of two networks' focus on the same mosaics (those where both have evidence)."""
    return mean_focus(first - second, of, seed)


def _at_twice_the_size(model: Any, own: int) -> tuple[View, bool]:
    try:
        return view(model, size=2 * own), False
    except LabError:
        return view(model), True


def _even(maps: np.ndarray) -> np.ndarray:
    """Maps at a size that two quadrants share evenly (each cell repeated where a side is odd)."""
    grown = np.maximum(maps, 0)
    for axis in (1, 2):
        if grown.shape[axis] % 2:
            grown = grown.repeat(2, axis)
    return grown


# ---- does the map depend on the network at all? ----------------------------------------------------------------------
def randomisation_check(
    model: Any,
    images: np.ndarray,
    targets: np.ndarray,
    stages: int = 4,
    seed: int = 0,
    method: str = "gradcam",
    opened: View | None = None,
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
        method: of the maps.
        opened: a view of the model, where there is one already.

    Returns:
        `{"2 of 50 kernels": rho}`, Spearman's rho of each image, shape (N,); NaN where a map is constant.
    """
    opened, rng = opened or view(model, size=images.shape[1]), np.random.default_rng(seed)
    kernels = [one for one in model.weights if len(one.shape) > 1][::-1]
    before, kept = evidence(opened, images, targets, method=method), [one.numpy() for one in kernels]
    done, found = 0, {}
    try:
        for stop in np.unique(np.geomspace(1, len(kernels), stages).round().astype(int)):
            for one, values in zip(kernels[done:stop], kept[done:stop], strict=True):
                one.assign(rng.permutation(values.ravel()).reshape(values.shape))
            done = stop
            after = evidence(opened, images, targets, method=method)
            found[f"{stop} of {len(kernels)} kernels"] = rank_correlation(before, after)
    finally:
        for one, values in zip(kernels, kept, strict=True):
            one.assign(values)
    return found


def rank_correlation(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Spearman's rho of two stacks of signed maps (N, h, w), map by map; shape (N,), NaN where a map is constant."""
    from scipy.stats import rankdata

    ranks = [rankdata(maps.reshape(len(maps), -1), axis=1) for maps in (first, second)]
    centred = [one - one.mean(1, keepdims=True) for one in ranks]
    product = (centred[0] * centred[1]).sum(1)
    scale = np.sqrt((centred[0] ** 2).sum(1) * (centred[1] ** 2).sum(1))
    return np.divide(product, scale, out=np.full(len(product), np.nan), where=scale > 0)


def mean_correlation(correlations: np.ndarray, of: str = "", seed: int = 0) -> Estimate:
    """Mean of the known rank correlations (N,) with its interval; none known (constant maps) counts as 0."""
    known = correlations[np.isfinite(correlations)]
    return bootstrap_estimate(known if len(known) else np.zeros(1), of, seed=seed)


# ---- findings in words -----------------------------------------------------------------------------------------------
def focus_words(networks: Mapping[str, Estimate]) -> str:
    """Which networks focus on the class asked for better than chance."""
    above = [f"{name} ({one})" for name, one in networks.items() if one.low > 0.5]
    not_above = [f"{name} ({one})" for name, one in networks.items() if one.low <= 0.5]
    parts = [f"Above the chance of 0.5: {', '.join(above)}."] if above else []
    parts += [f"Not above it beyond the interval: {', '.join(not_above)}."] if not_above else []
    return " ".join(parts)


def gain_words(first: str, second: str, gains: Mapping[str, Estimate]) -> str:
    """Whether one thing is better than another on the same mosaics, by each way of measuring it."""
    kinds = {"better": [], "worse": [], "a tie": []}
    for way, gain in gains.items():
        kinds["a tie" if not gain.excludes(0.0) else "better" if gain.value > 0 else "worse"].append(f"{way} {gain}")
    told = "; ".join(f"{kind} by {', '.join(ways)}" for kind, ways in kinds.items() if ways)
    return f"{first} against {second}, on the same mosaics: {told or 'no mosaic has evidence in both'}."


def border_words(shares: Mapping[str, Estimate], even: float) -> str:
    """Where more or less relevance lies in the frame than an even map would put there."""
    kinds = {"more": [], "less": [], "about as much": []}
    for name, one in shares.items():
        kinds["more" if one.low > even else "less" if one.high < even else "about as much"].append(name)
    told = "; ".join(f"{kind} for {', '.join(names)}" for kind, names in kinds.items() if names)
    return f"Against an even map, which puts {100 * even:.0f} % of its relevance into the frame, there is {told}."


def dependence_words(correlation: Estimate) -> str:
    """Whether maps change when what was learned is scrambled (the mean rank correlation with all kernels permuted)."""
    found = f"With all kernels scrambled the maps keep a rank correlation of {correlation} with what they were:"
    if correlation.high < 0.5:
        return f"{found} little is left, so they show what was learned."
    if correlation.low > 0.5:
        return f"{found} they stay alike, so they show edges of the picture more than what was learned."
    return f"{found} part of their order is lost, and how much is open."


def agreement_words(name: str, correlation: np.ndarray, pooled: bool) -> str:
    """How far Grad-CAM and HiResCAM agree for one network.

    Args:
        name: of the network.
        correlation: rank correlation of the two maps of each image, NaN where one is constant, shape (N,).
        pooled: whether its head begins with average pooling (`View.pooled`).
    """
    known = correlation[np.isfinite(correlation)]
    if not len(known):
        return f"{name}: every map is constant, so there is nothing to compare."
    found = f"{name}: the two methods differ (median rank correlation {np.median(known):.2f})"
    if known.min() > 0.999:
        why = (
            "as they must: its head begins with average pooling" if pooled else "though its head need not make them so"
        )
        return f"{name}: the two methods give the same maps, {why}."
    if pooled:
        return f"{found}, which average pooling at the head forbids but for rounding: its maps are nearly flat."
    return f"{found}; HiResCAM is the exact one."
