"""What chapters 06 to 11 say of a fine-tuning run: curves, diagnosis in sentences, comparisons on val.

The notebooks differ in their story and the number of the run; everything that they share is here, as functions of a
trained run (`fine_tuning.FineTuned`) and val labels. Nothing here reads test.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lab_utils import diagnosis, evaluation, recipes
from lab_utils.quantities import Accuracy, Difference, Estimate, bootstrap_estimate, paired_difference

if TYPE_CHECKING:
    from lab_utils.fine_tuning import FineTuned
    from lab_utils.lab import Lab

HEADLINE = 6
GRID = {"learning_rate": (1e-5, 5e-6), "l2": (0.0, 0.5), "head": ((1024, 256), (128, 256))}


@dataclass(frozen=True)
class Study:
    """A trained run with what its diagnosis needs.

    Attributes:
        run: the trained network.
        labels: of the val images, shape (n,).
        train_images: how many train images a clean evaluation looked at.
        groups: lot of each val image, or object where the lot is unknown; shape (n,).
    """

    run: "FineTuned"
    labels: np.ndarray
    train_images: int
    groups: np.ndarray

    @property
    def name(self) -> str:
        """The recipe's name."""
        return self.run.recipe.name

    @property
    def history(self) -> pd.DataFrame:
        """One row an epoch."""
        return self.run.history

    def probabilities(self) -> np.ndarray:
        """Class probabilities of the val images after each epoch, shape (epochs, n, classes)."""
        return self.run.val_probabilities()

    def predicted(self, epoch: int | None = None) -> np.ndarray:
        """Predicted val labels after an epoch (from 1; default the best one), shape (n,)."""
        return self.probabilities()[(epoch or self.run.best_epoch) - 1].argmax(-1)

    @property
    def val(self) -> Accuracy:
        """Val accuracy of the best epoch (chosen on the same images, so a little too good)."""
        return Accuracy.from_labels(self.labels, self.predicted(), f"{self.name}, val, best epoch")

    @property
    def val_at_end(self) -> Accuracy:
        """Val accuracy of the last epoch."""
        return Accuracy.from_labels(self.labels, self.predicted(len(self.history)), f"{self.name}, val, last epoch")

    @property
    def train_at_end(self) -> Accuracy:
        """Clean train accuracy (no dropout, no augmentation) of the last epoch."""
        return _share(self.history["clean_accuracy"].iloc[-1], self.train_images, f"{self.name}, train, last epoch")

    @property
    def counted_at_end(self) -> Accuracy:
        """Train accuracy as it is counted while training (with dropout), last epoch."""
        return _share(self.history["accuracy"].iloc[-1], self.train_images, f"{self.name}, counted in training")


def _share(value: float, n: int, of: str) -> Accuracy:
    return Accuracy(round(float(value) * n), n, of)


def study(lab: "Lab", recipe: Any, **changes: Any) -> Study:
    """Train (or load) a recipe and gather what its diagnosis needs; its val accuracy and seconds are recorded.

    Args:
        lab: the open lab.
        recipe: number, name or recipe, as `lab.fine_tune` takes it.
        changes: settings to change.
    """
    from lab_utils.dataset import fold_groups

    run = lab.fine_tune(recipe, **changes)
    rows = run.rows("val")
    groups = np.asarray(fold_groups(lab.images.iloc[rows]))
    clean = min(len(run.rows("train")), len(rows))
    found = Study(run, lab.labels("val"), clean, groups)
    lab.cost(f"fine-tuning, {found.name}", found.val, run.seconds, split="val", network=lab.title(run.recipe.network))
    return found


