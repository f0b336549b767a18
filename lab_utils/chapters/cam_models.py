"""The networks that chapter 13 looks into, in one form: from scratch, pretrained, fine-tuned."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lab_utils.analysis import class_activation
from lab_utils.core.chapters import RUNS
from lab_utils.core.errors import LabError
from lab_utils.core.quiet import load_tensorflow
from lab_utils.data import mame_facts
from lab_utils.stats import metrics
from lab_utils.stats.intervals import Estimate, bootstrap_estimate

if TYPE_CHECKING:
    from lab_utils.lab import Lab

SCRATCH, HEADLINE = 10, "run 6"  # network of chapter 01 that the original calls balanced; its final fine-tuning run
KINDS = ("from scratch", "pretrained", "fine-tuned")
METHODS = {"gradcam": "Grad-CAM", "hirescam": "HiResCAM"}


@dataclass(frozen=True)
class Subject:
    """A network that answers with the run's classes.

    Attributes:
        title: for tables and figures.
        model: keras model that ends in class scores.
        prepare: from images of 0..255, shape (B, S, S, 3), to what the model expects.
    """

    title: str
    model: Any
    prepare: Callable[[np.ndarray], Any]

    @property
    def size(self) -> int:
        """Side of its input in pixels."""
        return self.model.input_shape[1]

    @cached_property
    def opened(self) -> class_activation.View:
        """The network at its last convolution (opened once: it is compiled)."""
        return class_activation.view(self.model)

    def inputs(self, lab: "Lab", rows: np.ndarray) -> np.ndarray:
        """Preprocessed images at some positions of `lab.images`, shape (n, size, size, 3)."""
        return np.asarray(self.prepare(np.asarray(lab.pixels(self.size)[rows])))

    def probabilities(self, lab: "Lab", rows: np.ndarray, batch: int = 32) -> np.ndarray:
        """Class probabilities at some positions of `lab.images`, shape (n, classes)."""
        pieces = [rows[start : start + batch] for start in range(0, len(rows), batch)]
        values = np.concatenate([self.opened.logits(self.inputs(lab, piece)) for piece in pieces])
        raised = np.exp(values - values.max(1, keepdims=True))
        return raised / raised.sum(1, keepdims=True)

    def maps(
        self, lab: "Lab", rows: np.ndarray, targets: np.ndarray | None = None, method: str = "gradcam"
    ) -> np.ndarray:
        """Class-activation maps (`grad_cam`) at some positions of `lab.images`, shape (n, size, size)."""
        return class_activation.grad_cam(self.opened, self.inputs(lab, rows), targets, method=method)

    def agreement(self, lab: "Lab", rows: np.ndarray) -> np.ndarray:
        """Rank correlation of Grad-CAM and HiResCAM at some positions of `lab.images`, shape (n,)."""
        inputs = self.inputs(lab, rows)
        return class_activation.rank_correlation(
            *(class_activation.evidence(self.opened, inputs, method=one) for one in class_activation.METHODS)
        )

    def scrambled(self, lab: "Lab", rows: np.ndarray, targets: np.ndarray, stages: int, seed: int) -> dict[str, Any]:
        """Rank correlations of `class_activation.randomisation_check` at some positions of `lab.images`."""
        inputs = self.inputs(lab, rows)
        return class_activation.randomisation_check(self.model, inputs, targets, stages, seed, opened=self.opened)

    def focus(
        self,
        lab: "Lab",
        plan: class_activation.Mosaics,
        rows: np.ndarray,
        method: str = "gradcam",
        shrink: bool = False,
    ) -> class_activation.Focus:
        """Focus scores on mosaics whose members are positions in `rows` (themselves positions in `lab.images`).

        Only the images that are in some mosaic are read.
        """
        used, members = np.unique(plan.members, return_inverse=True)
        plan = replace(plan, members=members.reshape(plan.members.shape))
        images = np.asarray(lab.pixels(self.size)[rows[used]])
        return class_activation.focus(self.model, images, plan, self.prepare, method, shrink=shrink)


def open_subjects(lab: "Lab") -> dict[str, Subject]:
    """The three networks of `KINDS`: scratch #10 (chapter 01), the first pretrained one, the headline run (chapter 11).

    Raises:
        LabError: chapter 01 or 11 was not run yet; the sentence says which.
    """
    lab.entries("01_baseline")
    lab.entries(RUNS[-1])
    load_tensorflow()
    makers = (scratch, pretrained, fine_tuned)
    return {kind: make(lab) for kind, make in zip(KINDS, makers, strict=True)}


def scratch(lab: "Lab") -> Subject:
    """The network from scratch of chapter 01, which rescales its images itself."""
    return Subject(
        f"#{SCRATCH} from scratch", lab.scratch_model(SCRATCH), lambda images: np.asarray(images, np.float32)
    )


def fine_tuned(lab: "Lab") -> Subject:
    """The headline run of chapter 11."""
    run = lab.fine_tune(HEADLINE)
    return Subject(f"{lab.title(run.recipe.network)}, {HEADLINE}", run.model(), run.preprocess)


def pretrained(lab: "Lab", name: str | None = None) -> Subject:
    """A frozen pretrained network with a linear head fitted on its train features.

    Args:
        lab: the run.
        name: of the network; default the one that the fine-tuning runs start from.
    """
    from lab_utils.networks import backbones

    load_tensorflow()
    import keras

    name = name or lab.settings.fine_tuning.networks[0]
    rows, size = lab.rows("train"), lab.settings.features.size
    weights, bias = linear_head(np.asarray(lab.features(name)[rows]), lab.labels("train"), len(lab.classes))
    network = backbones.build(
        name, weights=lab.settings.networks.weights, size=None if size == "native" else size, seed=0
    )
    features = network.get_layer(backbones.backbone(name).feature_layer).output
    scores = keras.layers.Dense(len(lab.classes), name="mediums")
    model = keras.Model(network.input, scores(features), name=f"{name}_with_linear_head")
    scores.set_weights([weights, bias])
    return Subject(f"{lab.title(name)}, frozen, linear head", model, lambda images: backbones.preprocess(name, images))


def linear_head(
    features: np.ndarray, labels: np.ndarray, classes: int, penalty: float = 100.0
) -> tuple[np.ndarray, np.ndarray]:
    """Fit a multinomial logistic regression on standardised features, written for the features as they are.

    Args:
        features: shape (n, D).
        labels: in 0..classes-1, shape (n,).
        classes: number of classes; one without images gets a score that never wins.
        penalty: of the squared weights (1 / C).

    Returns:
        Kernel (D, classes) and bias (classes,), float32.
    """
    from sklearn.linear_model import LogisticRegression

    mean, spread = features.mean(0), features.std(0) + 1e-6
    fit = LogisticRegression(C=1 / penalty, max_iter=300).fit((features - mean) / spread, labels)
    kernel, bias = np.zeros((features.shape[1], classes), np.float32), np.full(classes, -1e3, np.float32)
    slopes, starts = _one_a_class(fit)
    kernel[:, fit.classes_] = (slopes / spread).T
    bias[fit.classes_] = starts - slopes @ (mean / spread)
    return kernel, bias


def _one_a_class(fit: Any) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients (C, D) and intercepts (C,); scikit-learn keeps one row only where there are two classes."""
    if len(fit.classes_) > 2:
        return fit.coef_, fit.intercept_
    return np.concatenate([-fit.coef_, fit.coef_]) / 2, np.concatenate([-fit.intercept_, fit.intercept_]) / 2


