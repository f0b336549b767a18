"""Chapter 00: what the image table tells before a picture is opened: counts, museums, sizes, lots, parts of one object.

Each function gives a plain table or number; the `..._words` functions render what was found as a sentence, with a
branch for every case (museums may be unknown, a data set may be balanced or not).
"""

import textwrap
from collections.abc import Iterable

import numpy as np
import pandas as pd

from lab_utils.analysis.trivial_baselines import FOREST, FOREST_MUSEUM, LOT, MUSEUM, ONE_CLASS
from lab_utils.stats.intervals import Accuracy, paired_difference

SUBSETS = ["train", "val", "test"]


# ---- counts ---------------------------------------------------------------------------------------------------------
def counts(rows: pd.DataFrame, classes: list[str]) -> pd.DataFrame:
    """Images by class and split, int (C, 3), classes in label order."""
    return pd.crosstab(rows["medium"], rows["subset"]).reindex(index=classes, columns=SUBSETS, fill_value=0)


def counts_words(table: pd.DataFrame) -> str:
    """Say how many images there are and which splits are balanced."""
    total = int(table.to_numpy().sum())
    parts = [f"{total:,} images of {len(table)} classes."]
    for subset in SUBSETS:
        column = table[subset]
        low, high = int(column.min()), int(column.max())
        if low == high:
            parts.append(f"**{subset}** has {column.sum():,}, {low:,} of each class.")
        else:
            full = int((column == high).sum())
            parts.append(
                f"**{subset}** has {column.sum():,}, from {low:,} ({column.idxmin()}) to {high:,} "
                f"({column.idxmax() if full == 1 else f'{full} classes'})."
            )
    uneven = [subset for subset in SUBSETS if table[subset].nunique() > 1]
    if "test" in uneven and "val" not in uneven:
        parts.append("val is balanced and test is not: compare val accuracy with *balanced* test accuracy.")
    elif not uneven:
        parts.append("All splits are balanced: accuracy and balanced accuracy are one number.")
    else:
        parts.append("A large class weighs more in plain accuracy, so balanced accuracy is given beside it.")
    return " ".join(parts)


# ---- museums --------------------------------------------------------------------------------------------------------
def cramers_v(table: np.ndarray) -> float:
    """Association of two nominal variables in [0, 1], corrected for chance.

    Bergsma 2013, doi:10.1016/j.jkss.2012.10.002.

    Args:
        table: counts, shape (R, C).

    Returns:
        0 for independence, 1 where one variable determines the other; NaN where a variable has one value only.
    """
    from scipy.stats import chi2_contingency

    table = np.asarray(table, dtype=float)
    table = table[table.sum(1) > 0][:, table.sum(0) > 0]
    rows, columns = table.shape
    if min(rows, columns) < 2:
        return float("nan")
    n = table.sum()
    squared = chi2_contingency(table, correction=False).statistic / n
    squared = max(0.0, squared - (rows - 1) * (columns - 1) / (n - 1))
    rows, columns = (size - (size - 1) ** 2 / (n - 1) for size in (rows, columns))
    return float(np.sqrt(squared / (min(rows, columns) - 1)))


def association_in_words(v: float, smaller: int) -> str:
    """Cohen's words (1988) for Cramér's V where the variable with fewer values has `smaller` of them."""
    bounds = np.array([0.1, 0.3, 0.5]) / np.sqrt(max(1, smaller - 1))
    return ("negligible", "weak", "moderate", "strong")[int(np.searchsorted(bounds, v, side="right"))]


def by_museum(rows: pd.DataFrame, classes: list[str]) -> pd.DataFrame:
    """Images by class and museum, int (C, M), the museum with most images first; no column where none is known."""
    known = rows[rows["museum"] != ""]
    table = pd.crosstab(known["medium"], known["museum"])
    return table.reindex(index=classes, columns=known["museum"].value_counts().index, fill_value=0)


