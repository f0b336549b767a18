"""Chapter 01: how its networks are trained in a profile, and what is computed from their answers.

Gaps between train and val, what a step changed, the table beside the original's.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lab_utils.core.profiles import Scratch
from lab_utils.data.splits import fold_groups
from lab_utils.networks import scratch_specs
from lab_utils.networks.scratch_specs import ScratchSpec
from lab_utils.stats import metrics
from lab_utils.stats.curves import HIGH, LOW, cut_short, overfitting
from lab_utils.stats.intervals import Accuracy, Difference, Estimate, mean_estimate, paired_difference
from lab_utils.stats.metrics import independent_difference

if TYPE_CHECKING:
    import keras

    from lab_utils.lab import Lab
    from lab_utils.training.fit import Run

ROWS = {"1": "1", "2": "2", "3": "3-4", "4": "3-4", "5": "5-6", "6": "5-6", "8": "8"} | {
    number: number for number in ("10", "11", "12", "13")
}  # network -> row of the original's table
STEPS = (
    *(("1", "2"), ("2", "3"), ("3", "4"), ("4", "5"), ("5", "6"), ("6", "7"), ("7", "8")),
    *(("8", "9"), ("9", "10"), ("10", "11"), ("7", "12"), ("10", "13")),
)
NINE = ("8", "9, dropout only", "9, dropout after BatchNorm", "9, penalties only", "9")


# ---- how they are trained --------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class TrainingPlan:
    """How a network is trained: Adam's learning rate, images a step, passes over the train images."""

    learning_rate: float
    batch: int
    epochs: int


def plan(spec: ScratchSpec, settings: Scratch) -> TrainingPlan:
    """How a network is trained in a profile: epochs and rate by the profile's factors, batch at most the profile's."""
    epochs = min(settings.max_epochs, max(1, math.ceil(spec.epochs * settings.epochs)))
    rate = min(settings.max_learning_rate, spec.learning_rate * settings.learning_rate)
    return TrainingPlan(rate, min(spec.batch, settings.batch), epochs)


def scaling(settings: Scratch) -> str:
    """Say how the networks are scaled in this run, in one sentence."""
    parts = [f"images of {settings.size} pixels (the original: 256)"]
    if settings.size < 106:
        parts.append("pooling windows cut to the map where it is smaller")
    parts.append(f"epochs × {settings.epochs:g}, {settings.max_epochs} at most (the original prints no epochs)")
    parts.append(f"batches of {settings.batch} at most")
    if settings.learning_rate != 1:
        parts.append(f"learning rates × {settings.learning_rate:g}, {settings.max_learning_rate:g} at most")
    if settings.momentum != 0.99:
        parts.append(f"a momentum of {settings.momentum:g} in BatchNorm (there are few steps)")
    if settings.cap:
        parts.append(f"{settings.cap} train images a class at most")
    return f"The layers are the original's; this profile trains with {'; '.join(parts)}."


def specs_table(specs: Sequence[ScratchSpec], settings: Scratch) -> pd.DataFrame:
    """The networks as they are trained in this run, one row each."""
    rows = []
    for spec in specs:
        row = {"#": spec.number, "idea": spec.idea, "layers": scratch_specs.describe(spec)}
        row |= dict.fromkeys(("batch", "learning rate", "epochs"), "")
        if not spec.members:
            how = plan(spec, settings)
            row |= {"batch": how.batch, "learning rate": f"{how.learning_rate:g}", "epochs": how.epochs}
        rows.append(row | {"augmented": "yes" if spec.augment else "", "not printed there": spec.assumed})
    return pd.DataFrame(rows)


# ---- what they answer ------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class ScratchResult:
    """What a trained network answers on train (clean: no dropout, no augmentation) and val.

    Attributes:
        number: of the network.
        train: whether each train image is right, shape (n,).
        val: whether each val image is right, shape (m,).
        predicted: label of each val image, shape (m,).
        groups: split -> what is drawn together (lots), shapes (n,) and (m,); None: images.
    """

    number: str
    train: np.ndarray
    val: np.ndarray
    predicted: np.ndarray
    groups: Mapping[str, np.ndarray | None] = field(default_factory=lambda: {"train": None, "val": None})

    def accuracy(self, split: str) -> Accuracy:
        """Accuracy on `train` or `val`."""
        return Accuracy.from_hits(getattr(self, split), f"#{self.number}, {split}", self.groups[split])

    def learnt(self, classes: int) -> bool:
        """Whether val accuracy lies above that of guessing among the classes, beyond its interval."""
        return self.accuracy("val").interval[0] > 1 / classes

    @property
    def gap(self) -> Difference:
        """Clean train minus val accuracy."""
        return self._gap(self.train, self.val, f"gap of #{self.number}")

    def _gap(self, train: np.ndarray, val: np.ndarray, of: str) -> Difference:
        """Mean of `train` minus mean of `val`; images (or lots) of each split are drawn."""
        means = (mean_estimate(train, "", self.groups["train"]), mean_estimate(val, "", self.groups["val"]))
        return replace(independent_difference(*means), n=len(val), of=of)


