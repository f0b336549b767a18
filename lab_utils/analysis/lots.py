"""Accession lots, what a museum acquired together: as groups of images, and the one that makes up most of a class."""

from collections.abc import Sequence

import numpy as np
import pandas as pd


def singleton_groups(lots: Sequence[str] | np.ndarray) -> np.ndarray:
    """Lots (N,) in which each image of unknown lot ("") is a group of its own."""
    lots = np.asarray(lots, dtype=str)
    return np.where(lots == "", [f" {place}" for place in range(len(lots))], lots)


def big_lot(lots: Sequence[str], members: np.ndarray) -> tuple[str, float]:
    """The commonest known lot among `members` (mask, (N,)) and its share of them; ("", 0) where no lot is known."""
    known = pd.Series(np.asarray(lots, dtype=str)[members])
    counts = known[known != ""].value_counts()
    return ("", 0.0) if counts.empty else (str(counts.index[0]), float(counts.iloc[0] / members.sum()))
