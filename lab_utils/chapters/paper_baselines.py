"""Chapter 02: fine-tuning as in the MAMe paper, with fixed (FS) and with variable shape (VS) at the same area.

Protocol of Parés et al. 2022 (doi:10.1007/s10489-021-02951-w). FS: resize to a square, random crop, centre crop at
test. VS: keep the aspect ratio at the same area, pad with zeros within the batch, pool over the image only.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lab_utils.core import records, usage
from lab_utils.core.errors import LabError
from lab_utils.core.quiet import load_tensorflow
from lab_utils.data import pipeline
from lab_utils.data.decoding import decode
from lab_utils.networks import backbones
from lab_utils.networks.building import NEAR, building, joined, small_kernel
from lab_utils.networks.random_warp import random_warp
from lab_utils.stats.intervals import Accuracy, Difference, Estimate, mean_estimate, paired_difference
from lab_utils.training import feeding
from lab_utils.training.fit import Run, fit

if TYPE_CHECKING:
    import keras

    from lab_utils.lab import Lab

FIXED, VARIABLE = "FS", "VS"
ARCHITECTURES = {  # the paper's names, in its order
    "VGG11": "vgg11",
    "VGG16": "vgg16",
    "ResNet18": "resnet18",
    "ResNet50": "resnet50",
    "DenseNet121": "densenet121",
    "EfficientNet-B0": "efficientnetb0",
    "EfficientNet-B3": "efficientnetb3",
}
B3 = "EfficientNet-B3"
STRIDE = 32  # pixels of the input a cell of the last feature map
AUGMENT = {"rotation": 30.0, "shift": 0.0, "flip": True, "fill": "constant"}


# ---- what can be run ------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Shapes:
    """Where the aspect ratios of VS come from.

    Attributes:
        applicable: whether the images have any but the square one.
        words: for the protocol column.
        aspect: width / height by which square copies are stretched back, (len(images),); None: the files' own.
    """

    applicable: bool
    words: str
    aspect: np.ndarray | None = None


def shapes(lab: "Lab", looked_at: int = 64) -> Shapes:
    """Find out whether the files keep their aspect ratio, are square copies, or simply square; looks at some evenly."""
    ratios = []
    for row in np.unique(np.linspace(0, len(lab.images) - 1, looked_at).astype(int)):
        height, width, _ = decode(lab.images["path"].iloc[row]).shape
        ratios.append(width / height)
    known = lab.images["aspect"].to_numpy(float)
    if _not_square(np.array(ratios)):
        return Shapes(True, "aspect ratio of the files")
    if _not_square(known):
        return Shapes(True, "square copies stretched back by the table's aspect ratio", known)
    return Shapes(False, "not applicable: all images are square")


def _not_square(ratios: np.ndarray) -> bool:
    """Whether any side is more than 2 % longer than the other."""
    return bool(np.abs(np.log(ratios)).max() > 0.02)


def architectures(lab: "Lab") -> pd.DataFrame:
    """The paper's seven and our stand-in: architecture, network, and why it isn't run here (empty: it is).

    Random weights are said in the name. Where the profile downloads, weights are fetched here, so that one file that
    can't be had is a reason in its row and stops nothing.
    """
    options, weights = lab.settings.paper, lab.settings.networks.weights
    names = ARCHITECTURES | {f"{backbones.backbone(options.stand_in).title} (stand-in)": options.stand_in}
    said = "" if weights == "imagenet" else " (random weights)"
    reasons = []
    for name in names.values():
        reason = backbones.missing(name, weights, options.download)
        fetched = backbones.fetch([(name, False)], weights) if options.download and not reason else []
        reasons.append(reason or " ".join(fetched))
    titles = [f"{title}{said}" for title in names]
    return pd.DataFrame({"architecture": titles, "network": list(names.values()), "not run because": reasons})


# ---- the network ----------------------------------------------------------------------------------------------------
def masked_mean(features: Any, mask: Any) -> Any:
    """Average a feature map over the image, leaving the padding out.

    Args:
        features: tensor (B, h, w, C).
        mask: tensor (B, H, W), 1 on the image and 0 on the padding; H = 32 h, W = 32 w.

    Returns:
        Tensor (B, C): cells weighted by the share of their 32 x 32 pixels that lies on the image.
    """
    import keras

    share = keras.ops.average_pool(mask[..., None], STRIDE, STRIDE, padding="same")
    weight = share / (keras.ops.sum(share, axis=(1, 2), keepdims=True) + 1e-9)
    return keras.ops.sum(features * weight, axis=(1, 2))


def network(lab: "Lab", name: str, shape: str) -> "keras.Model":
    """A pretrained network with a new output layer that starts with a small kernel, compiled.

    Returns:
        FS: from RGB pixels of 0..255 (B, size, size, 3), of which it crops a square; VS: from such pixels (B, H, W, 3)
        and where they are no padding (B, H, W), with H and W multiples of 32; to logits (B, classes).
    """
    import keras

    options, fixed = lab.settings.paper, shape == FIXED
    kind = {"weights": lab.settings.networks.weights, "seed": options.seed}
    kind["size"] = options.crop if fixed else (None, None)
    with building("float32", options.seed):
        base = backbones.frozen_base(name, options.frozen, **kind)
        pixels = keras.Input((options.size, options.size, 3) if fixed else (None, None, 3), name="pixels")
        moved = random_warp(**AUGMENT, size=options.crop if fixed else None, name="augmented")
        if fixed:
            inputs, x = pixels, backbones.preprocess(name, moved(pixels))
            pooled = keras.layers.GlobalAveragePooling2D()(joined(base, x))
        else:
            mask = keras.Input((None, None), name="mask")
            inputs, x = [pixels, mask], preprocessed(name, moved(pixels, inside=mask), mask)
            pooled = masked_mean(joined(base, x), mask)
        output = keras.layers.Dense(len(lab.classes), kernel_initializer=small_kernel(), name="logits")
        model = keras.Model(inputs, output(pooled), name=name)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(options.learning_rate, amsgrad=True), loss)
    return model


def preprocessed(name: str, images: Any, mask: Any) -> Any:
    """Preprocess padded images (B, H, W, 3) of 0..255; padding becomes the network's zero.

    Args:
        name: of the network.
        images: array or tensor, symbolic ones too.
        mask: (B, H, W), 1 on the image and 0 on the padding.
    """
    import keras

    return keras.ops.where(mask[..., None] > 0, backbones.preprocess(name, images), backbones.neutral(name))


# ---- the images -----------------------------------------------------------------------------------------------------
def splits(lab: "Lab", shape: str) -> dict[str, feeding.Split]:
    """What a network is fed by split: squares (FS), or images of equal area in their own aspect ratio (VS)."""
    options = lab.settings.paper
    if shape == FIXED:
        return feeding.splits_of(lab.split_images, options.cap, size=options.size)
    images = padded_images(lab)
    aspect = None if images.aspect is None else records.content_hash(images.aspect)
    key = ["variable shape", lab.split_images.data_hash, images.pixels, aspect, usage.code_hash(pipeline.__name__)]
    return feeding.splits_of(lab.split_images, options.cap, inputs=images, key=key)


def padded_images(lab: "Lab") -> pipeline.PaddedImages:
    """The run's images at the profile's area, in their own aspect ratio."""
    paths = lab.images["path"].to_numpy()
    return pipeline.PaddedImages(paths, lab.settings.paper.size**2, shapes(lab).aspect, STRIDE)


def check_inputs(name: str, split: feeding.Split) -> None:
    """Check the range of the first images as the network gets them.

    Raises:
        LabError: they are not preprocessed, or twice.
    """
    rows = split.positions[:16]
    if split.makes_batches:
        backbones.check_range(name, preprocessed(name, *split.inputs.batch_of(rows)))
    else:
        backbones.check_range(name, backbones.preprocess(name, np.asarray(split.inputs[rows])))


# ---- the runs -------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class PaperRun:
    """One architecture, fine-tuned in one shape.

    Attributes:
        architecture: its name in the table.
        network: its name in the registry.
        shape: `FS` or `VS`.
        fitted: history and weights.
        val: accuracy of the best epoch on val (on which that epoch was chosen).
        logits: of the test images, (n, classes).
    """

    architecture: str
    network: str
    shape: str
    fitted: Run
    val: Accuracy
    logits: np.ndarray

    @property
    def title(self) -> str:
        """Architecture and shape."""
        return f"{self.architecture}, {self.shape}"

    @property
    def predicted(self) -> np.ndarray:
        """Predicted labels of the test images, shape (n,)."""
        return self.logits.argmax(axis=1)


def fine_tuned(
    lab: "Lab",
    architecture: str,
    name: str,
    shape: str,
    progress: Callable[[str], None] = print,
    folder: Path | None = None,
) -> PaperRun:
    """Load or train one architecture in one shape by the profile's budget (`folder`: as of `training.fit.fit`)."""
    options, by_split, title = lab.settings.paper, splits(lab, shape), f"{architecture}, {shape}"
    check_inputs(name, by_split["val"])
    run = fit(
        network(lab, name, shape),
        by_split["train"],
        by_split["val"],
        others={"test": by_split["test"]},
        **{"epochs": options.epochs, "batch": options.batch, "seed": options.seed, "precision": None},
        **{"folder": folder, "title": title, "tolerance": NEAR, "progress": progress},
    )
    predicted = run.logits("val").argmax(axis=1)
    val = Accuracy.from_labels(by_split["val"].labels, predicted, f"{title}, val", lab.lots("val"))
    return PaperRun(architecture, name, shape, run, val, run.logits("test"))


