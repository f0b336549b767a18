"""Chapter 13: sheets of heat maps, and the numbers beside them in words."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lab_utils.analysis import class_activation
from lab_utils.analysis.focus import Focus, Mosaics, focus_gain, mean_focus
from lab_utils.chapters.cam_models import CamModel
from lab_utils.core.errors import LabError
from lab_utils.data import mame_facts
from lab_utils.stats import metrics
from lab_utils.stats.intervals import Estimate, mean_estimate

if TYPE_CHECKING:
    from lab_utils.lab import Lab


FEWEST = 5  # images of a group whose mean is given
METHODS = {"gradcam": "Grad-CAM", "hirescam": "HiResCAM"}
MARKS = {  # at the border of an image
    "ruler": "ruler and colour chart",
    "number": "printed number",
    "stand": "stand",
    "caption": "caption",
    "mount": "mount",
}
Sheet = tuple[list[np.ndarray], list[np.ndarray], list[str]]
Maps = Callable[..., np.ndarray]  # (network, rows, classes asked for, average=...) -> maps in [0, 1], (n, size, size)
FocusByWay = dict[str, dict[str, Focus]]


# ---- sheets of maps --------------------------------------------------------------------------------------------------
def table(networks: Mapping[str, CamModel]) -> pd.DataFrame:
    """The networks with their input size, the layer they are opened at, and the size of its map."""
    rows = []
    for kind, network in networks.items():
        height, width = network.opened.map_size
        rows.append((kind, network.title, f"{network.size} px", network.opened.layer, f"{height} × {width}"))
    return pd.DataFrame(rows, columns=["network", "title", "input", "layer", "map"])


def map_words(networks: Mapping[str, CamModel]) -> str:
    """Which networks' last maps have too few cells, and where their maps come from instead; "" where none has."""
    told = [f"{network.title}: {network.opened.map_words}" for network in networks.values() if network.opened.map_words]
    return " ".join(told)


def sheet(
    lab: "Lab", networks: Mapping[str, CamModel], rows: np.ndarray, answers: Mapping[str, np.ndarray], maps: Maps
) -> Sheet:
    """Images, maps and titles for `figures.overlays`: every image once for each network, with the map of its answer.

    Args:
        lab: the run.
        networks: in the order of the sheet.
        rows: positions in `lab.images`, shape (n,).
        answers: class probabilities of each network for these images, shape (n, classes).
        maps: makes them, by the notebook's own function.
    """
    by_kind = {kind: maps(network, rows, answers[kind].argmax(1)) for kind, network in networks.items()}
    images, heats, titles = [], [], []
    for place, row in enumerate(rows):
        true = lab.classes[lab.images["label"].iloc[row]]
        for kind, network in networks.items():
            chances = answers[kind][place]
            answer = lab.classes[chances.argmax()]
            images.append(lab.pixels(network.size)[row])
            heats.append(by_kind[kind][place])
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


def pair_sheet(lab: "Lab", network: CamModel, rows: np.ndarray, pair: tuple[int, int], maps: Maps) -> Sheet:
    """Images, maps and titles for `figures.overlays`: one row an image, the evidence for each class of a pair."""
    both = [maps(network, rows, np.full(len(rows), label)) for label in pair]
    images = [lab.pixels(network.size)[row] for row in rows for _ in pair]
    true = [lab.classes[lab.images["label"].iloc[row]] for row in rows]
    titles = [f"for {lab.classes[label]} (is {name})" for name in true for label in pair]
    return images, [heat for pictures in zip(*both, strict=True) for heat in pictures], titles


def method_sheet(lab: "Lab", network: CamModel, rows: np.ndarray, answers: np.ndarray, maps: Maps) -> Sheet:
    """Images, maps and titles for `figures.overlays`: every image twice, by Grad-CAM and by HiResCAM.

    Args:
        lab: the run.
        network: whose maps.
        rows: positions in `lab.images`, shape (n,).
        answers: class of each map, shape (n,).
        maps: makes them, by the notebook's own function.
    """
    by_method = [maps(network, rows, answers, average=average) for average in (True, False)]
    images = [lab.pixels(network.size)[row] for row in rows for _ in METHODS]
    titles = [f"{name}: {lab.classes[answer]}" for answer in answers for name in METHODS.values()]
    return images, [heat for pair in zip(*by_method, strict=True) for heat in pair], titles


def agreement_words(name: str, correlation: np.ndarray, pooled: bool) -> str:
    """How far Grad-CAM and HiResCAM agree for one network.

    Args:
        name: of the network.
        correlation: rank correlation of the two maps of each image, NaN where a map is constant, shape (N,).
        pooled: whether its head begins with average pooling (`OpenedNetwork.pooled`).
    """
    known = correlation[np.isfinite(correlation)]
    if not len(known):
        return f"{name}: every map is constant, so there is nothing to compare."
    words = f"{name}: the two methods differ (median rank correlation {np.median(known):.2f})"
    if known.min() > 0.999:
        why = (
            "as they must: its head begins with average pooling" if pooled else "though its head need not make them so"
        )
        return f"{name}: the two methods give the same maps, {why}."
    if pooled:
        return f"{words}, which average pooling at the head forbids but for rounding: its maps are nearly flat."
    return f"{words}; HiResCAM is the exact one."