def result(
    lab: "Lab", number: str, probabilities: Mapping[str, np.ndarray], rows: Mapping[str, np.ndarray]
) -> ScratchResult:
    """What a network answers on train and val.

    Args:
        lab: the open lab.
        number: of the network.
        probabilities: by split, (n, classes).
        rows: positions in `lab.images` by split, (n,).
    """
    labels, lots = lab.images["label"].to_numpy(), fold_groups(lab.images)
    predicted = {split: probabilities[split].argmax(1) for split in ("train", "val")}
    right = {split: predicted[split] == labels[rows[split]] for split in predicted}
    groups = {split: lots[rows[split]] for split in predicted}
    return ScratchResult(number, right["train"], right["val"], predicted["val"], groups)


def gap_change(first: ScratchResult, second: ScratchResult) -> Difference:
    """Gap of the second network minus that of the first, paired by image on train and on val."""
    train, val = (
        getattr(second, split).astype(float) - getattr(first, split).astype(float) for split in ("train", "val")
    )
    return second._gap(train, val, f"gap of #{second.number} minus #{first.number}")


def mean_result(results: Sequence[ScratchResult]) -> ScratchResult:
    """The mean over networks of whether each image is right, in [0, 1], so that its gap is their mean gap."""
    train, val = (np.mean([getattr(result, split) for result in results], axis=0) for split in ("train", "val"))
    return ScratchResult("mean", train, val, np.full(len(val), -1), results[0].groups)


def val_change(truth: np.ndarray, first: ScratchResult, second: ScratchResult) -> Difference:
    """Val accuracy of the second network minus that of the first, on the same images."""
    of = f"#{second.number} minus #{first.number}"
    return paired_difference(truth, second.predicted, first.predicted, of, second.groups["val"])


def table(results: Mapping[str, ScratchResult], test: Mapping[str, Accuracy], reported: pd.DataFrame) -> pd.DataFrame:
    """The original's nine rows, two of them as the two networks that they mix, beside what is printed there.

    Args:
        results: by network number.
        test: test accuracies by network number.
        reported: `data/reported/scratch.csv`.
    """
    printed = reported[reported["kind"] == "printed"].set_index("network")
    rows = []
    for number, row in ROWS.items():
        result, there, again = results[number], printed.loc[row], any(row == above["row"] for above in rows)
        levels = {f"{split} (reported)": f"{100 * there[split]:.1f}" for split in ("train", "val", "test")}
        levels["overfitting (reported)"] = there["overfitting"]
        words = {"row": row, "network": f"#{number}", "train, clean": result.accuracy("train")}
        words |= {"val": result.accuracy("val"), "test": test[number], "gap in points": points(result.gap)}
        words |= {"overfitting": overfitting(result.gap)} | {
            name: "″" if again else level for name, level in levels.items()
        }
        rows.append({key: str(value) for key, value in words.items()})
    return pd.DataFrame(rows)


def points(change: Difference) -> str:
    """A difference in points with its interval."""
    return f"{100 * change.value:+.1f} ({100 * change.low:+.1f} to {100 * change.high:+.1f})"


@dataclass(frozen=True)
class Step:
    """What one network changes against another, and what came of it.

    Attributes:
        name: `#7 → #8`.
        changed: settings that differ as both are trained here, in words.
        short: networks that were not trained to an end, with the reason.
        val: change of val accuracy, paired.
        gap: change of the gap of clean train and val accuracy, paired.
    """

    name: str
    changed: list[str]
    short: dict[str, str]
    val: Difference
    gap: Difference

    @property
    def cause(self) -> str:
        """The setting to which the change is put down: it alone changed, and both were trained to an end; else ""."""
        return self.changed[0] if len(self.changed) == 1 and not self.short else ""


def steps(
    truth: np.ndarray,
    histories: Mapping[str, pd.DataFrame],
    results: Mapping[str, ScratchResult],
    settings: Scratch,
) -> list[Step]:
    """The original's steps from network to network.

    Args:
        truth: labels of val, shape (n,).
        histories: of their training, by number (an ensemble has none).
        results: what they answer, by number.
        settings: the profile's section.
    """
    steps = []
    for first, second in STEPS:
        before, after = results[first], results[second]
        specs = [scratch_specs.spec_of(number) for number in (first, second)]
        parts = [part for spec in specs for part in spec.members or (spec.number,)]
        short = {f"#{part}": why for part in parts if (why := cut_short(histories[part]))}
        changes = val_change(truth, before, after), gap_change(before, after)
        steps.append(Step(f"#{first} → #{second}", changed(*specs, settings), short, *changes))
    return steps