# ---- what the original says, and what the run changes ----------------------------------------------------------------
def reported_words(table: pd.DataFrame, number: int) -> str:
    """What the slide of a run prints and its curve shows, in a sentence that calls the numbers reported."""
    row = table.set_index("run").loc[str(number)]
    printed = "no val accuracy" if pd.isna(row["val_printed"]) else f"a val accuracy of {row['val_printed']:.2f}"
    peak = "" if pd.isna(row["val_peak"]) else f" (highest {row['val_peak']:.3f})"
    return (
        f"Reported by the original ({row['source']}): {printed}; read from its plotted curves, val ends at "
        f"{row['val_end']:.3f}{peak} and train at {row['train_end']:.3f}. All of it on MAMe with VGG16."
    )


def changes_words(number: int) -> str:
    """Which settings a run changes against the one before, and what its note says."""
    one = recipes.RUNS[number - 1]
    note = f" Note: {one.note}." if one.note else ""
    if number == 1:
        return f"Run 1 is where the original starts.{note}"
    before = recipes.RUNS[number - 2]
    names = [recipes.label(name) for name in recipes.changed(before, one)]
    caution = " With more than one change, a difference can't be put down to any one of them." if len(names) > 1 else ""
    return f"Run {number} differs from {before.name} in {len(names)} settings: {', '.join(names)}.{caution}{note}"


def settings_table(run: "FineTuned", number: int) -> pd.DataFrame:
    """Settings of the run before, of a run as printed, and as scaled to this profile; differences are marked."""
    one = recipes.RUNS[number - 1]
    before = recipes.RUNS[number - 2] if number > 1 else one
    shown = [name for name in recipes.SHOWN if name not in ("schedule", "warmup", "label_smoothing", "amsgrad", "seed")]
    rows = []
    for name in shown:
        values = [recipes.in_words(getattr(which, name)) for which in (before, one, run.recipe)]
        mark = "changed" if number > 1 and values[0] != values[1] else ""
        rows.append((recipes.label(name), *(values if number > 1 else values[1:]), mark))
    columns = ["setting", *([before.name] if number > 1 else []), one.name, "in this profile", "against the run before"]
    return pd.DataFrame(rows, columns=columns).drop(columns=[] if number > 1 else ["against the run before"])


# ---- curves ----------------------------------------------------------------------------------------------------------
def curve_panels(one: Study) -> dict[str, dict[str, np.ndarray]]:
    """Panels for `figures.curves`: accuracy, cross-entropy, and the penalty where there is one."""
    history = one.history
    panels = {
        "accuracy": {
            "train, counted": history["accuracy"].to_numpy(),
            "train, clean": history["clean_accuracy"].to_numpy(),
            "val": history["val_accuracy"].to_numpy(),
        },
        "cross-entropy (nats)": {
            "train, counted": history["cross_entropy"].to_numpy(),
            "train, clean": history["clean_cross_entropy"].to_numpy(),
            "val": history["val_cross_entropy"].to_numpy(),
        },
    }
    if history["penalty"].max() > 0:
        panels["L2 penalty"] = {"penalty": history["penalty"].to_numpy()}
    return panels


def reported_levels(table: pd.DataFrame, number: int) -> dict[str, dict[str, float]]:
    """Levels that the original prints and plots, for the accuracy panel."""
    row = table.set_index("run").loc[str(number)]
    names = {"val printed": "val_printed", "val at the end": "val_end", "train at the end": "train_end"}
    return {"accuracy": {name: float(row[key]) for name, key in names.items() if pd.notna(row[key])}}


def curves_alt(one: Study) -> str:
    """The curves in words."""
    history = one.history
    return (
        f"Over {len(history)} epochs clean train accuracy goes from {history['clean_accuracy'].iloc[0]:.2f} to "
        f"{history['clean_accuracy'].iloc[-1]:.2f}, val from {history['val_accuracy'].iloc[0]:.2f} to "
        f"{history['val_accuracy'].iloc[-1]:.2f}; val cross-entropy from {history['val_cross_entropy'].iloc[0]:.2f} to "
        f"{history['val_cross_entropy'].iloc[-1]:.2f} nats."
    )