# ---- focus on mosaics ------------------------------------------------------------------------------------------------
def focus_by_way(lab: "Lab", networks: Mapping[str, CamModel], plan: Mosaics | None, rows: np.ndarray) -> FocusByWay:
    """Focus of each network by both methods, each at the size it can take, and all on equally shrunk mosaics.

    Where the head begins with average pooling both methods give the same maps, which are made once.

    Returns:
        `{way: {network: Focus}}`; the shrunk ways are left out where no network, or every one, has to be shrunk.
        Nothing where there are no mosaics.
    """
    by_way: FocusByWay = {}
    for method, name in METHODS.items() if plan else ():
        for way, shrink in ((name, False), (f"{name}, all shrunk", True)):
            before = by_way.get(way.replace(name, METHODS["gradcam"]), {})
            by_way[way] = {
                kind: before[kind]
                if network.opened.pooled and kind in before
                else network.focus(lab, plan, rows, method, shrink)
                for kind, network in networks.items()
            }
            if len({focus.shrunk for focus in by_way[name].values()}) == 1:
                break
    return by_way


def mean_focuses(by_way: FocusByWay) -> dict[str, dict[str, Estimate]]:
    """Mean focus of each network by way, `{network: {way: value}}`; networks without evidence are left out."""
    return turned(
        {
            way: {
                kind: mean_focus(focus.scores, f"focus, {kind}, {way}")
                for kind, focus in part.items()
                if np.isfinite(focus.scores).any()
            }
            for way, part in by_way.items()
        }
    )


def focus_gains(by_way: FocusByWay, first: str, second: str) -> dict[str, Estimate]:
    """Focus of one network minus another's on the same mosaics, by way; ways without evidence are left out."""
    pairs = {way: (part[first].scores, part[second].scores) for way, part in by_way.items()}
    return {
        way: focus_gain(*pair, f"focus, {first} minus {second}, {way}")
        for way, pair in pairs.items()
        if np.isfinite(pair[0] - pair[1]).any()
    }


def focus_evidence(by_way: FocusByWay, network: str) -> dict[str, Any]:
    """Evidence on "smarter and focused": gains by way (`parts`), means of the first way in which both have evidence."""
    gains, means = focus_gains(by_way, "pretrained", "from scratch"), mean_focuses(by_way)
    first = next(iter(gains), "")
    pretrained, scratch = (means.get(kind, {}).get(first) for kind in ("pretrained", "from scratch"))
    return {"parts": gains, "pretrained": pretrained, "scratch": scratch, "network": network}


def mosaic_words(lab: "Lab", plan: Mosaics, by_way: FocusByWay) -> str:
    """Sizes of the mosaics, those without evidence, and the classes that could not be targets."""
    first = next(iter(by_way.values()))
    sizes = [
        f"{kind} {focus.side} px{' (shrunk: its head fixes the size)' if focus.shrunk else ''}"
        for kind, focus in first.items()
    ]
    silent = {
        f"{kind} by {way}": int(np.isnan(focus.scores).sum())
        for way, part in by_way.items()
        for kind, focus in part.items()
    }
    told = ", ".join(f"{name} {count}" for name, count in silent.items() if count)
    left = [lab.classes[label] for label in plan.left_out]
    words = f"Sides: {', '.join(sizes)}."
    words += " All shrunk: the others at their own size too." if len(by_way) > len(METHODS) else ""
    words += f" Mosaics without any positive evidence, left out: {told}." if told else ""
    return words + (f" Classes with one image, left out as targets: {', '.join(left)}." if left else "")


def gain_words(first: str, second: str, gains: Mapping[str, Estimate]) -> str:
    """Whether one thing is better than another on the same mosaics, by each way of measuring it."""
    kinds = {"better": [], "worse": [], "a tie": []}
    for way, gain in gains.items():
        kinds["a tie" if not gain.excludes(0.0) else "better" if gain.value > 0 else "worse"].append(f"{way} {gain}")
    told = "; ".join(f"{kind} by {', '.join(ways)}" for kind, ways in kinds.items() if ways)
    return f"{first} against {second}, on the same mosaics: {told or 'no mosaic has evidence in both'}."


def turned(by_kind: Mapping[str, Mapping[str, Estimate]]) -> dict[str, dict[str, Estimate]]:
    """From `{network: {group: value}}` to `{group: {network: value}}`."""
    names = dict.fromkeys(name for part in by_kind.values() for name in part)
    return {name: {kind: part[name] for kind, part in by_kind.items() if name in part} for name in names}


# ---- relevance at the border -----------------------------------------------------------------------------------------
def spread_rows(rows: np.ndarray, most: int) -> np.ndarray:
    """At most `most` of the rows, evenly spaced in the table's order."""
    if len(rows) <= most:
        return rows
    return rows[np.linspace(0, len(rows) - 1, most).round().astype(int)]


