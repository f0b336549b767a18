"""Chapter 03: the original's networks and this run's, with their numbers of parameters as printed and as built."""

from collections.abc import Sequence

import pandas as pd

from lab_utils.claims.reported_arithmetic import vgg16_parameters
from lab_utils.networks import backbones


def networks_table(reported: pd.DataFrame, networks: Sequence[str]) -> pd.DataFrame:
    """Parameters and features of the original's networks and this run's: reported, and as the built networks have them.

    Args:
        reported: `data/reported/models.csv`.
        networks: names in the registry of this run's networks.
    """
    printed = reported.set_index("model")
    own = [backbones.backbone(name) for name in networks]
    known = [entry for entry in backbones.REGISTRY.values() if entry.title in printed.index and entry not in own]
    rows = []
    for entry in [*known, *own]:
        given = printed.loc[entry.title] if entry.title in printed.index else {"parameters": None, "features": None}
        numbers = (given["parameters"], entry.parameters, given["features"], entry.width)
        rows.append([entry.title, *("–" if one is None else f"{one:,}" for one in numbers)])
    columns = ["network", "parameters (reported)", "without top", "features (reported)", "penultimate layer"]
    return pd.DataFrame(rows, columns=columns)


def parameters_words(reported: pd.DataFrame) -> str:
    """Which of the reported numbers of parameters are those of the network without its top, and what the others are."""
    titles = {entry.title: entry.parameters for entry in backbones.REGISTRY.values()}
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
