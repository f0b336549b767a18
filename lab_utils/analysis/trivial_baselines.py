"""What can be guessed without looking at a picture: classifiers that see museum, accession lot or sizes, never a pixel.

Every later accuracy is to be read against these trivial baselines. They are fitted on train; nothing is chosen.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from lab_utils.data.splits import fold_groups
from lab_utils.stats.intervals import Accuracy

SIZES = ["width", "height", "product", "aspect"]
ONE_CLASS, MUSEUM, LOT = "always one class", "commonest class of the museum", "commonest class of the accession lot"
FOREST, FOREST_MUSEUM = "forest on sizes", "forest on sizes and museum"


def guesses(rows: pd.DataFrame, trees: int = 300, leaf: int = 3, seed: int = 0) -> dict[str, np.ndarray]:
    """Labels guessed for all rows by each trivial baseline that these data allow.

    Args:
        rows: the image table (columns label, subset, museum, lot and sizes; labels of train rows are used only).
        trees: of the random forests.
        leaf: least number of rows in a leaf.
        seed: of the forests.

    Returns:
        `{name: labels of shape (n,)}`; those on museum and lot only where these are known.
    """
    with_museum, with_lot = (rows["museum"] != "").any(), (rows["lot"] != "").any()
    guessed = {ONE_CLASS: commonest(rows, [])}
    if with_museum:
        guessed[MUSEUM] = commonest(rows, ["museum"])
    guessed[FOREST] = forest(rows, SIZES, trees, leaf, seed)
    if with_museum:
        guessed[FOREST_MUSEUM] = forest(rows, [*SIZES, "museum"], trees, leaf, seed)
    if with_lot:
        guessed[LOT] = commonest(rows, ["lot", "museum"])
    return guessed


def commonest(rows: pd.DataFrame, columns: Sequence[str]) -> np.ndarray:
    """Guess the commonest train class of an image's group; of equally common ones the first in label order.

    Args:
        rows: the image table.
        columns: groupings from the finest on; the first whose value is known ("" is not) and occurs in train decides,
            else the commonest class of all train rows.

    Returns:
        Labels, shape (n,).
    """
    train = rows[rows["subset"] == "train"]
    guess = pd.Series(np.nan, index=rows.index)
    for column in columns:
        known = train[train[column] != ""]
        best = known.groupby(column)["label"].agg(lambda labels: labels.mode()[0])
        guess = guess.fillna(rows[column].map(best))
    return guess.fillna(train["label"].mode()[0]).to_numpy().astype(int)


def forest(rows: pd.DataFrame, columns: Sequence[str], trees: int = 300, leaf: int = 3, seed: int = 0) -> np.ndarray:
    """Labels guessed for all rows by a random forest (Breiman 2001) on columns of the table, fitted on train.

    Args:
        rows: the image table.
        columns: of numbers; of text (museum), each value becomes a column of zeros and ones.
        trees: of the forest.
        leaf: least number of rows in a leaf.
        seed: of the forest.
    """
    from sklearn.ensemble import RandomForestClassifier

    table = pd.get_dummies(rows[list(columns)], dtype=float)
    train = (rows["subset"] == "train").to_numpy()
    model = RandomForestClassifier(trees, min_samples_leaf=leaf, random_state=seed, n_jobs=-1)
    values = table.to_numpy(dtype=float)
    return model.fit(values[train], rows["label"].to_numpy()[train]).predict(values)


def accuracies(rows: pd.DataFrame, guessed: dict[str, np.ndarray], subset: str) -> dict[str, Accuracy]:
    """Accuracy of each trivial baseline on a split; chapters ask for val."""
    there = (rows["subset"] == subset).to_numpy()
    truth, lots = rows["label"].to_numpy()[there], fold_groups(rows[there])
    return {
        name: Accuracy.from_labels(truth, labels[there], f"{name}, {subset}", lots) for name, labels in guessed.items()
    }


def best_column(rows: pd.DataFrame, trees: int = 50) -> str:
    """The size column on which alone a forest guesses most of val right."""
    guessed = {column: forest(rows, [column], trees) for column in SIZES}
    reached = accuracies(rows, guessed, "val")
    return max(reached, key=lambda column: reached[column].successes)


def val_percent(rows: pd.DataFrame, labels: np.ndarray) -> float:
    """Accuracy on val in percent of labels guessed for all rows, shape (n,)."""
    return 100 * accuracies(rows, {"": labels}, "val")[""].value
