"""Chapter 01's arithmetic: gaps between train and val, what a step changed, the table beside the original's."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from lab_utils import evaluation
from lab_utils.quantities import Accuracy, Difference, bootstrap_means, paired_difference

if TYPE_CHECKING:
    from lab_utils.lab import Lab
    from lab_utils.scratch import Trained

LOW, HIGH = 0.10, 0.20  # gaps of train and val accuracy that the words are taken to mean
ROWS = {"1": "1", "2": "2", "3": "3-4", "4": "3-4", "5": "5-6", "6": "5-6", "8": "8"} | {
    number: number for number in ("10", "11", "12", "13")
}  # network -> row of the original's table
STEPS = (
    *(("1", "2"), ("2", "3"), ("3", "4"), ("4", "5"), ("5", "6"), ("6", "7"), ("7", "8")),
    *(("8", "9"), ("9", "10"), ("10", "11"), ("7", "12"), ("10", "13")),
)
NINE = ("8", "9, dropout only", "9, penalties only", "9")


@dataclass(frozen=True)
class Outcome:
    """What a trained network answers on train (clean: no dropout, no augmentation) and val.

    Attributes:
        number: of the network.
        train: whether each train image is right, shape (n,).
        val: whether each val image is right, shape (m,).
        predicted: label of each val image, shape (m,).
    """

    number: str
    train: np.ndarray
    val: np.ndarray
    predicted: np.ndarray

    def accuracy(self, split: str) -> Accuracy:
        """Accuracy on `train` or `val`."""
        right = getattr(self, split)
        return Accuracy(int(right.sum()), len(right), f"#{self.number}, {split}")

    @property
    def gap(self) -> Difference:
        """Clean train minus val accuracy."""
        return self.accuracy("train").minus(self.accuracy("val"))


def outcome(lab: "Lab", trained: "Trained") -> Outcome:
    """Let a trained network answer on train and val."""
    labels = lab.images["label"].to_numpy()
    predicted = {split: trained.probabilities(split).argmax(1) for split in ("train", "val")}
    right = {split: predicted[split] == labels[trained.rows(split)] for split in predicted}
    return Outcome(trained.network.number, right["train"], right["val"], predicted["val"])


def overfitting(gap: Difference) -> str:
    """The rule: High where the gap's interval lies above 20 points, Low where it reaches below 10, else Medium."""
    return "High" if gap.low > HIGH else "Low" if gap.low < LOW else "Medium"


def gap_change(first: Outcome, second: Outcome, seed: int = 0) -> Difference:
    """Gap of the second network minus that of the first, on the same images, by bootstrap over train and val images."""
    train, val = (
        getattr(second, split).astype(float) - getattr(first, split).astype(float) for split in ("train", "val")
    )
    draws = bootstrap_means(train, seed=seed) - bootstrap_means(val, seed=seed + 1)
    low, high = np.quantile(draws, [0.025, 0.975])
    change = float(train.mean() - val.mean())
    return Difference(change, float(low), float(high), len(val), f"gap of #{second.number} minus #{first.number}")


def val_change(truth: np.ndarray, first: Outcome, second: Outcome) -> Difference:
    """Val accuracy of the second network minus that of the first, on the same images."""
    return paired_difference(truth, second.predicted, first.predicted, f"#{second.number} minus #{first.number}")


def table(outcomes: Mapping[str, Outcome], test: Mapping[str, Accuracy], reported: pd.DataFrame) -> pd.DataFrame:
    """The original's nine rows, two of them as the two networks that they mix, beside what is printed there.

    Args:
        outcomes: by network number.
        test: test accuracies by network number.
        reported: `data/reported/scratch.csv`.
    """
    printed = reported[reported["kind"] == "printed"].set_index("network")
    rows = []
    for number, row in ROWS.items():
        one, there = outcomes[number], printed.loc[row]
        levels = {f"{split} (reported)": f"{100 * there[split]:.1f}" for split in ("train", "val", "test")}
        words = {"row": row, "network": f"#{number}", "train, clean": one.accuracy("train")}
        words |= {"val": one.accuracy("val"), "test": test[number], "gap in points": points(one.gap)}
        words |= {"overfitting": overfitting(one.gap)} | levels | {"overfitting (reported)": there["overfitting"]}
        rows.append({key: str(value) for key, value in words.items()})
    return pd.DataFrame(rows)


def points(change: Difference) -> str:
    """A difference in points with its interval."""
    return f"{100 * change.value:+.1f} ({100 * change.low:+.1f} to {100 * change.high:+.1f})"


def steps(truth: np.ndarray, outcomes: Mapping[str, Outcome], ideas: Mapping[str, str]) -> pd.DataFrame:
    """What each step changed: val accuracy (paired, with McNemar's test) and the gap."""
    rows = []
    for first, second in STEPS:
        one, other = outcomes[first], outcomes[second]
        test = evaluation.mcnemar(truth, other.predicted, one.predicted)
        row = {"step": f"#{first} → #{second}", "idea": ideas[second], "val, points": val_change(truth, one, other)}
        row |= {"gap, points": gap_change(one, other), "p": f"{test.p:.2g}"}
        rows.append({key: points(item) if isinstance(item, Difference) else item for key, item in row.items()})
    return pd.DataFrame(rows).rename(columns={"p": "p (McNemar, val)"})