def wrapped(names: Iterable[str], width: int = 20) -> list[str]:
    """Names broken into lines of about `width` letters, for the heads of columns."""
    return [textwrap.fill(name, width) for name in names]


def museum_words(table: pd.DataFrame) -> str:
    """Say how strongly medium and museum belong together, from `by_museum`."""
    if table.shape[1] == 0:
        return "No museum is known for these images, so whether it gives the medium away can't be told here."
    if table.shape[1] == 1:
        return f"All images with a known museum are from one ({table.columns[0]}): it can't give the medium away."
    v = cramers_v(table.to_numpy())
    share = table.div(table.sum(axis=1).clip(lower=1), axis=0)
    top = share.max(axis=1).sort_values(ascending=False, kind="stable")
    first, even = top.index[0], top.index[-1]
    most = f"{first} ({_percent(top[first])} {share.loc[first].idxmax()})"
    word = association_in_words(v, min(table.shape))
    end = "The museum tells little of the medium here."
    if word in ("moderate", "strong"):
        end = "Whoever knows the museum's backdrop, light or ruler knows something of the medium: a confounder."
    return (
        f"The association of medium and museum is **{word}** (bias-corrected Cramér's V {v:.2f}; 0 is none, 1 is "
        f"complete). {_number((top >= 0.9).sum())} of {len(top)} classes come to nine tenths or more from one museum. "
        f"The most one-sided is {most}; the most even is {even} ({_percent(top[even])} {share.loc[even].idxmax()}). "
        + end
    )


# ---- sizes ----------------------------------------------------------------------------------------------------------
def sizes(rows: pd.DataFrame, classes: list[str], side: int = 256) -> pd.DataFrame:
    """Median megapixels, aspect ratio and share of pixels that a `side` x `side` copy keeps, by class (label order)."""
    kept = (side * side / rows["product"]).clip(upper=1)
    stretch = np.exp(np.abs(np.log(rows["aspect"])))
    table = pd.DataFrame(
        {
            "images": rows["medium"].value_counts(),
            "median megapixels": (rows["product"] / 1e6).groupby(rows["medium"]).median(),
            "median width / height": rows["aspect"].groupby(rows["medium"]).median(),
            "pixels kept (%)": 100 * kept.groupby(rows["medium"]).median(),
            "longer than 2 : 1 (%)": 100 * (stretch > 2).groupby(rows["medium"]).mean(),
        }
    )
    return table.reindex(classes)


def sizes_numbers(rows: pd.DataFrame, side: int = 256) -> dict[str, float]:
    """Numbers of `sizes_words`: medians of megapixels, of the share of pixels kept, and of the change of shape."""
    stretch = np.exp(np.abs(np.log(rows["aspect"])))
    return {
        "megapixels": float(rows["product"].median() / 1e6),
        "pixels kept": float((side * side / rows["product"]).median()),
        "larger": float((rows["product"] > side * side).mean()),
        "change of shape": float(stretch.median()),
        "longer than 2 : 1": float((stretch > 2).mean()),
    }


def sizes_words(rows: pd.DataFrame, side: int = 256) -> str:
    """Say what a squashed copy of `side` x `side` pixels throws away of the originals."""
    area = side * side
    larger = (rows["product"] > area).mean()
    stretch = np.exp(np.abs(np.log(rows["aspect"])))
    if larger >= 0.5:
        kept = (area / rows["product"]).median()
        first = (
            f"The median original has {rows['product'].median() / 1e6:.1f} megapixels; a copy of {side}×{side} keeps "
            f"{_percent(kept, 1)} of its pixels"
        )
    else:
        first = (
            f"{_percent(larger) if larger else 'None'} of the originals has more pixels than a copy of {side}×{side} "
            f"(median {rows['product'].median() / 1e6:.3f} megapixels): little detail is there to be thrown away"
        )
    squeezed = (stretch > 2).mean()
    return (
        f"{first}. Squashing to a square changes the aspect ratio of the median image by a factor of "
        f"{stretch.median():.2f}; {_percent(squeezed)} of the images are longer than 2 : 1 (their shapes are "
        "halved or worse)."
    )


