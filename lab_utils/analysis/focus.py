"""Focus: does a network look at the image of the class asked for, among four images in a mosaic?"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from lab_utils.analysis.class_activation import OpenedNetwork, evidence, open_network
from lab_utils.core.errors import LabError
from lab_utils.stats.intervals import Estimate, mean_estimate

BATCH = 8  # mosaics at a time: memory stays flat in their number


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


def allows_mosaics(labels: np.ndarray) -> bool:
    """Whether some class of the images, labels (N,), can be a target: it has two images, and others have two."""
    _, sizes = np.unique(labels, return_counts=True)
    return bool(((sizes >= 2) & (len(labels) - sizes >= 2)).any())


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
    if not allows_mosaics(labels):
        raise LabError("Mosaics need a class with two images and two images of other classes: use more images.")
    rng = np.random.default_rng(seed)
    targets = np.resize(rng.permutation(able), count)
    mosaics = [_draw(labels, target, rng) for target in targets]
    members, wanted = (np.stack(part) for part in zip(*mosaics, strict=True))
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


def focus_on_mosaics(
    model: Any, images: np.ndarray, plan: Mosaics, method: str = "gradcam", shrink: bool = False
) -> Focus:
    """Score a network on mosaics at twice its input size, or at its own size where the head fixes it.

    Args:
        model: keras model from images of 0..255 to the classes of the plan.
        images: at the model's input size, in 0..255, shape (N, S, S, 3).
        plan: which images make the mosaics.
        method: of the maps.
        shrink: its own size even where it could take more: the fair comparison with a network that can't.
    """
    opened, shrunk = (open_network(model), True) if shrink else _at_twice_the_size(model, model.input_shape[1])
    scores = []
    for start in range(0, len(plan.targets), BATCH):
        part = slice(start, start + BATCH)
        mosaics = assemble(images, plan.members[part], opened.size)
        maps = evidence(opened, mosaics, plan.targets[part], method, BATCH)
        scores.append(focus_score(_even(maps), plan.wanted[part]))
    return Focus(np.concatenate(scores), opened.size, shrunk)


def mean_focus(scores: np.ndarray, of: str = "") -> Estimate:
    """Mean focus over the mosaics with positive relevance; chance is 0.5. Mosaics are drawn, not the images in them.

    Raises:
        LabError: no mosaic has any.
    """
    known = scores[np.isfinite(scores)]
    if not len(known):
        raise LabError(f"{of or 'This network'} has no positive evidence on any mosaic: nothing to score.")
    return mean_estimate(known, of)


def focus_gain(first: np.ndarray, second: np.ndarray, of: str = "") -> Estimate:
    """Mean difference of two networks' focus on the same mosaics (those where both have evidence)."""
    return mean_focus(first - second, of)


def _at_twice_the_size(model: Any, own: int) -> tuple[OpenedNetwork, bool]:
    try:
        return open_network(model, 2 * own), False
    except LabError:
        return open_network(model), True


def _even(maps: np.ndarray) -> np.ndarray:
    """Maps at a size that two quadrants share evenly (each cell repeated where a side is odd)."""
    grown = np.maximum(maps, 0)
    for axis in (1, 2):
        if grown.shape[axis] % 2:
            grown = grown.repeat(2, axis)
    return grown