def fit_all(lab: "Lab", todo: pd.DataFrame, progress: Callable[[str], None] = print) -> list[PaperRun]:
    """Fine-tune all architectures that can be run here, with fixed and (where it applies) variable shape.

    Raises:
        LabError: none can be run, or a class has no train image.
    """
    present = set(lab.images["label"].to_numpy()[lab.rows("train")])
    without = [name for label, name in enumerate(lab.classes) if label not in present]
    if without:
        raise LabError(
            f"Class {without[0]!r} has no train image, so nothing can learn it: add some or remove the class."
        )
    kinds = (FIXED, VARIABLE) if shapes(lab).applicable else (FIXED,)
    chosen = todo[todo["not run because"] == ""]
    if chosen.empty:
        raise LabError("None of the architectures has its weights here: put one's file into data/weights/.")
    pairs = zip(chosen["architecture"], chosen["network"], strict=True)
    return [fine_tuned(lab, title, name, shape, progress) for title, name in pairs for shape in kinds]


def protocol(lab: "Lab", theirs: pd.DataFrame) -> pd.DataFrame:
    """The settings of our runs beside the paper's: columns setting, here, paper (reported).

    Args:
        lab: of the run.
        theirs: `data/reported/paper_protocol.csv`.
    """
    use = lab.settings.paper
    images = len(lab.split_images.rows("train", use.cap))
    ours = {
        "train images": f"{images:,}" if lab.table.source == "mame" else f"{images:,}, {lab.table.source} data",
        "FS size": f"{use.size} → {use.crop} px",
        "VS area": f"{use.size**2:,} px, {shapes(lab).words}",
        "weights at the start": lab.settings.networks.weights,
        "frozen": f"{use.frozen} of 5 blocks" if use.frozen else "none",
        "epochs": f"{use.epochs}",
        "batch": f"{use.batch}",
        "learning rate": f"{use.learning_rate:g}",
        "rotation": f"±{AUGMENT['rotation']:g}°",
        "mirroring": "horizontal" if AUGMENT["flip"] else "none",
        "optimiser": "Adam with amsgrad",
        "normalisation": "each network's own, BatchNorm as pretrained",
        "epoch": "best on val",
    }
    known = theirs.set_index("setting")["value"]
    paper = [known.get(setting, "not known") for setting in ours]
    return pd.DataFrame({"setting": list(ours), "here": list(ours.values()), "paper (reported)": paper})


