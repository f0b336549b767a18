"""Signals that the generator planted in the sample: what of them the chapters' methods recover, in sentences.

On photographs nothing was planted and nothing is said.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from lab_utils.analysis import trivial_baselines
from lab_utils.chapters import metadata
from lab_utils.data import mame_facts
from lab_utils.data.splits import fold_groups
from lab_utils.stats import metrics
from lab_utils.stats.intervals import Accuracy, paired_difference

WINDOW = 0.005  # relative: sizes are whole pixels
SIZES = {"aspect": "aspect_", "megapixels": "megapixels_"}  # where their quantiles stand in `mame_facts`
START = "**Planted.** These are drawings, and"


def guesses_by_size(rows: pd.DataFrame, classes: Sequence[str], with_museum: bool = True) -> np.ndarray:
    """The best guess of the medium from width and height (and museum) for whoever knows how sizes were drawn.

    Args:
        rows: the image table (columns medium, museum, subset, width, height); mediums of train rows are counted.
        classes: names in label order.
        with_museum: whether the museum of each image is known too.

    Returns:
        Labels, shape (n,).
    """
    facts = mame_facts.by_museum().set_index(["medium", "museum"])
    train = rows[rows["subset"] == "train"].groupby(["medium", "museum"]).size()
    sizes = {"aspect": rows["width"] / rows["height"], "megapixels": rows["width"] * rows["height"] / 1e6}
    scores = np.zeros((len(rows), len(classes)))
    for (medium, museum), images in train.items():
        chance = float(images) * np.ones(len(rows))
        for name, start in SIZES.items():
            ends = facts.loc[medium, museum].filter(like=start).to_numpy(float)
            known = np.concatenate([[ends[0] * 0.95], ends, [ends[-1] * 1.05]])
            below, above = (
                np.interp(sizes[name] * factor, known, (0.0, *mame_facts.QUANTILES, 1.0))
                for factor in (1 - WINDOW, 1 + WINDOW)
            )
            chance *= above - below
        scores[:, list(classes).index(medium)] += chance * ((rows["museum"] == museum) if with_museum else 1.0)
    return scores.argmax(1)


def museums_words(rows: pd.DataFrame, classes: Sequence[str]) -> tuple[str, dict[str, float]]:
    """What association of medium and museum was planted in the sample, what its images show, and both numbers.

    Args:
        rows: the sample's image table (columns medium, museum).
        classes: names in label order.
    """
    facts = mame_facts.by_museum()
    facts = facts[facts["medium"].isin(classes)].assign(
        images=lambda table: table[["train", "val", "test"]].sum(axis=1)
    )
    planted = facts.pivot(index="medium", columns="museum", values="images").fillna(0).to_numpy()
    shown = metadata.by_museum(rows, classes).to_numpy()
    strength = {"planted": metadata.cramers_v(planted), "shown": metadata.cramers_v(shown)}
    words = (
        f"{START} their museums and lots were drawn with MAMe's counts. The association planted with them is "
        f"{strength['planted']:.2f} (Cramér's V), these images show {strength['shown']:.2f}."
    )
    return words, strength


def sizes_words(rows: pd.DataFrame, classes: Sequence[str], guessed: Mapping[str, np.ndarray]) -> str:
    """How much of the sizes' planted signal the forest on sizes and museum recovers, on val.

    Other guesses don't count: an accession lot tells more than sizes can.

    Args:
        rows: the sample's image table (columns of `guesses_by_size`, label, and those of `fold_groups`).
        classes: names in label order.
        guessed: labels guessed for all rows, each (n,), by the names of `trivial_baselines`.
    """
    val = (rows["subset"] == "val").to_numpy()
    labels, lots = rows["label"].to_numpy()[val], fold_groups(rows[val])
    best = trivial_baselines.FOREST_MUSEUM
    reached, floor = (guessed[name][val] == labels for name in (best, trivial_baselines.ONE_CLASS))
    possible = guesses_by_size(rows, classes)[val] == labels
    share = metrics.recovered_share(reached, possible, floor, lots)
    known = Accuracy.from_hits(possible, "sizes as drawn, val", lots)
    return (
        f"{START} their sizes were drawn from MAMe's by medium and museum. Who knows how they were drawn guesses "
        f"{known} of val; of what that is above one class, the {best} recovers {share}. So sizes tell the medium here "
        "because they were made to."
    )


def museum_words(
    planted: pd.DataFrame | None, truth: np.ndarray, by_features: np.ndarray, by_medium: np.ndarray, lots: np.ndarray
) -> str:
    """Where the museum is read from features beyond the medium: in pictures with a planted backdrop, and in others.

    Args:
        planted: what was planted in each image (`Lab.planted`), n rows.
        truth: museum of each image, shape (n,).
        by_features: as read from features, shape (n,).
        by_medium: as the medium alone tells it, shape (n,).
        lots: of the images, shape (n,).
    """
    if planted is None:
        return ""
    marked, backdrop = planted["mark"].to_numpy() != "", planted["backdrop"].to_numpy()
    parts = {"with such a backdrop": backdrop, "with neither backdrop nor mark": ~backdrop & ~marked}
    told = []
    for name, part in parts.items():
        if part.any():
            gain = paired_difference(truth[part], by_features[part], by_medium[part], name, lots[part])
            told.append(f"in the {part.sum()} {name} the features are {gain}")
    return (
        f"{START} {backdrop.sum()} of these {len(truth)} show a backdrop whose tone was made to differ by museum. "
        f"Against the medium alone, {'; '.join(told)}. Where nothing was planted there is nothing to find."
    )


def marks_words(
    planted: pd.DataFrame | None, network: str, shares: np.ndarray, labels: np.ndarray, lots: np.ndarray
) -> str:
    """In how many of the lots with a planted mark at the border the frame draws more relevance than without one.

    Args:
        planted: what was planted in each image, n rows.
        network: its title.
        shares: of the relevance in the frame, NaN where a map is empty, shape (n,).
        labels: class of each image, shape (n,).
        lots: of the images, shape (n,).
    """
    if planted is None:
        return ""
    known, marked = np.isfinite(shares), planted["mark"].to_numpy() != ""
    plain = pd.Series(shares[known & ~marked]).groupby(labels[known & ~marked]).mean()
    there = pd.DataFrame({"lot": lots, "share": shares, "plain": pd.Series(labels).map(plain)})[known & marked].dropna()
    means = there.groupby("lot").mean()
    if means.empty:
        return f"{START} none of the marks that were drawn at the border is in these images."
    seen = Accuracy(int((means["share"] > means["plain"]).sum()), len(means))
    return (
        f"{START} a mark was drawn at the border of {int(marked.sum())} of these {len(shares)} images, one kind a lot. "
        f"{network} puts more relevance into the frame there than in unmarked images of the class for "
        f"{seen.successes} of {seen.n} such lots; by chance it would be half of them."
    )


def lots_words(
    planted: pd.DataFrame | None, right: np.ndarray, labels: np.ndarray, sides: np.ndarray, lots: np.ndarray
) -> str:
    """Whether images of lots that train has are recognised better where their lot was given a common look, or anyway.

    Args:
        planted: what was planted in each test image, n rows.
        right: whether it was recognised, shape (n,).
        labels: its class, shape (n,).
        sides: of `metrics.seen_in_train`, shape (n,).
        lots: of the images, shape (n,).
    """
    if planted is None:
        return ""
    marked, seen, new = planted["mark"].to_numpy() != "", sides == "lot seen in train", sides == "lot not seen"
    told = []
    for name, part in {"with a common look": seen & marked, "with a common number only": seen & ~marked}.items():
        both = part | new
        compared = (
            metrics.standardised_difference(right[both], labels[both], part[both], lots[both]) if part.any() else None
        )
        gap = compared[0] if compared else "in no class of both"
        told.append(f"images of seen lots {name} ({part.sum()}) are {gap}")
    return (
        f"{START} lots with a mark were given a common look; the others share a number and nothing in the picture. "
        f"At one mix of classes, against new lots: {'; '.join(told)}."
    )