# ---- lots and objects -----------------------------------------------------------------------------------------------
def largest_lots(rows: pd.DataFrame, n: int = 8) -> pd.DataFrame:
    """The accession lots that make up most of a class: class, lot, museum, images, share of the class, in test."""
    known = rows[rows["lot"] != ""]
    grouped = known.groupby(["medium", "lot", "museum"])
    table = grouped.agg(images=("file", "size"), test=("subset", lambda subset: int((subset == "test").sum())))
    table = table.reset_index()
    table["share"] = table["images"] / table["medium"].map(rows["medium"].value_counts())
    return table.sort_values(["share", "images"], ascending=False, kind="stable").head(n).reset_index(drop=True)


def across_splits(rows: pd.DataFrame, column: str) -> pd.DataFrame:
    """How groups of images lie across the splits, by museum and in all.

    Args:
        rows: the image table.
        column: `lot` or `group` (parts or pictures of one object).

    Returns:
        One row a museum and one for all: groups of two or more images, images in them, groups in more than one split,
        test images, test images whose group is also in train.
    """
    museums = [*[name for name in rows["museum"].value_counts().index if name], "all"]
    return pd.DataFrame({name: _crossing(rows, column, name) for name in museums}).T


def _crossing(rows: pd.DataFrame, column: str, museum: str) -> dict[str, int]:
    part = rows[((rows["museum"] == museum) | (museum == "all")) & (rows[column] != "")]
    several = part[part[column].map(part[column].value_counts()) > 1]
    train = set(part.loc[part["subset"] == "train", column])
    test = part["subset"] == "test"
    return {
        "groups": several[column].nunique(),
        "images in them": len(several),
        "across splits": int((several.groupby(column)["subset"].nunique() > 1).sum()),
        "test images": int(((rows["subset"] == "test") & ((rows["museum"] == museum) | (museum == "all"))).sum()),
        "with one in train": int((test & part[column].isin(train)).sum()),
    }


def lots_words(rows: pd.DataFrame) -> str:
    """Say how much of test was acquired together with train images."""
    if (rows["lot"] == "").all():
        return "No accession lot is known for these images, so nothing can be said of what was acquired together."
    table = across_splits(rows, "lot").loc["all"]
    top = largest_lots(rows, 1).iloc[0]
    return (
        f"A lot is what a museum acquired together. {_percent(table['with one in train'] / table['test images'])} of "
        f"the {table['test images']:,} test images share a lot with a train image. The lot that dominates its class "
        f"most is {top['lot']}: {top['images']:,} images, {_percent(top['share'])} of {top['medium']}."
    )


def siblings_words(rows: pd.DataFrame) -> str:
    """Say how many test images show an object, or a part of one, that is also in train."""
    table = across_splits(rows, "group").loc["all"]
    if not table["groups"]:
        return "No two images are known to show one object."
    end = (
        f"{table['across splits']:,} of these objects lie in more than one split, and {table['with one in train']:,} "
        f"test images ({_percent(table['with one in train'] / table['test images'], 1)}) have a sibling in train."
        if table["across splits"]
        else "Each of these objects lies in one split: no test image has a sibling in train."
    )
    return (
        f"{table['groups']:,} objects (or close look-alikes) have more than one image ({table['images in them']:,} "
        f"images). {end}"
    )