def protocol_differences(table: pd.DataFrame) -> str:
    """The settings of `protocol` that are known to differ from the paper's, in words."""
    other = table[(table["here"] != table["paper (reported)"]) & (table["paper (reported)"] != "not known")]
    rows = zip(other["setting"], other["here"], other["paper (reported)"], strict=True)
    return "; ".join(f"{setting} {here} (paper {paper})" for setting, here, paper in rows)


def results_table(
    todo: pd.DataFrame, reported: pd.DataFrame, test: Mapping[str, Accuracy], variable: Shapes, differences: str
) -> pd.DataFrame:
    """The paper's table with our runs beside it.

    Args:
        todo: from `architectures`.
        reported: columns architecture, fs, vs (shares).
        test: `{"<architecture>, FS": accuracy}` of the runs.
        variable: from `shapes`.
        differences: from `protocol_differences`.
    """
    known, names = reported.set_index("architecture"), {network: name for name, network in ARCHITECTURES.items()}
    rows = []
    for title, network, reason in todo[["architecture", "network", "not run because"]].itertuples(index=False):
        row, name = {"architecture": title}, names.get(network)
        row |= {
            f"{s} (reported)": f"{100 * known.at[name, s.lower()]:.2f} %" if name in known.index else "–"
            for s in (FIXED, VARIABLE)
        }
        row |= {f"{s} (here)": test.get(f"{title}, {s}", "not run") for s in (FIXED, VARIABLE)}
        if not reason and not variable.applicable:
            row[f"{VARIABLE} (here)"] = variable.words
        rows.append(row | {"differences of protocol": "–" if reason else differences})
    return pd.DataFrame(rows)


