"""Which images are of which split, which of them are used, and what must stay together when they are divided."""

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from lab_utils.core.profiles import Data

SPLITS = ("train", "val", "test")


@dataclass(frozen=True, eq=False)
class SplitImages:
    """The images of a run as training sees them: pixels, splits, and labels without those of test.

    Attributes:
        pixels: gives all images at a side in pixels, uint8 (N, side, side, 3).
        subset: split of each image, shape (N,).
        labels: class of each image, shape (N,); negative where it is hidden (test).
        classes: number of classes.
        data_hash: stands for the content and order of the images.
    """

    pixels: Callable[[int], np.ndarray]
    subset: np.ndarray
    labels: np.ndarray
    classes: int
    data_hash: str

    def rows(self, split: str, per_class: int | None = None) -> np.ndarray:
        """Positions of a split's images, ascending; of train at most `per_class` a class, the same ones in every run.

        Args:
            split: `train`, `val` or `test`.
            per_class: None: all.
        """
        rows = np.flatnonzero(self.subset == split)
        if split != "train" or per_class is None:
            return rows
        return rows[subsample(self.labels[rows], per_class)]


def subsample(labels: np.ndarray, most: int | Mapping[Hashable, int], seed: int = 0) -> np.ndarray:
    """Draw at most so many images of each class.

    They are drawn and not the first ones: tables are sorted (by museum, for example), and the first images of a class
    are not like the others.

    Args:
        labels: class of each image, shape (n,): numbers or names.
        most: images a class; a mapping gives each class its own number, and none to a class that it lacks.
        seed: of the draw.

    Returns:
        Positions in `labels`, ascending.
    """
    order = np.random.default_rng(seed).permutation(len(labels))
    in_order = pd.Series(np.asarray(labels)[order])
    rank = in_order.groupby(in_order).cumcount()
    limits = in_order.map(most) if isinstance(most, Mapping) else most
    return np.sort(order[(rank < limits).to_numpy()])


def limited(rows: pd.DataFrame, classes: list[str], data: Data) -> tuple[pd.DataFrame, list[str]]:
    """Keep the first `data.classes` classes and at most `data.cap` images a class and split (drawn by `data.seed`)."""
    if data.classes is not None:
        classes = classes[: data.classes]
        rows = rows[rows["label"] < len(classes)]
    if data.cap is not None:
        cells = rows.groupby(["label", "subset"]).ngroup()
        rows = rows.iloc[subsample(cells.to_numpy(), data.cap, data.seed)]
    return rows.reset_index(drop=True), classes


def fold_groups(rows: pd.DataFrame) -> np.ndarray:
    """What must stay together in grouped folds: the accession lot where it is known, else the object.

    Args:
        rows: of an image table (columns lot, group, file).

    Returns:
        Names, shape (n,).
    """
    objects = rows["group"].where(rows["group"] != "", rows["file"])
    return ("lot " + rows["lot"]).where(rows["lot"] != "", "object " + objects).to_numpy()