def step_words(truth: np.ndarray, outcomes: Mapping[str, Outcome]) -> str:
    """Which steps helped, which hurt, which are ties, on val."""
    kinds: dict[str, list[str]] = {"helped": [], "hurt": [], "are ties": []}
    for first, second in STEPS:
        change = val_change(truth, outcomes[first], outcomes[second])
        kind = "are ties" if change.tie else "helped" if change.value > 0 else "hurt"
        kinds[kind].append(f"#{first} → #{second}")
    told = "; ".join(f"{kind}: {', '.join(names)}" for kind, names in kinds.items() if names)
    return f"Of the {len(STEPS)} steps, judged by val accuracy on the same {len(truth)} images, these {told}."


def judged_words(outcomes: Mapping[str, Outcome], reported: pd.DataFrame) -> str:
    """How often the rule and the original's word agree."""
    printed = reported[reported["kind"] == "printed"].set_index("network")["overfitting"]
    same = [number for number, row in ROWS.items() if overfitting(outcomes[number].gap) == printed[row]]
    other = [f"#{number}" for number in ROWS if number not in same]
    rule = (
        f"High is a gap whose interval lies above {100 * HIGH:.0f} points, Low one that reaches below {100 * LOW:.0f}"
    )
    tail = f"; it differs for {', '.join(other)}" if other else ""
    return f"By this rule ({rule}) {len(same)} of {len(ROWS)} networks get the word printed for them{tail}."


def least_gap(outcomes: Mapping[str, Outcome], numbers: Sequence[str], largest: bool = False) -> Outcome:
    """The network with the smallest (or largest) gap among `numbers`."""
    choose = max if largest else min
    return choose((outcomes[number] for number in numbers), key=lambda one: one.gap.value)


def unrelated(images: pd.DataFrame) -> np.ndarray:
    """Whether neither the accession lot nor the object of an image occurs in train, bool of shape (n,)."""
    train = images["subset"] == "train"
    related = np.zeros(len(images), bool)
    for column in ("lot", "group"):
        known = set(images.loc[train, column]) - {""}
        related |= images[column].isin(known).to_numpy()
    return ~related


def related_words(all_images: Accuracy, alone: Accuracy | None) -> str:
    """What images related to train add to a test accuracy."""
    if alone is None:
        return f"Every test image has its lot or a sibling in train, so {all_images} can't be split."
    if alone.n == all_images.n:
        return f"No test image is known to have its lot or a sibling in train; all of them: {all_images}."
    rest = Accuracy(all_images.successes - alone.successes, all_images.n - alone.n)
    return (
        f"All test images: {all_images}. Without those whose lot or sibling is in train: {alone}; those alone: {rest}. "
        f"The related ones are {rest.minus(alone)}."
    )


def best_on_val(outcomes: Mapping[str, Outcome]) -> Outcome:
    """The network with the highest val accuracy; of equals, the first in the table."""
    return max(outcomes.values(), key=lambda one: one.val.mean())


def layer_maps(trained: "Trained", image: np.ndarray, layers: Sequence[str], channels: int) -> dict[str, np.ndarray]:
    """Activations of some layers for one image, each channel scaled to 0..1.

    Args:
        trained: the network.
        image: uint8 (size, size, 3).
        layers: names.
        channels: the first so many of each layer.

    Returns:
        `{layer: (channels, h, w)}`.
    """
    import keras

    model = trained.model()
    outputs = keras.Model(model.input, [model.get_layer(name).output for name in layers])(image[None].astype("float32"))
    maps = {}
    for name, output in zip(layers, outputs, strict=True):
        found = np.moveaxis(np.asarray(output)[0], -1, 0)[:channels]
        spread = np.maximum(found.max((1, 2), keepdims=True), 1e-9)
        maps[name] = found / spread
    return maps


def confusion_table(counts: np.ndarray, classes: Sequence[str], n: int = 8) -> pd.DataFrame:
    """The pairs of classes confused most, both directions."""
    rows = []
    for first, second in evaluation.confused_pairs(counts, n):
        there, back = (f"{counts[a, b]} of {counts[a].sum()}" for a, b in ((first, second), (second, first)))
        rows.append(
            {"pair": f"{classes[first]} / {classes[second]}", "first as second": there, "second as first": back}
        )
    return pd.DataFrame(rows)


def pair_rank(counts: np.ndarray, classes: Sequence[str], first: str, second: str) -> int | None:
    """Rank (from 1) of a pair among the confused ones; 0: never confused; None: a class is not here."""
    if first not in classes or second not in classes:
        return None
    wanted = tuple(sorted((list(classes).index(first), list(classes).index(second))))
    pairs = evaluation.confused_pairs(counts, len(classes) ** 2)
    return pairs.index(wanted) + 1 if wanted in pairs else 0