def decision(rows: pd.DataFrame) -> tuple[str, str, str]:
    """What the later chapters do about lots and imbalance: the decision, its reason, what else was considered."""
    counted = rows["subset"].value_counts()
    uneven = rows.loc[rows["subset"] == "test", "medium"].value_counts().nunique() > 1
    measure = "plain and balanced accuracy" if uneven else "accuracy"
    if (rows["lot"] == "").all():
        what = f"Later chapters give {measure} with intervals; folds are grouped by look-alikes, as no lot is known."
    else:
        what = (
            f"Later chapters give {measure} with intervals, by lot seen and not seen in train; folds keep lots whole."
        )
    because = f"{lots_words(rows)} Test has {counted['test']:,} images{', unbalanced' if uneven else ''}."
    return what, because, "unshuffled folds and one bare accuracy, as in the original."


# ---- trivial baselines ----------------------------------------------------------------------------------------------
def reported_baselines(table: pd.DataFrame, source: str) -> dict[str, float]:
    """Known accuracies of trivial baselines on MAMe's test metadata in percent, by baseline; none for other data.

    Args:
        table: `data/reported/floors.csv`; one known as a range gives its middle.
        source: of the run's image table.
    """
    if source != "mame":
        return {}
    middle = 100 * (table["low"] + table["high"]) / 2
    names = table["floor"].replace({"best single class": ONE_CLASS, "commonest class of the lot": LOT})
    return dict(zip(names, middle, strict=True))


def baselines_words(
    truth: np.ndarray, guessed: dict[str, np.ndarray], classes: int, lots: np.ndarray | None = None
) -> str:
    """Say what the trivial baselines mean, whatever they are.

    Args:
        truth: labels of the val images, shape (n,).
        guessed: labels of the same images by each trivial baseline, each (n,).
        classes: number of classes; chance is one of them.
        lots: lot of each image, shape (n,), for the intervals; None: unknown.
    """
    reached = {name: Accuracy.from_labels(truth, labels, name, lots) for name, labels in guessed.items()}
    chance, best = 1 / classes, max(reached, key=lambda name: reached[name].value)
    parts = [
        f"Chance is {100 * chance:.2f} %. Without a look at any picture, the best trivial baseline ({best}) is right "
        f"in {reached[best]} of val, {reached[best].value / chance:.1f} times chance."
    ]
    low, high = reached[FOREST].interval
    words = "carry signal" if low > chance else "carry no signal that shows" if high >= chance else "mislead"
    parts.append(f"The sizes of the originals alone {words}: a forest on them is right in {reached[FOREST]}.")
    if FOREST_MUSEUM in reached:
        gain = paired_difference(truth, guessed[FOREST_MUSEUM], guessed[FOREST], "", lots)
        parts.append(f"With the museum as well it is right in {reached[FOREST_MUSEUM]}: {gain}.")
    if LOT in reached:
        coarse = MUSEUM if MUSEUM in reached else ONE_CLASS
        gain = paired_difference(truth, guessed[LOT], guessed[coarse], "", lots)
        parts.append(
            f"The accession lot, what a museum acquired together, against {coarse}: {gain}"
            + ("." if gain.tie else ", so later chapters also give accuracies by lot seen and not seen in train.")
        )
    parts.append("An accuracy of a later chapter speaks of pictures only as far as it exceeds these baselines.")
    return " ".join(parts)


# ---- examples -------------------------------------------------------------------------------------------------------
def examples(rows: pd.DataFrame, classes: list[str], most: int) -> pd.DataFrame:
    """Images to show, by rule: the first val image of each class in the table's order, else its first image at all.

    Args:
        rows: the image table; only rows with an image are taken.
        classes: names in label order.
        most: classes shown, from the first on.
    """
    there = rows[rows["has_image"]]
    order = there.assign(late=there["subset"] != "val").sort_values("late", kind="stable")
    first = order.drop_duplicates("medium").set_index("medium", drop=False)
    return first.loc[[name for name in classes if name in first.index][:most]]


def _percent(share: float, digits: int = 0) -> str:
    return f"{100 * share:.{digits}f} %"


def _number(n: int) -> str:
    return f"{n:,}" if n else "None"