def reported_ties(reported: pd.DataFrame, n: int) -> str:
    """What the paper's own table says about FS and VS once its intervals are drawn (test images: n)."""
    kinds: dict[str, list[str]] = {"a tie": [], "better": [], "worse": []}
    for row in reported.itertuples():
        first, second = (Accuracy(round(value * n), n) for value in (row.vs, row.fs))
        difference = first.minus(second)
        kinds["a tie" if difference.tie else "better" if difference.value > 0 else "worse"].append(row.architecture)
    parts = [f"{word} for {', '.join(names)}" for word, names in kinds.items() if names]
    return f"In the reported table (n = {n:,}, unpaired intervals) VS against FS is {'; '.join(parts)}."


def support(lab: "Lab", truth: np.ndarray) -> dict[str, int]:
    """Test images a class, checked against the table's counts."""
    from lab_utils.stats import metrics

    counts = np.bincount(truth, minlength=len(lab.classes))
    medium = lab.images["medium"][lab.images["subset"] == "test"]
    metrics.check_support(counts, lab.classes, [int((medium == name).sum()) for name in lab.classes])
    return dict(zip(lab.classes, counts.tolist(), strict=True))


def shape_differences(
    truth: np.ndarray, runs: Sequence[PaperRun], groups: np.ndarray | None = None
) -> dict[str, Difference]:
    """Accuracy with VS minus accuracy with FS on the same test images, for each architecture that was run in both.

    Args:
        truth: labels of the test images, shape (n,).
        runs: in both shapes.
        groups: what the bootstrap draws together (lots), shape (n,).
    """
    fixed = {run.architecture: run.predicted for run in runs if run.shape == FIXED}
    return {
        run.architecture: paired_difference(truth, run.predicted, fixed[run.architecture], "VS minus FS", groups)
        for run in runs
        if run.shape == VARIABLE and run.architecture in fixed
    }


def against_rival(
    truth: np.ndarray, runs: Sequence[PaperRun], groups: np.ndarray | None = None
) -> tuple[Difference, str] | None:
    """EfficientNet-B3 minus the other architecture of the paper that is best on val (its name), with FS, on test.

    None where B3, or every other one, was not run; arguments as of `shape_differences`.
    """
    seven = [run for run in runs if run.network in ARCHITECTURES.values() and run.shape == FIXED]
    ours = [run for run in seven if run.network == ARCHITECTURES[B3]]
    others = [run for run in seven if run not in ours]
    if not ours or not others:
        return None
    rival = max(others, key=lambda run: run.val.value)
    of = f"{B3} minus {rival.architecture}"
    return paired_difference(truth, ours[0].predicted, rival.predicted, of, groups), rival.architecture


def decision(
    differences: Mapping[str, Difference], effect: Mapping[str, Estimate], variable: Shapes
) -> tuple[str, str, str]:
    """Which shape the later chapters use, why, and what else was considered."""
    better = [name for name, difference in differences.items() if not difference.tie and difference.value > 0]
    words = "; ".join(f"{name} {difference}" for name, difference in differences.items()) or variable.words
    if better:
        what = "Later chapters still use squares, although on these images variable shape would be better."
    else:
        what = "Later chapters use squares."
    because = (
        f"VS against FS: {words}; squares need no padding, which moves features by {effect['masked']} even masked."
    )
    return what, because, "variable shape with masked pooling; batches sorted by aspect ratio."