def border_groups(images: pd.DataFrame) -> dict[str, np.ndarray]:
    """Masks over the rows of an image table: each museum, lots known for a mark at the border, and all others.

    The marks are those listed with the largest lots (`mame_facts.big_lots`); groups without an image are left out.
    """
    marks = mame_facts.big_lots().drop_duplicates("lot").set_index("lot")["give_away"]
    mark_of = images["lot"].map(marks).fillna("").to_numpy()
    groups = {name: (images["museum"] == name).to_numpy() for name in sorted(set(images["museum"]) - {""})}
    groups |= {f"lots with a {words}": mark_of == mark for mark, words in MARKS.items()}
    groups["images without a known mark"] = mark_of == ""
    return {name: mask for name, mask in groups.items() if mask.any()}


def group_means(
    values: np.ndarray, groups: dict[str, np.ndarray], lots: np.ndarray | None = None
) -> dict[str, Estimate]:
    """Mean share of each group with at least `FEWEST` known values, in percent; `lots` (n,) are drawn."""
    known = {name: mask & np.isfinite(values) for name, mask in groups.items()}
    return {name: _mean_share(values, mask, lots, name) for name, mask in known.items() if mask.sum() >= FEWEST}


def _mean_share(values: np.ndarray, mask: np.ndarray, lots: np.ndarray | None, of: str = "") -> Estimate:
    inside = None if lots is None else lots[mask]
    return mean_estimate(values[mask], of, inside, (0, 1), scale=100, unit=" %", digits=1)


def marks_words(
    network: str, shares: np.ndarray, groups: Mapping[str, np.ndarray], labels: np.ndarray, lots: np.ndarray
) -> tuple[str, dict[str, float]]:
    """Whether the frame draws more relevance in lots with a known mark than in images of the same classes without one.

    The sentence, and the numbers that it shows (points), for `lab.say`.

    Args:
        network: its title.
        shares: of the relevance in the frame, NaN where a map is empty, shape (n,).
        groups: of `border_groups`.
        labels: class of each image, shape (n,).
        lots: of the images, shape (n,).
    """
    rest = groups.get("images without a known mark")
    marked = np.any(
        [mask for name, mask in groups.items() if name.startswith("lots with")] or [np.zeros(len(shares), bool)], 0
    )
    sides = [mask & np.isfinite(shares) for mask in (marked, rest if rest is not None else ~marked)]
    known = sides[0] | sides[1]
    compared = metrics.standardised_difference(shares[known], labels[known], sides[0][known], lots[known])
    if min(mask.sum() for mask in sides) < FEWEST or compared is None:
        few = f"{network}: too few of these images come from lots with a known mark at the border to compare them."
        return few, {}
    gap, classes = compared
    verb = "draw relevance to the frame" if gap.value > 0 else "go with less relevance in the frame"
    told = "make no difference beyond the interval" if gap.tie else verb
    low, high = (f"{100 * end:+.1f}" for end in (gap.low, gap.high))
    interval = f"{100 * gap.value:+.1f} points of the relevance, {low} to {high}"
    words = f"{network}: marks at the border {told} ({interval}, within {classes} class{'es' * (classes != 1)})."
    ends = {"gap": gap.value, "low": gap.low, "high": gap.high}
    return words, {name: 100 * value for name, value in ends.items() if np.isfinite(value)} | {"classes": classes}


# ---- maps of scrambled networks --------------------------------------------------------------------------------------
def correlation_curves(
    networks: Mapping[str, CamModel], checked: Mapping[str, Mapping[str, np.ndarray]]
) -> dict[str, tuple[np.ndarray, ...]]:
    """Curves for `figures.curves`: percent of kernels scrambled, mean rank correlation, low, high."""
    curves = {}
    for kind, stages in checked.items():
        shares = [100 * int(name.split()[0]) / int(name.split()[2]) for name in stages]
        means = [class_activation.mean_correlation(values) for values in stages.values()]
        parts = np.array([(1.0, 1.0, 1.0), *((mean.value, mean.low, mean.high) for mean in means)]).T
        curves[networks[kind].title] = (np.array([0.0, *shares]), *parts)
    return curves


def dependence_words(correlations: Mapping[str, Estimate]) -> str:
    """Whether maps change when what was learned is scrambled: a sentence for the networks of which the same is true.

    Args:
        correlations: mean rank correlation of the maps with all kernels permuted, by the network's title.
    """
    told: dict[str, list[str]] = {}
    for title, correlation in correlations.items():
        told.setdefault(_dependence(correlation), []).append(f"{correlation} ({title})")
    with_what = "With all kernels scrambled, their rank correlation with the maps before is"
    return " ".join(f"{with_what} {', '.join(values)}: {ending}." for ending, values in told.items())


def _dependence(correlation: Estimate) -> str:
    if correlation.high < 0.5:
        return "little is left, so the maps show what was learned"
    if correlation.low > 0.5:
        return "they stay alike, so the maps show edges of the picture more than what was learned"
    return "part of their order is lost, and how much is open"
