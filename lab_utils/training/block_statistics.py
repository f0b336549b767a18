"""What each block of a network sees, in two numbers a channel: features for small sets of images.

The last layer of a network trained on ImageNet has forgotten much of what tells materials and techniques apart. Mean
and standard deviation over space of every block's output keep colour, grain and texture; each layer gets the same
weight (`small_data`), however wide it is.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from lab_utils.networks import backbones
from lab_utils.training import features

BATCH = 32  # images at once


def layers(network: str, model: Any) -> list[str]:
    """Names of the layers that end a block or widen its input: projections of EfficientNets, else the embedding's."""
    names = backbones.embedding_layers(model, network)
    return [name for name in names if name.endswith("_project_bn")] or names


def extract(
    network: str, images: np.ndarray | Sequence[Path | str], *, size: int | None = None, weights: str = "imagenet"
) -> dict[str, np.ndarray]:
    """Signed roots of mean and spread over space of every block's output, averaged over image and mirror image.

    Args:
        network: name in the registry of backbones.
        images: uint8 array (N, size, size, 3), or N paths of good image files (squashed to `size`).
        size: input in pixels; None: native.
        weights: `imagenet` or `random`.

    Returns:
        `{"network@size layer": float32 array (N, 2 × channels)}`, and under `"network@size penultimate"` what a plain
        probe reads, (N, width), of the image alone.

    Raises:
        LabError: unknown network or size, missing weights, or an image that can't be read.
    """
    side = backbones.check_size(network, size)[0]
    names, run = _compiled(network, side, weights)
    rows: dict[str, list[np.ndarray]] = {name: [] for name in [*names, "penultimate"]}
    for batch in features.image_batches(images, side, BATCH):
        seen, mirrored = ({key: np.asarray(value) for key, value in run(x).items()} for x in (batch, batch[:, :, ::-1]))
        rows["penultimate"].append(seen["penultimate"])
        for name in names:
            both = [(seen[key] + mirrored[key]) / 2 for key in (name, features.SPREAD + name)]
            rows[name].append(signed_root(np.concatenate(both, axis=1)))
    return {f"{network}@{side} {name}": np.concatenate(parts) for name, parts in rows.items()}


def signed_root(values: np.ndarray) -> np.ndarray:
    """Square root of the size with the sign kept: tames channels that seldom fire and then strongly."""
    return np.sign(values) * np.sqrt(np.abs(values))


@lru_cache(maxsize=4)
def _compiled(network: str, side: int, weights: str) -> tuple[list[str], Callable[[Any], dict[str, Any]]]:
    """Names of the layers, and one pass that gives their means and spreads and the penultimate layer."""
    model = backbones.build(network, weights=weights, size=side)
    names = layers(network, model)
    return names, features.forward(model, network, [*names, *(features.SPREAD + name for name in names), "penultimate"])
