"""Chapter 02: fine-tuning as in the MAMe paper, with fixed (FS) and with variable shape (VS) at the same area.

Protocol of Parés et al. 2022 (doi:10.1007/s10489-021-02951-w). FS: resize to a square, random crop, centre crop at
test. VS: keep the aspect ratio at the same area, pad with zeros within the batch, pool over the image only.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lab_utils.core import records, usage
from lab_utils.core.errors import LabError
from lab_utils.data import pipeline
from lab_utils.data.decoding import decode
from lab_utils.networks import backbones
from lab_utils.stats.intervals import Accuracy, Difference, Estimate, mean_estimate, paired_difference
from lab_utils.training.setup import FineTuningSetup

if TYPE_CHECKING:
    import keras

    from lab_utils.lab import Lab
    from lab_utils.training.fit import Run

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

    @property
    def kinds(self) -> tuple[str, ...]:
        """The shapes that can be compared on these images."""
        return (FIXED, VARIABLE) if self.applicable else (FIXED,)


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


def runnable(lab: "Lab", todo: pd.DataFrame) -> list[tuple[str, str]]:
    """Architecture and network of all that can be run here.

    Raises:
        LabError: none can be run, or a class has no train image.
    """
    present = set(lab.images["label"].to_numpy()[lab.rows("train")])
    without = [name for label, name in enumerate(lab.classes) if label not in present]
    if without:
        raise LabError(
            f"Class {without[0]!r} has no train image, so nothing can learn it: add some or remove the class."
        )
    chosen = todo[todo["not run because"] == ""]
    if chosen.empty:
        raise LabError("None of the architectures has its weights here: put one's file into data/weights/.")
    return list(zip(chosen["architecture"], chosen["network"], strict=True))


def setup(lab: "Lab", network: str) -> FineTuningSetup:
    """A network and the profile's settings of this chapter, as `lab.here` gives them for the fine-tuning runs."""
    use = lab.settings.paper
    about = {name: getattr(use, name) for name in ("size", "frozen", "learning_rate", "batch", "epochs", "seed")}
    return FineTuningSetup("paper", network, lab.settings.networks.weights, pooling="average", **about)


# ---- the images -----------------------------------------------------------------------------------------------------
@dataclass(frozen=True, eq=False)
class VariableShape(pipeline.PaddedImages):
    """Images in their own aspect ratio, and the `key` by which `lab.fit` knows their content."""

    key: Any = None


def padded_images(lab: "Lab", variable: Shapes) -> VariableShape:
    """The run's images at the profile's area, in their own aspect ratio."""
    area, aspect = lab.settings.paper.size**2, variable.aspect
    known = None if aspect is None else records.content_hash(aspect)
    key = ["variable shape", lab.split_images.data_hash, area, known, usage.code_hash(pipeline.__name__)]
    return VariableShape(lab.images["path"].to_numpy(), area, aspect, STRIDE, key)


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
    fitted: "Run"
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


def result(lab: "Lab", architecture: str, network: str, shape: str, run: "Run") -> PaperRun:
    """Gather what the chapter says of a trained network."""
    of, predicted = f"{architecture}, {shape}, val", run.logits("val").argmax(axis=1)
    val = Accuracy.from_labels(lab.labels("val"), predicted, of, lab.lots("val"))
    return PaperRun(architecture, network, shape, run, val, run.logits("test"))


