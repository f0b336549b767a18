"""What can be guessed without looking at a picture: classifiers that see museum, accession lot or sizes, never a pixel.

Every later accuracy is to be read against these floors. They are fitted on train; nothing is chosen.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from lab_utils.stats.intervals import Accuracy, paired_difference

SIZES = ["width", "height", "product", "aspect"]
ONE_CLASS, MUSEUM, LOT = "always one class", "commonest class of the museum", "commonest class of the accession lot"
FOREST, FOREST_MUSEUM = "forest on sizes", "forest on sizes and museum"


def guesses(rows: pd.DataFrame, trees: int = 300, leaf: int = 3, seed: int = 0) -> dict[str, np.ndarray]:
    """Labels guessed for all rows by each floor that these data allow.

    Args:
        rows: the image table (columns label, subset, museum, lot and sizes; labels of train rows are used only).
        trees: of the random forests.
        leaf: least number of rows in a leaf.
        seed: of the forests.

    Returns:
        `{name: labels of shape (n,)}`; floors on museum and lot only where these are known.
    """
    with_museum, with_lot = (rows["museum"] != "").any(), (rows["lot"] != "").any()
    found = {ONE_CLASS: commonest(rows, [])}
    if with_museum:
        found[MUSEUM] = commonest(rows, ["museum"])
    found[FOREST] = forest(rows, SIZES, trees, leaf, seed)
    if with_museum:
        found[FOREST_MUSEUM] = forest(rows, [*SIZES, "museum"], trees, leaf, seed)
    if with_lot:
        found[LOT] = commonest(rows, ["lot", "museum"])
    return found


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
    """Accuracy of each floor on a split (read test inside `lab.read_test` only)."""
    there = (rows["subset"] == subset).to_numpy()
    truth = rows["label"].to_numpy()[there]
    return {name: Accuracy.from_labels(truth, labels[there], f"{name}, {subset}") for name, labels in guessed.items()}


def reported(table: pd.DataFrame, source: str) -> dict[str, dict[str, float]]:
    """Known test floors of the published metadata in percent, `{floor: {"test": x}}`; none for other data than MAMe.

    Args:
        table: `data/reported/floors.csv`; a floor known as a range gives its middle.
        source: of the run's image table.
    """
    if source != "mame":
        return {}
    middle = 100 * (table["low"] + table["high"]) / 2
    names = table["floor"].replace({"best single class": ONE_CLASS, "commonest class of the lot": LOT})
    return {name: {"test": value} for name, value in zip(names, middle, strict=True)}


def best_column(rows: pd.DataFrame, trees: int = 50) -> str:
    """The size column on which alone a forest guesses most of val right."""
    guessed = {column: forest(rows, [column], trees) for column in SIZES}
    found = accuracies(rows, guessed, "val")
    return max(found, key=lambda column: found[column].successes)


def val_percent(rows: pd.DataFrame, labels: np.ndarray) -> float:
    """Accuracy on val in percent of labels guessed for all rows, shape (n,)."""
    return 100 * accuracies(rows, {"": labels}, "val")[""].value


def verdict(truth: np.ndarray, guessed: dict[str, np.ndarray], classes: int, subset: str = "test") -> str:
    """Say in words what the floors mean, whatever they are.

    Args:
        truth: labels of the evaluated images, shape (n,).
        guessed: labels of the same images by each floor, each (n,).
        classes: number of classes; chance is one of them.
        subset: what was evaluated.
    """
    found = {name: Accuracy.from_labels(truth, labels) for name, labels in guessed.items()}
    chance, best = 1 / classes, max(found, key=lambda name: found[name].value)
    parts = [
        f"Chance is {100 * chance:.2f} %. Without a look at any picture, the best floor ({best}) is right in "
        f"{found[best]} of {subset}, {found[best].value / chance:.1f} times chance."
    ]
    low, high = found[FOREST].interval
    words = "carry signal" if low > chance else "carry no signal that shows" if high >= chance else "mislead"
    parts.append(f"The sizes of the originals alone {words}: a forest on them is right in {found[FOREST]}.")
    if FOREST_MUSEUM in found:
        gain = paired_difference(truth, guessed[FOREST_MUSEUM], guessed[FOREST], resamples=500)
        parts.append(f"With the museum as well it is right in {found[FOREST_MUSEUM]}: {gain}.")
    if LOT in found:
        coarse = MUSEUM if MUSEUM in found else ONE_CLASS
        gain = paired_difference(truth, guessed[LOT], guessed[coarse], resamples=500)
        parts.append(
            f"The accession lot, what a museum acquired together, against {coarse}: {gain}"
            + ("." if gain.tie else ", so later chapters also give accuracies by lot seen and not seen in train.")
        )
    parts.append("An accuracy of a later chapter speaks of pictures only as far as it exceeds these floors.")
    return " ".join(parts)
