"""Chapter 03: what networks see in one image of each class, and the words beside probes and measures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from lab_utils.analysis import class_activation
from lab_utils.analysis.transferability import LAYERS, Probe, rank_agreement
from lab_utils.claims.reported_arithmetic import vgg16_parameters
from lab_utils.networks import registry
from lab_utils.stats.intervals import Accuracy, Estimate
from lab_utils.stats.metrics import softmax


# ---- what a network sees ---------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Prediction:
    """What a network answers on images, and where it looks.

    Attributes:
        labels: its first answer for each image, n words.
        probabilities: of that answer, shape (n,).
        maps: class activation of that answer, float32 (n, H, W) in [0, 1].
    """

    labels: list[str]
    probabilities: np.ndarray
    maps: np.ndarray

    def titles(self, name: str) -> list[str]:
        """A title for each image: the network's name, its answer and the probability."""
        return [f"{name}: {word}" for word in self.answers()]

    def answers(self) -> list[str]:
        """The answer with its probability, as the original prints it."""
        return [f"{word} ({chance:.2f})" for word, chance in zip(self.labels, self.probabilities, strict=True)]


def predict(model: Any, images: np.ndarray, names: Sequence[str]) -> Prediction:
    """First answer, its probability and its class-activation map (Grad-CAM) for each image.

    Args:
        model: keras model that ends in logits.
        images: as the model takes them, shape (n, H, W, 3).
        names: of its classes.
    """
    chances = softmax(model.predict(images, verbose=0))
    first = chances.argmax(1)
    maps = class_activation.grad_cam(model, images, first)
    return Prediction([str(names[label]).replace("_", " ") for label in first], chances.max(1), maps)


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


# ---- probes and measures in words ------------------------------------------------------------------------------------
def order_words(
    probes: Mapping[str, Mapping[str, Probe]], titles: Mapping[str, str], groups: np.ndarray | None = None
) -> str:
    """Whether outputs < logits < features holds on the probes, network by network, in a sentence."""
    steps = {network: [row[b].minus(row[a], groups) for a, b in pairwise(LAYERS)] for network, row in probes.items()}
    told = "; ".join(f"{titles[n]}: logits {first}, features {second}" for n, (first, second) in steps.items())
    all_steps = [step for pair in steps.values() for step in pair]
    if all(step.low > 0 for step in all_steps):
        end = "Every step down adds to what the probe reads, as expected."
    elif any(step.high < 0 for step in all_steps):
        end = "The expected order is wrong in at least one step."
    else:
        end = "The expected order is not shown in every step."
    return f"Logits against outputs, then features against logits: {told}. {end}"


def shuffled_words(shuffled: Estimate, floor: Accuracy) -> str:
    """Whether shuffled labels leave the probe nothing to read, in a sentence; `floor` is the commonest answer's."""
    mean, low, high = (f"{100 * value:.1f}" for value in (shuffled.value, shuffled.low, shuffled.high))
    words = f"With the train labels shuffled the probe reaches {mean} % on average over {shuffled.n} permutations "
    words += f"({low} to {high}); the commonest answer reaches {floor}"
    if shuffled.low > floor.interval[1]:
        return f"{words}. It stays above that every time, so these probes measure something besides the labels."
    return f"{words}. So it reads nothing where there is nothing to read."


def measures_table(
    measures: Mapping[str, Mapping[str, Estimate]], probes: Mapping[str, Mapping[str, Probe]], titles: Mapping[str, str]
) -> pd.DataFrame:
    """One row a network: its measures on train and its two probes on val."""
    shown = (LAYERS[0], LAYERS[-1])
    return pd.DataFrame(
        {"network": titles[network], **row, **{f"probe, {name}": probes[network][name].accuracy for name in shown}}
        for network, row in measures.items()
    )


def agreement_words(measures: Mapping[str, Mapping[str, Estimate]], probed: Mapping[str, Accuracy]) -> str:
    """Rank agreement of every measure with the probe, in a sentence; for five networks or more."""
    names = list(next(iter(measures.values())))
    agreements = {name: rank_agreement({n: row[name] for n, row in measures.items()}, probed) for name in names}
    return (
        "Kendall's rank agreement with the ImageNet-output probe: "
        + "; ".join(f"{k} {v}" for k, v in agreements.items())
        + "."
    )


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


# ---- the networks and their sizes ------------------------------------------------------------------------------------
def networks_table(reported: pd.DataFrame, networks: Sequence[str]) -> pd.DataFrame:
    """Parameters and features of the original's networks and this run's: reported, and as the built networks have them.

    Args:
        reported: `data/reported/models.csv`.
        networks: names in the registry of this run's networks.
    """
    printed = reported.set_index("model")
    own = [registry.backbone(name) for name in networks]
    known = [entry for entry in registry.REGISTRY.values() if entry.title in printed.index and entry not in own]
    rows = []
    for entry in [*known, *own]:
        given = printed.loc[entry.title] if entry.title in printed.index else {"parameters": None, "features": None}
        numbers = (given["parameters"], entry.parameters, given["features"], entry.width)
        rows.append([entry.title, *("–" if number is None else f"{number:,}" for number in numbers)])
    columns = ["network", "parameters (reported)", "without top", "features (reported)", "penultimate layer"]
    return pd.DataFrame(rows, columns=columns)


def parameters_words(reported: pd.DataFrame) -> str:
    """Which of the reported numbers of parameters are those of the network without its top, and what the others are."""
    titles = {entry.title: entry.parameters for entry in registry.REGISTRY.values()}
    printed = {name: int(count) for name, count in zip(reported["model"], reported["parameters"], strict=True)}
    right = [name for name, count in printed.items() if titles.get(name) == count]
    words = [f"The reported parameters of {', '.join(right) or 'no network'} are those without the top."]
    parts = {"VGG16": vgg16_parameters()}
    for name in [name for name in printed if name not in right]:
        sizes = {"without top": titles.get(name, 0)} | parts.get(name, {})
        known = [part for part, size in sizes.items() if size == printed[name]]
        listed = ", ".join(f"{part} {size:,}" for part, size in sizes.items() if part not in known)
        words.append(f"{name}'s are {known[0] if known else 'none of its parts'} ({listed}).")
    return " ".join(words)
