"""Which recipe should one use? Val accuracies against what a user pays, compared image by image.

A cost is kept in the records with its answers on val, one bit an image, so that any two recipes of any two chapters
can be compared on the same images. What a user pays is the seconds of training and of what comes before it: decoding
the images, and a pretrained network's pass over them.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from lab_utils.stats.intervals import Accuracy, Difference, difference_of_gains

RESOLUTION = 1.0  # seconds: what other work on the machine does to the clock; nothing is told of less
Records = Mapping[str, Sequence[Mapping[str, Any]]]


# ---- answers, kept compactly -----------------------------------------------------------------------------------------
def packed(bits: np.ndarray) -> str:
    """Booleans (n,) as text, eight in a byte (of the 1,450 images of MAMe's val: 244 letters)."""
    return base64.b64encode(np.packbits(np.asarray(bits, bool)).tobytes()).decode()


def unpacked(text: str, n: int) -> np.ndarray:
    """The booleans (n,) of `packed`."""
    return np.unpackbits(np.frombuffer(base64.b64decode(text), np.uint8), count=n).astype(bool)


def kept_hits(right: np.ndarray, asked: np.ndarray | None = None) -> dict[str, Any]:
    """The record of a recipe's hits on val.

    Args:
        right: whether each val image was right, shape (n,); of images that weren't asked it doesn't matter.
        asked: which images were asked, shape (n,); None: all.
    """
    hits = {"n": len(right), "right": packed(right)}
    return hits if asked is None or asked.all() else hits | {"asked": packed(asked)}


# ---- costs -----------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Cost:
    """What a recipe reached and what it took.

    Attributes:
        recipe: its name.
        chapter: two digits.
        accuracy: on val.
        seconds: of training.
        right: whether each val image was right, shape (n,).
        before: seconds of what comes before training, by what it is (decoding, features).
        asked: which val images were asked, shape (n,); None: all.
    """

    recipe: str
    chapter: str
    accuracy: Accuracy
    seconds: float
    right: np.ndarray = field(repr=False, compare=False)
    before: Mapping[str, float] = field(default_factory=dict)
    asked: np.ndarray | None = field(default=None, repr=False, compare=False)

    @property
    def paid(self) -> float:
        """All seconds, at least `RESOLUTION`."""
        return max(RESOLUTION, self.spent["together"])

    @property
    def spent(self) -> dict[str, float]:
        """Seconds of training, before it, and together."""
        before = sum(self.before.values())
        return {"training": self.seconds, "before": before, "together": self.seconds + before}

    @property
    def whole(self) -> bool:
        """Whether all val images were asked."""
        return self.asked is None or bool(self.asked.all())

    def cheaper(self, other: "Cost") -> bool:
        """Whether it takes less than another, by more than the clock can blur."""
        return self.paid + RESOLUTION < other.paid


def costs(entries: Records) -> list[Cost]:
    """All recipes with a cost in the records of all chapters, the cheapest first; the first of equal names counts.

    Args:
        entries: records by chapter (`lab.all_entries()`).
    """
    by_recipe: dict[str, Cost] = {}
    for name, records in entries.items():
        for record in records:
            if record["kind"] == "cost":
                by_recipe.setdefault(record["recipe"], _of_record(record, name[:2]))
    return sorted(by_recipe.values(), key=lambda cost: cost.paid)


def _of_record(record: Mapping[str, Any], chapter: str) -> Cost:
    hits, before = record["hits"], {what: spent["seconds"] for what, spent in record["before"].items()}
    right, asked = (unpacked(hits[name], hits["n"]) if name in hits else None for name in ("right", "asked"))
    accuracy = Accuracy.from_record(record["value"], record["recipe"])
    return Cost(record["recipe"], chapter, accuracy, record["seconds"], right, before, asked)


def all_before(*parts: Mapping[str, float]) -> dict[str, float]:
    """Seconds before the training of what reads several networks' features of the same images, decoded once."""
    together = {"decoding": max((part.get("decoding", 0.0) for part in parts), default=0.0)}
    return together | {"features": sum(part.get("features", 0.0) for part in parts)}


def compared(first: Cost, second: Cost, lots: np.ndarray, comparisons: int = 1) -> Difference:
    """Val accuracy of one recipe minus another's, on the images that both were asked, paired by image.

    Args:
        first: on val.
        second: on val.
        lots: of the val images, shape (n,).
        comparisons: among how many differences this one was picked: its interval is widened.
    """
    both = np.ones(len(lots), bool)
    for cost in (first, second):
        both &= cost.asked if cost.asked is not None else True
    gain = first.right[both].astype(float) - second.right[both]
    return difference_of_gains(gain, f"{first.recipe} minus {second.recipe}", lots[both], comparisons)


def front(points: Sequence[Cost]) -> list[Cost]:
    """Recipes that no cheaper (or equally cheap) one reaches in accuracy, the cheapest first."""
    kept: list[Cost] = []
    for cost in sorted(points, key=lambda cost: (cost.paid, -cost.accuracy.value)):
        if not kept or cost.accuracy.value > kept[-1].accuracy.value:
            kept.append(cost)
    return kept


# ---- the recommendation ----------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Recommendation:
    """What to use.

    Attributes:
        best: the most accurate recipe.
        cheapest: the cheapest of those that are not clearly worse; the best where no other is cheaper.
        gap: of the best to it, paired, widened for the choice of the best among all; None where they are one.
        ties: how many others are not clearly worse than the best.
        of: recipes that were compared.
    """

    best: Cost
    cheapest: Cost
    gap: Difference | None
    ties: int
    of: int

    def __str__(self) -> str:
        best, cheap = self.best, self.cheapest
        words = f"Most accurate: {best.recipe} (chapter {best.chapter}), {best.accuracy} of val, in {took(best)}."
        if self.gap is None:
            rest = "No cheaper recipe comes close: each is clearly worse on the same images."
            return f"{words} {rest}" if self.of > 1 else words
        return (
            f"{words} Cheapest that is not clearly worse: {cheap.recipe} (chapter {cheap.chapter}), {cheap.accuracy}, "
            f"in {took(cheap)}; image by image, the first against it is {self.gap}."
        )

    def to_record(self) -> dict[str, Any]:
        """Plain values for a record."""
        shown = {
            name: {"recipe": cost.recipe, "chapter": cost.chapter, "accuracy": cost.accuracy.to_record(), **cost.spent}
            for name, cost in (("best", self.best), ("cheapest", self.cheapest))
        }
        return {**shown, "gap": self.gap and self.gap.to_record(), "ties": self.ties, "of": self.of, "text": str(self)}


def recommend(points: Sequence[Cost], lots: np.ndarray) -> Recommendation | None:
    """The most accurate recipe, then the cheapest that is not clearly worse; None without recipes.

    The best was picked among all of them: its differences are widened for that.

    Args:
        points: of val; those that were asked on part of it are left out.
        lots: of the val images, shape (n,).
    """
    points = sorted((cost for cost in points if cost.whole), key=lambda cost: cost.paid)
    if not points:
        return None
    best = max(points, key=lambda cost: cost.accuracy.value)  # of equals the cheapest
    others = [cost for cost in points if cost is not best]
    gaps = {cost.recipe: compared(best, cost, lots, len(others)) for cost in others}
    close = [cost for cost in others if gaps[cost.recipe].tie]
    cheaper = [cost for cost in close if cost.cheaper(best)]
    if not cheaper:
        return Recommendation(best, best, None, len(close), len(points))
    least = cheaper[0]
    cheapest = max((cost for cost in cheaper if not least.cheaper(cost)), key=lambda cost: cost.accuracy.value)
    return Recommendation(best, cheapest, gaps[cheapest.recipe], len(close), len(points))


def took(cost: Cost) -> str:
    """What a recipe takes, in words: `under 1 s`, `3.4 s`, `2:05` minutes; and how much of it comes before training."""
    spent = cost.spent
    if spent["before"] < RESOLUTION:
        return clock(spent["together"])
    return f"{clock(spent['together'])} ({clock(spent['before'])} of it for {' and '.join(cost.before)})"


def clock(seconds: float) -> str:
    """`under 1 s`, `3.4 s`, `2:05` minutes, `1:02:05` hours."""
    if seconds < RESOLUTION:
        return f"under {RESOLUTION:.0f} s"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


def cost_table(points: Sequence[Cost]) -> pd.DataFrame:
    """Recipes with chapter, accuracy and seconds, in the order given."""
    rows = [(cost.recipe, cost.chapter, cost.accuracy, *map(clock, cost.spent.values())) for cost in points]
    columns = ["recipe", "chapter", "val accuracy", "training", "before it (decoding, features)", "together"]
    return pd.DataFrame(rows, columns=columns)