# ---- sheets and words for chapter 13 ---------------------------------------------------------------------------------
Sheet = tuple[list[np.ndarray], list[np.ndarray], list[str]]


def table(networks: Mapping[str, Subject]) -> pd.DataFrame:
    """The networks with their input size, the layer they are opened at, and the size of its map."""
    rows = []
    for kind, one in networks.items():
        height, width = one.opened.model.output_shape[0][1:3]
        rows.append((kind, one.title, f"{one.size} px", one.opened.layer, f"{height} × {width}"))
    return pd.DataFrame(rows, columns=["network", "title", "input", "layer", "map"])


def sheet(lab: "Lab", networks: Mapping[str, Subject], rows: np.ndarray, answers: Mapping[str, np.ndarray]) -> Sheet:
    """Images, maps and titles for `figures.overlays`: every image once for each network, with the map of its answer.

    Args:
        lab: the run.
        networks: in the order of the sheet.
        rows: positions in `lab.images`, shape (n,).
        answers: class probabilities of each network for these images, shape (n, classes).
    """
    maps = {kind: one.maps(lab, rows, answers[kind].argmax(1)) for kind, one in networks.items()}
    images, heats, titles = [], [], []
    for place, row in enumerate(rows):
        true = lab.classes[lab.images["label"].iloc[row]]
        for kind, one in networks.items():
            chances = answers[kind][place]
            answer = lab.classes[chances.argmax()]
            images.append(lab.pixels(one.size)[row])
            heats.append(maps[kind][place])
            titles.append(f"{answer} ({chances.max():.2f})" + (f" [{true}]" if answer != true else ""))
    return images, heats, titles