# ---- diagnosis -------------------------------------------------------------------------------------------------------
def gap_words(one: Study) -> str:
    """Overfitting by the rule of `diagnosis.overfitting`, on clean train against val at the end."""
    gap = one.train_at_end.minus(one.val_at_end)
    return (
        f"**Gap.** At the end train (clean) is at {one.train_at_end}, val at {one.val_at_end}: train is {gap}. "
        f"By the rule of this lab that is overfitting: {diagnosis.overfitting(gap)}."
    )


def order_words(one: Study) -> str:
    """Whether val lies above train, as counted in training and evaluated cleanly."""
    counted = one.val_at_end.minus(one.counted_at_end)
    clean = one.val_at_end.minus(one.train_at_end)
    cost = 100 * (one.train_at_end.value - one.counted_at_end.value)
    seen = "above train" if counted.low > 0 else "below train" if counted.high < 0 else "level with train"
    truly = "above train" if clean.low > 0 else "below train" if clean.high < 0 else "level with train"
    return (
        f"**Val against train.** Against the accuracy counted while training, val lies {seen} ({counted}); against "
        f"train evaluated cleanly it lies {truly} ({clean}). Dropout and the weights' movement within the epoch cost "
        f"the counted accuracy {cost:.1f} points."
    )


def val_loss_slope(one: Study) -> Estimate:
    """Slope of val cross-entropy over the last half of the epochs, nats an epoch."""
    return diagnosis.trend(one.history["val_cross_entropy"].to_numpy(), of=f"{one.name}, val cross-entropy")


def val_accuracy_slope(one: Study) -> Estimate:
    """Slope of val accuracy over the last half of the epochs, share an epoch."""
    return diagnosis.trend(one.history["val_accuracy"].to_numpy(), of=f"{one.name}, val accuracy")


def rise_of(one: Study) -> diagnosis.Rise:
    """Change of val cross-entropy since its lowest epoch, split by final answers."""
    return diagnosis.rise_since_best(one.probabilities(), one.labels)


def trend_words(one: Study) -> str:
    """Where val cross-entropy is heading at the end."""
    slope = val_loss_slope(one)
    what = {
        "falling": "still falling: longer training should lower it further",
        "rising": "rising: the best epoch is behind",
        "level": "neither rising nor falling beyond its scatter",
    }[diagnosis.direction(slope)]
    return f"**Trend.** Over the last {slope.n} epochs val cross-entropy changes by {slope} nats: it is {what}."


def rise_words(one: Study) -> str:
    """Who carries the rise of val cross-entropy since its lowest epoch."""
    rise = rise_of(one)
    if rise.start == rise.end or rise.total <= 0:
        return "**Loss and accuracy.** Val cross-entropy is lowest at the last epoch: there is no rise to explain."
    share = 100 * rise.wrong / rise.total
    moved = "rises" if rise.accuracy > 0 else "falls" if rise.accuracy < 0 else "stays"
    return (
        f"**Loss and accuracy.** Since epoch {rise.start + 1} val cross-entropy rose by {rise.total:.3f} nats while "
        f"accuracy {moved} ({100 * rise.accuracy:+.1f} points). Images that are wrong at the end carry {share:.0f} % "
        f"of the rise, right ones {100 - share:.0f} %; the mean confidence of wrong answers changed by "
        f"{100 * rise.confidence_wrong:+.1f} points."
    )


def cost_words(one: Study) -> str:
    """Seconds of training and what they bought."""
    return (
        f"**Cost.** {len(one.history)} epochs took {one.run.seconds:.1f} s of training (activations of the frozen "
        f"blocks are computed once and shared); the best epoch is {one.run.best_epoch}, with {one.val} on val, chosen "
        "on the same val images."
    )


def diagnose(one: Study) -> list[str]:
    """All sentences of the diagnosis, in order."""
    return [gap_words(one), order_words(one), trend_words(one), rise_words(one), cost_words(one)]


# ---- comparisons on val ----------------------------------------------------------------------------------------------
def compare(one: Study, other: Study) -> Difference:
    """Val accuracy of one minus the other, best epochs, paired by image, bootstrap over lots."""
    pair = f"{one.name} minus {other.name}"
    return paired_difference(one.labels, one.predicted(), other.predicted(), pair, groups=one.groups)


