"""What can be told without looking at the object: sizes, museum, lot, border; and what a classifier makes of it."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd

from lab_utils.stats.intervals import Estimate, mean_estimate

MEAN = "mean of the classifiers"
AREA, GREY = 0.5, 128  # of half images: share of the area in the middle, and what stands for the other part


def permutation_losses(
    predict: Callable[[np.ndarray], np.ndarray],
    table: np.ndarray,
    truth: np.ndarray,
    columns: Sequence[int],
    repeats: int = 10,
    seed: int = 0,
) -> np.ndarray:
    """How much oftener each image is right as it is than with some columns shuffled over the images (Breiman 2001).

    The columns are shuffled together: one-hot columns alone can stand in for each other.

    Args:
        predict: table (m, D) -> labels (m,).
        table: val (or test) rows, shape (m, D).
        truth: their labels, shape (m,).
        columns: positions.
        repeats: shuffles.
        seed: of the shuffles.

    Returns:
        Losses in [-1, 1], shape (m,). Answers are counted and divided once, so that no loss is exactly 0.
    """
    rng, kept = np.random.default_rng(seed), np.zeros(len(truth), int)
    for _ in range(repeats):
        shuffled = table.copy()
        shuffled[:, columns] = table[rng.permutation(len(table))][:, columns]
        kept += predict(shuffled) == truth
    return ((predict(table) == truth) * repeats - kept) / repeats


def permutation_importance(
    predictors: Mapping[str, Callable[[np.ndarray], np.ndarray]],
    table: np.ndarray,
    truth: np.ndarray,
    parts: Mapping[str, Sequence[int]],
    lots: np.ndarray | None = None,
    **options: int,
) -> dict[str, dict[str, Estimate]]:
    """Loss of accuracy on each group of columns: of each classifier, and their mean (one test instead of several).

    Args:
        predictors: classifier -> function from table (m, D) to labels (m,).
        table: val (or test) rows, shape (m, D).
        truth: their labels, shape (m,).
        parts: name -> column positions.
        lots: what is drawn together, shape (m,).
        options: `repeats` and `seed` of `permutation_losses`.

    Returns:
        classifier (and `MEAN`) -> group of columns -> loss, with its interval.
    """
    losses = {
        name: {part: permutation_losses(predict, table, truth, columns, **options) for part, columns in parts.items()}
        for name, predict in predictors.items()
    }
    losses[MEAN] = {part: np.mean([by_part[part] for by_part in losses.values()], axis=0) for part in parts}
    style = {"scale": 100, "unit": " points", "digits": 1}
    return {
        name: {part: mean_estimate(loss, f"loss without {part}", lots, **style) for part, loss in by_part.items()}
        for name, by_part in losses.items()
    }


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


def half_images(images: np.ndarray) -> dict[str, np.ndarray]:
    """Images without their middle and without their border, both keeping half of the area; the rest is mid-grey.

    Args:
        images: uint8, shape (N, H, W, 3).

    Returns:
        {"border alone": (N, H, W, 3), "middle alone": (N, H, W, 3)}.
    """
    height, width = images.shape[1:3]
    top, left = (round(side * (1 - AREA**0.5) / 2) for side in (height, width))
    inside = np.zeros((height, width, 1), bool)
    inside[top : height - top, left : width - left] = True
    grey = np.uint8(GREY)
    return {"border alone": np.where(inside, grey, images), "middle alone": np.where(inside, images, grey)}