def choose_pair(lab: "Lab", probabilities: np.ndarray, names: tuple[str, str] | None = None) -> tuple[int, int]:
    """Labels of the two named classes, or of the pair confused most on val.

    Raises:
        LabError: a name is no class of this run.
    """
    if names is not None:
        for name in names:
            if name not in lab.classes:
                raise LabError(f"There is no class {name!r} in this run; the classes are {', '.join(lab.classes)}.")
        return lab.classes.index(names[0]), lab.classes.index(names[1])
    counts = metrics.confusion_matrix(lab.labels("val"), probabilities.argmax(1), len(lab.classes))
    pairs = metrics.confused_pairs(counts, 1) or [(0, 1)]
    first, second = pairs[0]
    return (first, second) if counts[first, second] >= counts[second, first] else (second, first)


def pair_sheet(lab: "Lab", network: Subject, rows: np.ndarray, pair: tuple[int, int]) -> Sheet:
    """Images, maps and titles for `figures.overlays`: one row an image, the evidence for each class of a pair."""
    both = [network.maps(lab, rows, np.full(len(rows), label)) for label in pair]
    images = [lab.pixels(network.size)[row] for row in rows for _ in pair]
    true = [lab.classes[lab.images["label"].iloc[row]] for row in rows]
    titles = [f"for {lab.classes[label]} (is {name})" for name in true for label in pair]
    return images, [heat for pictures in zip(*both, strict=True) for heat in pictures], titles


def method_sheet(lab: "Lab", network: Subject, rows: np.ndarray, answers: np.ndarray) -> Sheet:
    """Images, maps and titles for `figures.overlays`: every image twice, by Grad-CAM and by HiResCAM.

    Args:
        lab: the run.
        network: whose maps.
        rows: positions in `lab.images`, shape (n,).
        answers: class of each map, shape (n,).
    """
    maps = [network.maps(lab, rows, answers, method) for method in METHODS]
    images = [lab.pixels(network.size)[row] for row in rows for _ in METHODS]
    titles = [f"{name}: {lab.classes[answer]}" for answer in answers for name in METHODS.values()]
    return images, [heat for pair in zip(*maps, strict=True) for heat in pair], titles


FocusByWay = dict[str, dict[str, class_activation.Focus]]


def focus_by_way(
    lab: "Lab", networks: Mapping[str, Subject], plan: class_activation.Mosaics, rows: np.ndarray
) -> FocusByWay:
    """Focus of each network by both methods, each at the size it can take, and all on equally shrunk mosaics.

    Where the head begins with average pooling both methods give the same maps, which are made once.

    Returns:
        `{way: {network: Focus}}`; the shrunk ways are left out where no network, or every one, has to be shrunk.
    """
    found: FocusByWay = {}
    for method, name in METHODS.items():
        for way, shrink in ((name, False), (f"{name}, all shrunk", True)):
            before = found.get(way.replace(name, METHODS["gradcam"]), {})
            found[way] = {
                kind: before[kind]
                if one.opened.pooled and kind in before
                else one.focus(lab, plan, rows, method, shrink)
                for kind, one in networks.items()
            }
            if len({one.shrunk for one in found[name].values()}) == 1:
                break
    return found


def mean_focuses(found: FocusByWay) -> dict[str, dict[str, Estimate]]:
    """Mean focus of each network by way, `{network: {way: value}}`; networks without evidence are left out."""
    return turned(
        {
            way: {
                kind: class_activation.mean_focus(one.scores, f"focus, {kind}, {way}")
                for kind, one in part.items()
                if np.isfinite(one.scores).any()
            }
            for way, part in found.items()
        }
    )


def focus_gains(found: FocusByWay, first: str, second: str) -> dict[str, Estimate]:
    """Focus of one network minus another's on the same mosaics, by way; ways without evidence are left out."""
    pairs = {way: (part[first].scores, part[second].scores) for way, part in found.items()}
    return {
        way: class_activation.focus_gain(*pair, f"focus, {first} minus {second}, {way}")
        for way, pair in pairs.items()
        if np.isfinite(pair[0] - pair[1]).any()
    }


def focus_evidence(found: FocusByWay, network: str) -> dict[str, Any]:
    """Evidence on "smarter and focused": gains by way (`parts`), means of the first way in which both have evidence."""
    gains, means = focus_gains(found, "pretrained", "from scratch"), mean_focuses(found)
    first = next(iter(gains), "")
    pretrained, scratch = (means.get(kind, {}).get(first) for kind in ("pretrained", "from scratch"))
    return {"parts": gains, "pretrained": pretrained, "scratch": scratch, "network": network}