def compare_loss(one: Study, other: Study) -> Estimate:
    """Val cross-entropy (nats, no penalty) of one minus the other at their ends, paired bootstrap over lots."""
    ends = [_losses(which.probabilities()[-1], which.labels) for which in (one, other)]
    return bootstrap_estimate(ends[0] - ends[1], f"{one.name} minus {other.name}", one.groups, digits=3, unit=" nats")


def _losses(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    true_class = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return -np.log(np.clip(true_class, diagnosis.SMALLEST, 1.0))


def steps(studies: Sequence[Study]) -> list[Difference]:
    """Each run minus the one before it, on val."""
    return [compare(later, earlier) for earlier, later in pairwise(studies)]


def follow(step: str, difference: Difference) -> str:
    """The decision to go on as the original does, and what the step just taken gave on these data.

    Args:
        step: what comes next.
        difference: of the step just taken, on val.
    """
    if difference.tie:
        found = "the step just taken is a tie on these data"
    elif difference.value > 0:
        found = "the step just taken pays on these data"
    else:
        found = "its story is to be tested, although the step just taken costs accuracy on these data"
    return f"Go on as the original does, {step}: {found}."


def runs_table(studies: Sequence[Study], reported: pd.DataFrame) -> pd.DataFrame:
    """All runs side by side: ours with intervals, differences between neighbours, the original's numbers."""
    rows, printed = [], reported.set_index("run")
    for place, one in enumerate(studies):
        row = printed.loc[str(place + 1)]
        rows.append(
            {
                "run": one.name,
                "val, best epoch": one.val,
                "against the run before": compare(one, studies[place - 1]) if place else "",
                "train (clean), end": one.train_at_end,
                "epochs": len(one.history),
                "seconds": round(one.run.seconds, 1),
                "reported val, printed": _reported(row["val_printed"]),
                "reported val, curve's end": _reported(row["val_end"]),
            }
        )
    return pd.DataFrame(rows)


def _reported(value: float) -> str:
    return "not printed" if pd.isna(value) else f"{value:.3f}".rstrip("0")


def grid_recipes(settings: Any) -> list[recipes.Recipe]:
    """The headline run and what changes one of rate, L2, head width at a time (`settings.grid` values each)."""
    levels = {name: values[: settings.grid] for name, values in GRID.items()}
    return recipes.one_at_a_time(recipes.RUNS[HEADLINE - 1], **levels)


def grid_words(base: Study, others: Mapping[str, Study]) -> str:
    """Which single settings make a difference, in a sentence."""
    found = {name: compare(one, base) for name, one in others.items()}
    clear = [f"{name} ({one})" for name, one in found.items() if not one.tie]
    if not found:
        return "This profile's grid is empty (`fine_tuning.grid` is 0)."
    if not clear:
        return f"None of the {len(found)} single changes differs from {base.name} beyond its interval: all are ties."
    return f"Beyond their intervals differ from {base.name}: {'; '.join(clear)}. The other changes are ties."


def seeds_words(studies: Sequence[Study]) -> str:
    """Mean and range of the headline run over its seeds."""
    values = [100 * one.val.value for one in studies]
    return (
        f"Over {len(values)} seeds val accuracy of the best epoch is {np.mean(values):.1f} % on average, from "
        f"{min(values):.1f} to {max(values):.1f} % (n = {len(studies[0].labels):,} val images each)."
    )


def confidence_panels(one: Study) -> dict[str, dict[str, np.ndarray]]:
    """Panels for `figures.curves`: mean confidence and mean cross-entropy of right and wrong val predictions."""
    split = diagnosis.confidence(one.probabilities(), one.labels)
    return {
        "mean confidence": {"right": split.confidence_right, "wrong": split.confidence_wrong},
        "mean cross-entropy (nats)": {"right": split.loss_right, "wrong": split.loss_wrong, "all": split.loss},
    }


# ---- confidence ------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Calibration:
    """Confidence of a run on val, before and after one temperature that was fitted on the other half of val.

    Attributes:
        temperature: fitted on all of val; above 1 the network is too sure.
        before: NLL in nats as it is.
        after: NLL with the other half's temperature.
        before_ece: expected calibration error as it is.
        after_ece: with the other half's temperature.
        changed: answers that the temperature changed (none, by construction).
        reliability: `{"before": table, "after": table}` of `evaluation.reliability`.
    """

    temperature: float
    before: Estimate
    after: Estimate
    before_ece: Estimate
    after_ece: Estimate
    changed: int
    reliability: dict[str, pd.DataFrame]

    @property
    def evidence(self) -> dict[str, Any]:
        """What the claim on accuracy and confidence is decided on."""
        return {name: getattr(self, name) for name in ("before", "after", "temperature", "changed")}

    @property
    def table(self) -> pd.DataFrame:
        """NLL and calibration error, before and after."""
        rows = [("as it is", self.before, self.before_ece), ("with the temperature", self.after, self.after_ece)]
        return pd.DataFrame(rows, columns=["probabilities", "NLL (nats)", "expected calibration error"])


def calibration(one: Study, seed: int = 0) -> Calibration:
    """Calibration of the best epoch on val (Guo et al., arXiv 1706.04599), each half with the other half's temperature.

    Args:
        one: the run.
        seed: of the halves.
    """
    plain = one.probabilities()[one.run.best_epoch - 1].astype(np.float64)
    half = np.random.default_rng(seed).permutation(len(plain)) % 2 == 0
    softened = plain.copy()
    for fitted, applied in ((half, ~half), (~half, half)):
        value = evaluation.temperature(plain[fitted], one.labels[fitted])
        softened[applied] = evaluation.apply_temperature(plain[applied], value)
    both = {"before": plain, "after": softened}
    losses = [
        bootstrap_estimate(evaluation.log_loss(values, one.labels), f"NLL, {when}", one.groups, digits=3)
        for when, values in both.items()
    ]
    errors = [evaluation.calibration_estimate(values, one.labels, f"ECE, {when}") for when, values in both.items()]
    changed = int((plain.argmax(1) != softened.argmax(1)).sum())
    tables = {when: evaluation.reliability(values, one.labels) for when, values in both.items()}
    return Calibration(evaluation.temperature(plain, one.labels), *losses, *errors, changed, tables)


# ---- beside the original and the paper -------------------------------------------------------------------------------
def diamonds(lab: "Lab", reported: pd.DataFrame) -> dict[str, float] | None:
    """The original's printed val accuracies in percent, for the bars; only where the data are the original's."""
    if lab.settings.data.source != "mame":
        return None
    printed = reported[reported["run"].str.isdigit() & reported["val_printed"].notna()]
    return {f"run {row.run}": 100 * row.val_printed for row in printed.itertuples()}


def paper_words(lab: "Lab", one: Study) -> str:
    """The paper's VGG16 beside the original's last run and ours, with what keeps them from being alike."""
    paper = lab.reported("paper_r65k").set_index("architecture").loc["VGG16"]
    printed = lab.reported("fine_tuning").set_index("run").loc[str(HEADLINE), "val_printed"]
    ours = f"{lab.title(one.run.recipe.network)} at {one.run.recipe.size} pixels on val of this run: {one.val}"
    alike = "" if lab.settings.data.source == "mame" else " Ours are other images, so it can't be set against either."
    return (
        f"Reported for VGG16 on MAMe: by the paper {_percent(paper['fs'])} on test with fixed shape and "
        f"{_percent(paper['vs'])} with variable shape (whole network tuned, augmentation, hundreds of epochs); by the "
        f"original's last run {_percent(printed)} on val. {ours}.{alike}"
    )


def _percent(share: float) -> str:
    return f"{100 * share if share <= 1 else share:.1f} %"