def changed(first: ScratchSpec, second: ScratchSpec, settings: Scratch) -> list[str]:
    """Settings in which two networks differ as they are trained here, in words; of layers that both have."""
    if first.members or second.members:
        return ["the average of several networks"]
    convs, denses = zip(*((spec.convs, spec.denses) for spec in (first, second)), strict=True)
    both = [*zip(*convs, strict=False), *zip(*(part[-1:] for part in denses), strict=True)]
    differ = {
        "convolutions": [conv.filters for conv in convs[0]] != [conv.filters for conv in convs[1]],
        "dense layers": [dense.width for dense in denses[0]] != [dense.width for dense in denses[1]],
        "pooling": any(before.pool != after.pool for before, after in zip(*convs, strict=False)),
        "BatchNorm": any(before.norm != after.norm for before, after in zip(*convs, strict=False)),
        "penalties": any((before.l1, before.l2) != (after.l1, after.l2) for before, after in both),
        "dropout": any(_dropped(before) != _dropped(after) for before, after in both),
        "augmentation": first.augment != second.augment,
    }
    plans = [plan(spec, settings) for spec in (first, second)]
    for name in ("learning_rate", "batch", "epochs"):
        differ[name.replace("_", " ")] = getattr(plans[0], name) != getattr(plans[1], name)
    return [name for name, unlike in differ.items() if unlike]


def _dropped(layer: Any) -> tuple[float, bool]:
    """Share dropped after a layer, and whether normalisation comes first."""
    return layer.dropout, bool(layer.dropout) and getattr(layer, "drop_last", False)


def steps_table(steps: Sequence[Step]) -> pd.DataFrame:
    """The steps as a table; the change is put down to a setting only where that alone changed in trained networks."""
    rows = []
    for step in steps:
        why = "several changed" if len(step.changed) > 1 else f"no: {' and '.join(step.short)} cut short"
        row = {"step": step.name, "changed": ", ".join(step.changed), "val, points": points(step.val)}
        rows.append(row | {"gap, points": points(step.gap), "put down to": step.cause or why})
    return pd.DataFrame(rows)


def step_words(steps: Sequence[Step]) -> str:
    """Which steps helped, which hurt, which are ties on val; and which of them say something of a setting."""
    kinds: dict[str, list[str]] = {"helped": [], "hurt": [], "are ties": []}
    for step in steps:
        kinds["are ties" if step.val.tie else "helped" if step.val.value > 0 else "hurt"].append(step.name)
    told = "; ".join(f"{kind}: {', '.join(names)}" for kind, names in kinds.items() if names)
    words = f"Of the {len(steps)} steps, judged by val accuracy on the same {steps[0].val.n} images, these {told}."
    short = {name: why for step in steps for name, why in step.short.items()}
    clear = [f"{step.name} ({step.cause})" for step in steps if step.cause and not step.val.tie]
    if clear:
        return f"{words} Put down to one setting, which alone changed in trained networks: {', '.join(clear)}."
    several = sum(len(step.changed) > 1 for step in steps)
    reasons = [f"{several} of them change{'s' * (several == 1)} several settings at once"] * bool(several)
    if short:
        (name, why), *others = short.items()
        more = f", and {len(others)} more" if others else ""
        reasons.append(f"not trained to an end {'were' if others else 'was'} {name} ({why}){more}")
    return f"{words} None of them says what a setting does: {'; '.join(reasons) or 'all are ties'}."


def judged_words(results: Mapping[str, ScratchResult], reported: pd.DataFrame) -> str:
    """How often the rule and the original's word agree."""
    printed = reported[reported["kind"] == "printed"].set_index("network")["overfitting"]
    words = {number: overfitting(results[number].gap) for number in ROWS}
    same = [number for number, row in ROWS.items() if words[number] == printed[row]]
    others = [number for number in ROWS if number not in same]
    differs = [f"#{number}" for number in others if not words[number].startswith("open")]
    rule = (
        f"Our rule: High is a gap whose interval lies above {100 * HIGH:.0f} points, Low one below {100 * LOW:.0f}, "
        "Medium one between; where the interval crosses a border the label is open."
    )
    agrees = f"It agrees with {len(same)} of the {len(ROWS)} printed labels"
    unlike = f", differs on {len(differs)} ({', '.join(differs)})" if differs else ""
    return f"{rule} {agrees}{unlike} and leaves {len(others) - len(differs)} open."


