"""What can be told without looking at the object: sizes, museum, lot, border; and what a classifier makes of it."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd

from lab_utils.quantities import Accuracy, Estimate, bootstrap_estimate, paired_difference


def permutation_importance(
    predict: Callable[[np.ndarray], np.ndarray],
    table: np.ndarray,
    truth: np.ndarray,
    groups: Mapping[str, Sequence[int]],
    repeats: int = 10,
    seed: int = 0,
) -> dict[str, Estimate]:
    """How much accuracy is lost when columns are shuffled over the images (Breiman 2001), by group of columns.

    Columns of a group are shuffled together: one-hot columns alone can stand in for each other.

    Args:
        predict: table (m, D) -> labels (m,).
        table: val (or test) rows, shape (m, D).
        truth: their labels, shape (m,).
        groups: name -> column positions.
        repeats: shuffles a group.
        seed: of the shuffles.

    Returns:
        name -> loss of accuracy in [-1, 1], mean over shuffles, bootstrapped over images.
    """
    rng, right, lost = np.random.default_rng(seed), predict(table) == truth, {}
    for name, columns in groups.items():
        share = np.zeros(len(truth))
        for _ in range(repeats):
            shuffled = table.copy()
            shuffled[:, columns] = table[rng.permutation(len(table))][:, columns]
            share += (predict(shuffled) == truth) / repeats
        lost[name] = bootstrap_estimate(right - share, f"loss without {name}", scale=100, unit=" points", digits=1)
    return lost


def told_by_medium(labels: np.ndarray, targets: np.ndarray, train: np.ndarray, held: np.ndarray) -> np.ndarray:
    """The commonest target (museum, lot) of each image's true medium in train: what the medium alone tells of it.

    Args:
        labels: mediums, shape (N,), known on train and held.
        targets: text, shape (N,); "" is unknown and not counted.
        train: positions to count.
        held: positions to answer for.

    Returns:
        Predicted targets, shape (m,); the commonest of train where a medium has none.
    """
    known = train[np.asarray(targets)[train] != ""]
    seen = pd.Series(np.asarray(targets)[known])
    by_medium = seen.groupby(labels[known]).agg(lambda part: part.mode()[0])
    return pd.Series(labels[held]).map(by_medium).fillna(seen.mode()[0]).to_numpy(str)


def museum_words(truth: np.ndarray, by_features: np.ndarray, by_medium: np.ndarray) -> str:
    """How well the museum of each image is read from features, beside what its true medium tells; shapes (n,)."""
    more = paired_difference(truth, by_features, by_medium)
    return (
        f"The museum, read from the features on val: {Accuracy.from_labels(truth, by_features)}; told by the true "
        f"medium alone: {Accuracy.from_labels(truth, by_medium)}. The features against that: {more}."
    )


def half_images(images: np.ndarray) -> dict[str, np.ndarray]:
    """Images without their middle and without their border, both keeping half of the area; the rest is mid-grey.

    Args:
        images: uint8, shape (N, H, W, 3).

    Returns:
        {"border alone": (N, H, W, 3), "middle alone": (N, H, W, 3)}.
    """
    height, width = images.shape[1:3]
    top, left = round(height * (1 - 0.5**0.5) / 2), round(width * (1 - 0.5**0.5) / 2)
    inside = np.zeros((height, width, 1), bool)
    inside[top : height - top, left : width - left] = True
    grey = np.uint8(128)
    return {"border alone": np.where(inside, grey, images), "middle alone": np.where(inside, images, grey)}