def mosaic_words(lab: "Lab", plan: class_activation.Mosaics, focus: FocusByWay) -> str:
    """Sizes of the mosaics, those without evidence, and the classes that could not be targets."""
    first = next(iter(focus.values()))
    sizes = [
        f"{kind} {one.side} px{' (shrunk: its head fixes the size)' if one.shrunk else ''}"
        for kind, one in first.items()
    ]
    silent = {
        f"{kind} by {way}": int(np.isnan(one.scores).sum()) for way, part in focus.items() for kind, one in part.items()
    }
    told = ", ".join(f"{name} {count}" for name, count in silent.items() if count)
    left = [lab.classes[label] for label in plan.left_out]
    words = f"Sides: {', '.join(sizes)}."
    words += " All shrunk: the others at their own size too." if len(focus) > len(METHODS) else ""
    words += f" Mosaics without any positive evidence, left out: {told}." if told else ""
    return words + (f" Classes with one image, left out as targets: {', '.join(left)}." if left else "")


def turned(by_kind: Mapping[str, Mapping[str, Estimate]]) -> dict[str, dict[str, Estimate]]:
    """From `{network: {group: value}}` to `{group: {network: value}}`."""
    names = dict.fromkeys(name for part in by_kind.values() for name in part)
    return {name: {kind: part[name] for kind, part in by_kind.items() if name in part} for name in names}


def marks_words(network: str, shares: np.ndarray, groups: Mapping[str, np.ndarray], least: int = 5) -> str:
    """Whether the frame draws more relevance in lots with a known mark than in images without one."""
    rest = groups.get("images without a known mark")
    marked = np.any(
        [mask for name, mask in groups.items() if name.startswith("lots with")] or [np.zeros(len(shares), bool)], 0
    )
    sides = [shares[mask & np.isfinite(shares)] for mask in (marked, rest if rest is not None else ~marked)]
    if min(map(len, sides)) < least:
        return f"{network}: too few of these images come from lots with a known mark at the border to compare them."
    one, other = (bootstrap_estimate(part, digits=1, scale=100, unit=" %") for part in sides)
    gap = metrics.independent_difference(one, other)
    verb = "draw relevance to the frame" if gap.value > 0 else "go with less relevance in the frame"
    told = "make no difference beyond the interval" if gap.tie else verb
    return f"{network}: marks at the border {told} ({one} of the relevance in it, {other} without a mark)."


def correlation_curves(
    networks: Mapping[str, Subject], checked: Mapping[str, Mapping[str, np.ndarray]]
) -> dict[str, tuple[np.ndarray, ...]]:
    """Curves for `figures.curves`: percent of kernels scrambled, mean rank correlation, low, high."""
    curves = {}
    for kind, stages in checked.items():
        shares = [100 * int(name.split()[0]) / int(name.split()[2]) for name in stages]
        means = [class_activation.mean_correlation(values) for values in stages.values()]
        parts = np.array([(1.0, 1.0, 1.0), *((one.value, one.low, one.high) for one in means)]).T
        curves[networks[kind].title] = (np.array([0.0, *shares]), *parts)
    return curves


# ---- groups of images whose borders may give them away ---------------------------------------------------------------
MARKS = {
    "ruler": "ruler and colour chart",
    "number": "printed number",
    "stand": "stand",
    "caption": "caption",
    "mount": "mount",
}


def border_groups(images: pd.DataFrame) -> dict[str, np.ndarray]:
    """Masks over the rows of an image table: each museum, lots known for a mark at the border, and all others.

    The marks are those listed with the largest lots (`mame_facts.big_lots`); groups without an image are left out.
    """
    marks = mame_facts.big_lots().drop_duplicates("lot").set_index("lot")["give_away"]
    found = images["lot"].map(marks).fillna("").to_numpy()
    groups = {name: (images["museum"] == name).to_numpy() for name in sorted(set(images["museum"]) - {""})}
    groups |= {f"lots with a {words}": found == mark for mark, words in MARKS.items()}
    groups["images without a known mark"] = found == ""
    return {name: mask for name, mask in groups.items() if mask.any()}


def group_means(values: np.ndarray, groups: dict[str, np.ndarray], least: int = 5) -> dict[str, Estimate]:
    """Mean share of each group with at least `least` known values, in percent, with bootstrap intervals."""
    style = {"scale": 100, "unit": " %", "digits": 1}
    known = {name: values[mask & np.isfinite(values)] for name, mask in groups.items()}
    return {name: bootstrap_estimate(part, name, **style) for name, part in known.items() if len(part) >= least}


def spread_rows(rows: np.ndarray, most: int) -> np.ndarray:
    """At most `most` of the rows, evenly spaced in the table's order."""
    if len(rows) <= most:
        return rows
    return rows[np.linspace(0, len(rows) - 1, most).round().astype(int)]
