"""Chapter 03: what networks see in one image of each class, and tables of probes and measures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd

from lab_utils.analysis.transferability import LAYERS, Probe
from lab_utils.stats.intervals import Estimate


# ---- what a network sees ---------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Prediction:
    """What a network answers on images, and where it looks.

    Attributes:
        names: of its classes.
        probabilities: of all classes, shape (n, C).
        maps: class activation of its first answer, float32 (n, H, W) in [0, 1].
    """

    names: Sequence[str]
    probabilities: np.ndarray
    maps: np.ndarray

    def titles(self, name: str) -> list[str]:
        """A title for each image: the network's name, its answer and the probability."""
        return [f"{name}: {word}" for word in self.answers()]

    def answers(self) -> list[str]:
        """The first answer with its probability, as the original prints it."""
        return [f"{self.names[row.argmax()]} ({row.max():.2f})" for row in self.probabilities]


def first_of_each(labels: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Position of the first of `rows` of each class that occurs, in label order; labels has shape (N,)."""
    _, first = np.unique(labels[rows], return_index=True)
    return rows[first]


def gallery(pixels: np.ndarray, mediums: Sequence[str], predictions: Mapping[str, Prediction]) -> dict[str, list]:
    """Pictures, maps and titles of a sheet with a row for each image: the image, then what each network sees in it.

    Args:
        pixels: uint8 (n, H, W, 3).
        mediums: true class of each image.
        predictions: network -> its predictions of the same images.

    Returns:
        Arguments of `figures.overlays`.
    """
    sheet: dict[str, list] = {"images": [], "maps": [], "titles": []}
    titles = {name: prediction.titles(name) for name, prediction in predictions.items()}
    for place, medium in enumerate(mediums):
        sheet["images"] += [pixels[place]] * (1 + len(predictions))
        sheet["maps"] += [None, *(prediction.maps[place] for prediction in predictions.values())]
        sheet["titles"] += [medium, *(titles[name][place] for name in predictions)]
    return sheet


def answers_table(
    mediums: Sequence[str], predictions: Mapping[str, Prediction], reported: pd.DataFrame
) -> pd.DataFrame:
    """First answers of our networks beside the labels printed in the original, one row a medium.

    Args:
        mediums: true class of each image.
        predictions: network -> its predictions.
        reported: `data/reported/task_similarity.csv`.
    """
    table = pd.DataFrame(
        {"medium": list(mediums), **{name: prediction.answers() for name, prediction in predictions.items()}}
    )
    for network, rows in reported.groupby("network", sort=False):
        printed = {row.medium: f"{row.label.replace('_', ' ')} ({row.probability:.2f})" for row in rows.itertuples()}
        table[f"{network} (reported)"] = table["medium"].map(printed).fillna("")
    return table


# ---- probes and measures ---------------------------------------------------------------------------------------------
def steps_table(
    probes: Mapping[str, Mapping[str, Probe]], titles: Mapping[str, str], groups: np.ndarray | None = None
) -> pd.DataFrame:
    """One row a network: what the probe reads more on each layer than on the one above it, paired differences."""
    return pd.DataFrame(
        {"network": titles[network]}
        | {f"{lower} minus {upper}": row[lower].minus(row[upper], groups) for upper, lower in pairwise(LAYERS)}
        for network, row in probes.items()
    )


def measures_table(
    measures: Mapping[str, Mapping[str, Estimate]], probes: Mapping[str, Mapping[str, Probe]], titles: Mapping[str, str]
) -> pd.DataFrame:
    """One row a network: its measures on train and its two probes on val."""
    shown = (LAYERS[0], LAYERS[-1])
    return pd.DataFrame(
        {"network": titles[network], **row, **{f"probe, {name}": probes[network][name].accuracy for name in shown}}
        for network, row in measures.items()
    )


def agreement_words(agreements: Mapping[str, Estimate | str]) -> str:
    """Rank agreement of every measure with the probe, or why none is given, in a sentence."""
    reasons = [value for value in agreements.values() if isinstance(value, str)]
    if reasons:
        return reasons[0]
    told = "; ".join(f"{name} {value}" for name, value in agreements.items())
    return f"Kendall's rank agreement with the ImageNet-output probe: {told}."


def decision(probes: Mapping[str, Probe], title: str) -> tuple[str, str, str]:
    """Which layer the next chapters use, the reason, and what else was considered (for `lab.decide`)."""
    ceiling, output = probes["penultimate features"], probes["ImageNet outputs"]
    gap = ceiling.minus(output)
    names = ["penultimate features", "1,000 ImageNet outputs"]
    layer, other = names if gap.tie or gap.value > 0 else names[::-1]
    return (
        f"Chapters 04 and 05 work on the {layer} first.",
        f"on {title} the probe reads {ceiling.accuracy} from the penultimate features and {output.accuracy} from the "
        f"outputs (features against outputs: {gap}).",
        f"the {other}; chapter 05 keeps both side by side, as the original did.",
    )