def protocol(lab: "Lab", theirs: pd.DataFrame, variable: Shapes, moves: Mapping[str, Any]) -> pd.DataFrame:
    """The settings of our runs beside the paper's: columns setting, here, paper (reported).

    Args:
        lab: of the run.
        theirs: `data/reported/paper_protocol.csv`.
        variable: from `shapes`.
        moves: what `random_warp` does to train images.
    """
    use = lab.settings.paper
    images = len(lab.split_images.rows("train", use.cap))
    ours = {
        "train images": f"{images:,}" if lab.table.source == "mame" else f"{images:,}, {lab.table.source} data",
        "FS size": f"{use.size} → {use.crop} px",
        "VS area": f"{use.size**2:,} px, {variable.words}",
        "weights at the start": lab.settings.networks.weights,
        "frozen": f"{use.frozen} of 5 blocks" if use.frozen else "none",
        "epochs": f"{use.epochs}",
        "batch": f"{use.batch}",
        "learning rate": f"{use.learning_rate:g}",
        "rotation": f"±{moves['rotation']:g}°",
        "mirroring": "horizontal" if moves["flip"] else "none",
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
    lab: "Lab", network: "keras.Model", image: tuple[int, int] = (192, 320), canvas: tuple[int, int] = (320, 320)
) -> dict[str, Estimate]:
    """How far zero padding moves a network's pooled features, for several ways of pooling.

    Args:
        lab: of the run; train images evenly spaced in the table are used (`paper.padding_images`).
        network: from RGB pixels of 0..255 (B, H, W, 3) and where they are no padding (B, H, W) to features (B, C), in
            a dict by way of pooling.
        image: height and width to which images are brought.
        canvas: height and width to which they are padded (multiples of 32, not smaller).

    Returns:
        By way of pooling: mean of ||padded - alone|| / ||alone|| over the images, as percent.

    Raises:
        LabError: the canvas is smaller than the image, or no multiple of 32.
    """
    if any(c < i or c % STRIDE for i, c in zip(image, canvas, strict=True)):
        raise LabError(f"A canvas of {canvas} can't hold {image}: take multiples of {STRIDE} that are not smaller.")
    rows = lab.rows("train")
    chosen = rows[np.unique(np.linspace(0, len(rows) - 1, lab.settings.paper.padding_images).astype(int))]
    paths = lab.images["path"].to_numpy()[chosen]
    pixels = np.stack([pipeline.to_shape(pipeline.decode(path), *image) for path in paths])
    alone, padded = (_features(network, pixels, shape) for shape in (image, canvas))
    style = {"scale": 100, "unit": " %", "digits": 0}
    effect = {}
    for way in alone:
        change = np.linalg.norm(padded[way] - alone[way], axis=1) / np.linalg.norm(alone[way], axis=1)
        effect[way] = mean_estimate(change, f"{network.name}, {way} pooling", **style)
    return effect


def _features(
    network: "keras.Model", pixels: np.ndarray, canvas: tuple[int, int], batch: int = 8
) -> dict[str, np.ndarray]:
    """What a network gives for images (N, H, W, 3) padded to a canvas, each (N, C)."""
    import tensorflow as tf

    room = [[0, 0], [0, canvas[0] - pixels.shape[1]], [0, canvas[1] - pixels.shape[2]]]
    run = tf.function(network)  # a graph frees each layer's output as soon as it is used
    parts = []
    for start in range(0, len(pixels), batch):
        part = pixels[start : start + batch].astype(np.float32)
        mask = np.pad(np.ones(part.shape[:3], np.float32), room)
        parts.append(run([np.pad(part, [*room, [0, 0]]), mask], training=False))
    return {way: np.concatenate([part[way] for part in parts]) for way in parts[0]}


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
def inputs_shown(lab: "Lab", variable: Shapes, n: int = 4) -> tuple[list[np.ndarray], list[str]]:
    """The first n val images as FS (centre crop) and as one VS batch (padding grey): pictures and titles."""
    options, rows = lab.settings.paper, lab.rows("val")[:n]
    squares = lab.pixels(options.size)[rows]
    edge = (options.size - options.crop) // 2
    pictures = [square[edge : edge + options.crop, edge : edge + options.crop] for square in squares]
    titles = [f"{FIXED}: {name}" for name in lab.images["medium"].iloc[rows]]
    if variable.applicable:
        images, mask = padded_images(lab, variable).batch_of(rows)
        pictures += list(np.where(mask[..., None] > 0, images, 160).astype(np.uint8))
        titles += [title.replace(FIXED, VARIABLE, 1) for title in titles]
    return pictures, titles