# ---- padding --------------------------------------------------------------------------------------------------------
def padding_effect(
    lab: "Lab", name: str, image: tuple[int, int] = (192, 320), canvas: tuple[int, int] = (320, 320)
) -> dict[str, Estimate]:
    """How far zero padding moves a network's pooled features, with masked and with plain pooling.

    Args:
        lab: of the run; train images evenly spaced in the table are used (`paper.padding_images`).
        name: of the network.
        image: height and width to which images are brought.
        canvas: height and width to which they are padded (multiples of 32, not smaller).

    Returns:
        `{"masked": ..., "unmasked": ...}`: mean of ||padded - alone|| / ||alone|| over the images, as percent.

    Raises:
        LabError: the canvas is smaller than the image, or no multiple of 32.
    """
    if any(c < i or c % STRIDE for i, c in zip(image, canvas, strict=True)):
        raise LabError(f"A canvas of {canvas} can't hold {image}: take multiples of {STRIDE} that are not smaller.")
    base = backbones.build(name, weights=lab.settings.networks.weights, size=(None, None), top=False)
    rows = lab.rows("train")
    chosen = rows[np.unique(np.linspace(0, len(rows) - 1, lab.settings.paper.padding_images).astype(int))]
    paths = lab.images["path"].to_numpy()[chosen]
    pixels = np.stack([pipeline.to_shape(pipeline.decode(path), *image) for path in paths])
    alone, _ = _pooled(base, name, pixels, image)
    masked, plain = _pooled(base, name, pixels, canvas)
    pooled = {"masked": masked, "unmasked": plain}
    size = np.linalg.norm(alone, axis=1)
    change = {key: np.linalg.norm(values - alone, axis=1) / size for key, values in pooled.items()}
    style = {"scale": 100, "unit": " %", "digits": 0}
    return {key: mean_estimate(values, f"{name}, {key} pooling", **style) for key, values in change.items()}


def _pooled(
    base: "keras.Model", name: str, pixels: np.ndarray, canvas: tuple[int, int], batch: int = 8
) -> tuple[np.ndarray, np.ndarray]:
    """Masked and plain means of the last feature map of images (N, H, W, 3) padded to a canvas, each (N, C)."""
    import tensorflow as tf

    room = [[0, 0], [0, canvas[0] - pixels.shape[1]], [0, canvas[1] - pixels.shape[2]]]
    run = tf.function(base)  # a graph frees each layer's output as soon as it is used
    pooled = []
    for start in range(0, len(pixels), batch):
        part = pixels[start : start + batch]
        mask = np.pad(np.ones(part.shape[:3], np.float32), room)
        maps = run(preprocessed(name, np.pad(part, [*room, [0, 0]]), mask))
        pooled.append((masked_mean(maps, mask).numpy(), tf.reduce_mean(maps, (1, 2)).numpy()))
    return tuple(np.concatenate(values) for values in zip(*pooled, strict=True))


def padding_words(effect: Mapping[str, Estimate]) -> str:
    """What the measurement says of masking, in a sentence."""
    masked, plain = effect["masked"], effect["unmasked"]
    start = f"Padding moves the pooled features by {plain} of their length with plain pooling, by {masked} with masked"
    if masked.high >= plain.low:
        return f"{start}: masking is not shown to help."
    rest = "what is left comes in through the receptive field, where a mask on the last map can't reach"
    return f"{start}: masking removes part of it; {rest}." if masked.low > 0.005 else f"{start}: masking removes it."


def padding_share(aspects: Sequence[float], pixels: int = 65536) -> float:
    """Share of a batch, in [0, 1], that is padding when images of these aspect ratios (width / height) share it."""
    sizes = np.array([pipeline.shape_of_area(pixels, aspect) for aspect in aspects])
    height, width = -(-sizes.max(axis=0) // STRIDE) * STRIDE
    return 1 - float(sizes.prod(axis=1).sum()) / (len(sizes) * height * width)


# ---- what the networks see ------------------------------------------------------------------------------------------
def inputs_shown(lab: "Lab", n: int = 4) -> tuple[list[np.ndarray], list[str]]:
    """The first n val images as FS (centre crop) and as one VS batch (padding grey): pictures and titles."""
    options, rows = lab.settings.paper, lab.rows("val")[:n]
    squares = lab.pixels(options.size)[rows]
    edge = (options.size - options.crop) // 2
    pictures = [square[edge : edge + options.crop, edge : edge + options.crop] for square in squares]
    titles = [f"{FIXED}: {name}" for name in lab.images["medium"].iloc[rows]]
    variable = shapes(lab)
    if variable.applicable:
        load_tensorflow()
        images, mask = padded_images(lab).batch_of(rows)
        pictures += list(np.where(mask[..., None] > 0, images, 160).astype(np.uint8))
        titles += [title.replace(FIXED, VARIABLE, 1) for title in titles]
    return pictures, titles