def augmentation_changes(results: Mapping[str, ScratchResult], classes: int) -> dict[str, Any]:
    """Evidence for "the augmented networks overfit least": their gaps against the mean gap of the plain networks.

    The mean, since the smallest of many gaps is small by luck; networks that have learnt nothing have no gap.
    """
    able = [number for number in ROWS if number != "13" and results[number].learnt(classes)]
    plain = [number for number in able if number not in ("11", "12")]
    mean = mean_result([results[number] for number in plain]) if plain else None
    augmented = [number for number in able if number in ("11", "12") and mean]
    return {"changes": {number: gap_change(mean, results[number]) for number in augmented}, "plain": plain}


def arms_table(trained: "Mapping[str, Run]", results: Mapping[str, ScratchResult]) -> pd.DataFrame:
    """The arms of the ablation: train accuracy while training (of the best epoch) beside the clean one, and val."""
    rows = []
    for number in NINE:
        best_epoch, result = trained[number].best_epoch, results[number]
        during = trained[number].history["accuracy"].iloc[best_epoch - 1]
        row = {
            "network": f"#{number}",
            "layers": scratch_specs.spec_of(number).idea,
            "train, while training": f"{100 * during:.1f} %",
        }
        rows.append(row | {"train, clean": str(result.accuracy("train")), "val": str(result.accuracy("val"))})
    return pd.DataFrame(rows)


def unrelated(images: pd.DataFrame) -> np.ndarray:
    """Whether neither the accession lot nor the object of an image occurs in train, bool of shape (n,)."""
    train = images["subset"] == "train"
    related = np.zeros(len(images), bool)
    for column in ("lot", "group"):
        known = set(images.loc[train, column]) - {""}
        related |= images[column].isin(known).to_numpy()
    return ~related


def related_words(
    all_images: Accuracy, alone: Accuracy | None, rest: Accuracy | None, gap: tuple[Difference, int] | None = None
) -> str:
    """What images related to train add to a test accuracy.

    Args:
        all_images: accuracy on test.
        alone: on images without a relative in train; None: there are none.
        rest: on the others; None: there are none.
        gap: `metrics.standardised_difference` of the others and those: they are of other classes.
    """
    if alone is None:
        return f"Every test image has its lot or a sibling in train, so {all_images} can't be split."
    if rest is None:
        return f"No test image is known to have its lot or a sibling in train; all of them: {all_images}."
    return (
        f"All test images: {all_images}. Without those whose lot or sibling is in train: {alone}; those alone: {rest}. "
        + (
            f"At one mix of classes ({gap[1]} have both) the related ones are {gap[0]}."
            if gap
            else "No class has both, so the two can't be compared."
        )
    )


def best_on_val(results: Mapping[str, ScratchResult]) -> ScratchResult:
    """The network with the highest val accuracy; of equals, the first in the table."""
    return max(results.values(), key=lambda result: result.val.mean())


def layer_maps(model: "keras.Model", image: np.ndarray, layers: Sequence[str], channels: int) -> dict[str, np.ndarray]:
    """Activations of some layers for one image, each channel scaled to 0..1.

    Args:
        model: the network.
        image: uint8 (size, size, 3).
        layers: names.
        channels: the first so many of each layer.

    Returns:
        `{layer: (channels, h, w)}`.
    """
    import keras

    outputs = keras.Model(model.input, [model.get_layer(name).output for name in layers])(image[None].astype("float32"))
    maps = {}
    for name, output in zip(layers, outputs, strict=True):
        activations = np.moveaxis(np.asarray(output)[0], -1, 0)[:channels]
        maps[name] = activations / np.maximum(activations.max((1, 2), keepdims=True), 1e-9)
    return maps


def confusion_table(counts: np.ndarray, classes: Sequence[str]) -> pd.DataFrame:
    """The eight pairs of classes confused most, both directions."""
    rows = []
    for first, second in metrics.confused_pairs(counts, 8):
        there, back = (f"{counts[a, b]} of {counts[a].sum()}" for a, b in ((first, second), (second, first)))
        rows.append(
            {"pair": f"{classes[first]} / {classes[second]}", "first as second": there, "second as first": back}
        )
    return pd.DataFrame(rows)


def pair_rank(
    counts: np.ndarray, classes: Sequence[str], first: str, second: str, parts: np.ndarray | None = None
) -> Estimate | None:
    """Rank of a pair of classes among the confused ones (`metrics.pair_rank`); None: a class is not here."""
    if first not in classes or second not in classes:
        return None
    return metrics.pair_rank(counts, *(list(classes).index(name) for name in (first, second)), parts)
