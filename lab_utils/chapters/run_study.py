"""What chapters 06 to 11 say of a fine-tuning run: curves, diagnosis in sentences, comparisons on val.

The notebooks differ in their story and the number of the run; everything that they share is here, as functions of a
trained run (`fine_tuning.FineTuned`) and val labels. `run_chapter` shows it. Nothing here reads test.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lab_utils.stats import curves
from lab_utils.stats.intervals import Accuracy, Difference, Estimate, bootstrap_estimate, paired_difference
from lab_utils.training import recipes

if TYPE_CHECKING:
    from lab_utils.lab import Lab
    from lab_utils.training.fine_tuning import FineTuned

HEADLINE = 6
NATS = " nats an epoch"
NEVER_VARIED = ("schedule", "warmup", "label_smoothing", "amsgrad", "seed")  # the same in all of the original's runs
GRID = {"learning_rate": (1e-5, 5e-6), "l2": (0.0, 0.5), "head": ((1024, 256), (128, 256))}


@dataclass(frozen=True)
class Study:
    """A trained run with what its diagnosis needs.

    Attributes:
        run: the trained network.
        labels: of the val images, shape (n,).
        train_images: how many train images a clean evaluation looked at (a sample as large as val).
        counted_images: how many train images an epoch counts: all of them.
        groups: lot of each val image, or object where the lot is unknown; shape (n,).
    """

    run: "FineTuned"
    labels: np.ndarray
    train_images: int
    counted_images: int
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
        """Train accuracy as it is counted while training (moving weights, dropout if any), last epoch."""
        return _share(self.history["accuracy"].iloc[-1], self.counted_images, f"{self.name}, counted in training")

    def mean_accuracies(self, epochs: int) -> dict[str, Accuracy]:
        """Mean accuracy over the first so many epochs: `counted` and `clean` on train, and `val`."""
        columns = {
            "counted": ("accuracy", self.counted_images),
            "clean": ("clean_accuracy", self.train_images),
            "val": ("val_accuracy", len(self.labels)),
        }
        return {
            name: _share(self.history[column][:epochs].mean(), n, f"{self.name}, {name}, first {epochs} epochs")
            for name, (column, n) in columns.items()
        }


def _share(value: float, n: int, of: str) -> Accuracy:
    return Accuracy(round(float(value) * n), n, of)


def study(lab: "Lab", recipe: Any, **changes: Any) -> Study:
    """Train (or load) a recipe and gather what its diagnosis needs; its val accuracy and seconds are recorded.

    Args:
        lab: the open lab.
        recipe: number, name or recipe, as `lab.fine_tune` takes it.
        changes: settings to change.
    """
    from lab_utils.data.image_table import fold_groups

    run = lab.fine_tune(recipe, **changes)
    rows = run.rows("val")
    groups = np.asarray(fold_groups(lab.images.iloc[rows]))
    counted = len(run.rows("train"))
    found = Study(run, lab.labels("val"), min(counted, len(rows)), counted, groups)
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


def changed_here(number: int, settings: Any) -> list[str]:
    """Names of the settings in which a run and the one before differ as scaled to a profile's `fine_tuning`."""
    pair = [recipes.scaled(one, settings) for one in recipes.RUNS[max(0, number - 2) : number]]
    return [recipes.label(name) for name in recipes.changed(pair[0], pair[-1])]


def changes_words(number: int, settings: Any) -> str:
    """Which settings a run changes against the one before, as printed and in this profile, and what its note says.

    Args:
        number: of the run, from 1.
        settings: the profile's section `fine_tuning`.
    """
    one = recipes.RUNS[number - 1]
    note = f" Note: {one.note}." if one.note else ""
    if number == 1:
        return f"Run 1 is where the original starts.{note}"
    before = recipes.RUNS[number - 2]
    printed = [recipes.label(name) for name in recipes.changed(before, one)]
    here = changed_here(number, settings)
    words = f"As printed, run {number} differs from {before.name} in {len(printed)} settings: {', '.join(printed)}"
    words += "; the same in this profile." if here == printed else f". In this profile: {', '.join(here) or 'in none'}."
    caution = " With more than one change, a difference can't be put down to any one of them." if len(here) > 1 else ""
    return f"{words}{caution}{note}"


def settings_table(number: int, settings: Any) -> pd.DataFrame:
    """Settings of a run and of the one before, as printed and as scaled to this profile; differences are marked.

    Args:
        number: of the run, from 1.
        settings: the profile's section `fine_tuning`.
    """
    printed = recipes.RUNS[max(0, number - 2) : number]
    here = [recipes.scaled(one, settings) for one in printed]
    changes = [recipes.changed(pair[0], pair[-1]) for pair in (printed, here)]
    titles = [*(f"{one.name}, printed" for one in printed), *(f"{one.name}, in this profile" for one in printed)]
    rows = []
    for name in recipes.SHOWN:
        if name in NEVER_VARIED:
            continue
        where = [title for title, names in zip(("as printed", "here"), changes, strict=True) if name in names]
        values = [recipes.in_words(getattr(one, name)) for one in (*printed, *here)]
        rows.append((recipes.label(name), *values, " and ".join(where)))
    table = pd.DataFrame(rows, columns=["setting", *titles, "changed"])
    return table if number > 1 else table.drop(columns="changed")


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
    names = {"val printed": "val_printed", "val at the end": "val_end"}
    names |= {"val, highest": "val_peak", "train at the end": "train_end"}
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


def start_words(one: Study, table: pd.DataFrame, number: int) -> str:
    """The loss of the first epoch, cross-entropy and penalty apart, beside where the original's plotted loss starts."""
    first, plotted = one.history.iloc[0], table.set_index("run").loc[str(number), "loss_start"]
    words = (
        f"**Start.** Over the first epoch cross-entropy is {first['cross_entropy']:.3g} nats and the L2 penalty "
        f"{first['penalty']:.3g}, so the loss is {first['cross_entropy'] + first['penalty']:.3g}."
    )
    if pd.isna(plotted):
        return words
    return f"{words} Reported: the original's plotted loss (penalty included, VGG16's head) starts near {plotted:g}."


# ---- diagnosis -------------------------------------------------------------------------------------------------------
def gap_words(one: Study) -> str:
    """Overfitting by the rule of `curves.overfitting`, on clean train against val at the end."""
    gap = one.train_at_end.minus(one.val_at_end)
    return (
        f"**Gap.** At the end train (clean) is at {one.train_at_end}, val at {one.val_at_end}; train against "
        f"val: {gap}. By chapter 01's rule that is overfitting: {curves.overfitting(gap)}."
    )


def order_words(one: Study) -> str:
    """Whether val lies above train, counted in training and evaluated cleanly, and what makes the difference."""
    counted = one.val_at_end.minus(one.counted_at_end)
    clean = one.val_at_end.minus(one.train_at_end)
    return (
        f"**Val against train.** Against the accuracy counted while training (all {one.counted_images:,} train images) "
        f"val {_lies(counted)}; against train evaluated cleanly after the epoch ({one.train_images:,} of them) it "
        f"{_lies(clean)}. {counting_words(one)}"
    )


def _lies(gap: Difference) -> str:
    where = "can't be told from it" if gap.tie else "lies above it" if gap.value > 0 else "lies below it"
    return f"{where} ({gap})"


def counting_words(one: Study) -> str:
    """What the way of counting (dropout if any, moving weights) and the penalty do to train's figures at the end."""
    last, dropout = one.history.iloc[-1], one.run.recipe.dropout
    causes = "the weights' movement within the epoch"
    causes = f"dropout and {causes} together" if dropout else f"{causes} alone (no dropout in this run)"
    penalty = (
        f"the penalty, {last['penalty']:.3g} nats, is in none of them" if last["penalty"] > 0 else "no penalty here"
    )
    return (
        f"Clean minus counted train accuracy, made by {causes}: {one.train_at_end.minus(one.counted_at_end)}. "
        f"Train cross-entropy is {last['cross_entropy']:.2f} nats counted, {last['clean_cross_entropy']:.2f} clean, "
        f"and {last['val_cross_entropy']:.2f} on val ({penalty})."
    )


def above_train(one: Study, epochs: int | None = None) -> dict[str, Any]:
    """Evidence on "val is above train": at the end, or over the first so many epochs.

    Returns:
        `counted` and `clean`: val minus train accuracy; `above`: epochs with val above the counted one; `epochs`.
    """
    looked = epochs or len(one.history)
    above = (one.history["val_accuracy"] > one.history["accuracy"])[:looked]
    found = {"counted": one.counted_at_end, "clean": one.train_at_end, "val": one.val_at_end}
    found = one.mean_accuracies(looked) if epochs else found
    gaps = {name: found["val"].minus(found[name]) for name in ("counted", "clean")}
    return {**gaps, "above": int(above.sum()), "epochs": looked}


def capacity_words(clean: Difference) -> str:
    """Whether the order of clean train and val (`clean`: val minus train) asks for more capacity, as an alternative."""
    if clean.low > 0:
        return "more capacity, for val lies above train even where train is evaluated cleanly."
    return "more capacity, which the order of the two curves does not ask for once train is evaluated cleanly."


def val_loss_slope(one: Study) -> Estimate | None:
    """Slope of val cross-entropy over the last half of the epochs, nats an epoch; None with fewer than three epochs."""
    losses = one.history["val_cross_entropy"].to_numpy()
    return curves.trend(losses, of=f"{one.name}, val cross-entropy", unit=NATS) if len(losses) >= 3 else None


def slopes_after_minimum(one: Study) -> dict[str, Estimate] | None:
    """Slopes of val loss and val accuracy from the epoch of the lowest val cross-entropy on.

    None where there are fewer than three epochs.
    """
    after = curves.after_minimum(one.history["val_cross_entropy"].to_numpy())
    if after < 3:
        return None
    columns = {"val loss": ("val_cross_entropy", NATS), "val accuracy": ("val_accuracy", " an epoch")}
    return {
        name: curves.trend(one.history[column].to_numpy(), after, f"{one.name}, {name}", unit=unit)
        for name, (column, unit) in columns.items()
    }


def histories(*studies: Study) -> dict[str, pd.DataFrame]:
    """Training histories by the runs' names, for claims that need networks trained to an end."""
    return {study.name: study.history for study in studies}


def rise_of(one: Study) -> curves.Rise:
    """Change of val cross-entropy since its lowest epoch, split by final answers."""
    return curves.rise_since_best(one.probabilities(), one.labels, one.groups)


def trend_words(one: Study) -> str:
    """Where val cross-entropy is heading at the end."""
    slope = val_loss_slope(one)
    if slope is None:
        return f"**Trend.** {len(one.history)} epochs are too few to tell where val cross-entropy is heading."
    what = {
        "falling": "still falling: longer training should lower it further",
        "rising": "rising: the best epoch is behind",
        "undecided": "neither rising nor falling beyond its scatter",
    }[curves.direction(slope)]
    return f"**Trend.** Over the last {slope.n} epochs val cross-entropy changes by {slope}: it is {what}."


def rise_words(one: Study) -> str:
    """Who carries the rise of val cross-entropy since its lowest epoch."""
    rise = rise_of(one)
    if rise.total.value <= 0:
        return "**Loss and accuracy.** Val cross-entropy is lowest at the last epoch: there is no rise to explain."
    words = f"**Loss and accuracy.** Since epoch {rise.start + 1} val cross-entropy rose by {rise.total}"
    if not rise.shown:
        return f"{words}: within its interval, so no rise is shown."
    return (
        f"{words}, while accuracy against that epoch is {rise.accuracy}. Images that are right at the end carry "
        f"{rise.right} of it, wrong ones {rise.wrong}; the mean confidence changed by {rise.surer_right} for the right "
        f"ones and by {rise.surer_wrong} for the wrong ones."
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
    ends = [curves.image_losses(which.probabilities()[-1:], which.labels)[0] for which in (one, other)]
    return bootstrap_estimate(ends[0] - ends[1], f"{one.name} minus {other.name}", one.groups, digits=3, unit=" nats")


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
    split = curves.confidence(one.probabilities(), one.labels)
    return {
        "mean confidence": {"right": split.confidence_right, "wrong": split.confidence_wrong},
        "mean cross-entropy (nats)": {"right": split.loss_right, "wrong": split.loss_wrong, "all": split.loss},
    }


# ---- beside the original and the paper -------------------------------------------------------------------------------
def unlike_the_original(lab: "Lab") -> list[str]:
    """What keeps this run's fine-tuning from being set beside the original's, in words; empty where nothing does."""
    settings, other = lab.settings.fine_tuning, recipes.RUNS[0]
    found = {
        "other images than MAMe's full list": lab.table.source != "mame",
        "missing images": lab.missing > 0,
        f"at most {settings.cap} train images a class": settings.cap is not None,
        "random weights": lab.settings.networks.weights != "imagenet",
        f"another network than {other.network}": settings.networks[0] != other.network,
        f"another input size than {other.size} pixels": settings.size != other.size,
    }
    words = [name for name, holds in found.items() if holds]
    if words or all(recipes.scaled(one, settings) == one for one in recipes.RUNS):
        return words
    return ["runs that are scaled to this profile"]


def like_the_original(lab: "Lab") -> bool:
    """Whether fine-tuning runs can be set beside the original's: all of MAMe, its network and weights, as printed."""
    return not unlike_the_original(lab)


def diamonds(lab: "Lab", reported: pd.DataFrame) -> dict[str, float] | None:
    """The original's printed val accuracies in percent, for the bars; only where the runs are like the original's."""
    if not like_the_original(lab):
        return None
    printed = reported[reported["run"].str.isdigit() & reported["val_printed"].notna()]
    return {f"run {row.run}": 100 * row.val_printed for row in printed.itertuples()}


def paper_words(lab: "Lab", one: Study) -> str:
    """The paper's VGG16 beside the original's last run and ours, with what keeps them from being alike."""
    paper = lab.reported("paper_r65k").set_index("architecture").loc["VGG16"]
    printed = lab.reported("fine_tuning").set_index("run").loc[str(HEADLINE), "val_printed"]
    ours = f"{lab.title(one.run.recipe.network)} at {one.run.recipe.size} pixels on val of this run: {one.val}"
    unlike = unlike_the_original(lab)
    alike = f" Ours can't be set against either: {', '.join(unlike)}." if unlike else ""
    return (
        f"Reported for VGG16 on MAMe: by the paper {_percent(paper['fs'])} on test with fixed shape and "
        f"{_percent(paper['vs'])} with variable shape (whole network tuned, augmentation, hundreds of epochs); by the "
        f"original's last run {_percent(printed)} on val. MAMe's val is balanced and its test is not, so the two are "
        f"not alike either (chapter 14 gives balanced test accuracy). {ours}.{alike}"
    )


# ---- the headline run ------------------------------------------------------------------------------------------------
def headline_decision(one: Study, best: Study, seeds: str) -> tuple[str, str, str]:
    """Decision on the headline run, its reason and the alternative, for `lab.decide`.

    Which run is the headline was fixed beforehand, so it stays whatever val says; what val says is told.

    Args:
        one: the headline run.
        best: the best of the others by val.
        seeds: what the seeds say, in words.
    """
    gap = compare(one, best)
    because = f"{one.name} against {best.name}, the best of the others on val: {gap}. {seeds}"
    if not gap.tie and gap.value < 0:
        what = (
            f"{one.name.capitalize()} stays the headline run because it was fixed beforehand, as the original's final "
            f"one; on these data {best.name} is clearly better, so the chapters that follow describe the original's "
            "last recipe and not the best one here."
        )
        return what, because, f"{best.name}: then the chapters that follow would be of another recipe."
    what = f"{one.name.capitalize()} stays the headline run, as in the original"
    if gap.tie:
        chance = "the run with the highest val accuracy, which the choice among ties would make a choice by luck."
        return f"{what}: no other run is clearly better on val.", because, chance
    return f"{what}: it is the best on val.", because, f"{best.name}, which is clearly worse."


def probe_words(one: Study, answers: np.ndarray, title: str) -> str:
    """A fine-tuned run beside a linear classifier on the same network's frozen features, in a sentence.

    Args:
        one: the run.
        answers: the linear classifier's predictions on val, shape (n,).
        title: what it is.
    """
    probe = Accuracy.from_labels(one.labels, answers, title)
    gap = paired_difference(one.labels, one.predicted(), answers, f"{one.name} minus {title}", one.groups)
    words = f"**Under-training.** On val {one.name} is at {one.val}, {title} at {probe}: {one.name} is {gap}."
    if gap.tie:
        return f"{words} Fine-tuning is not shown to add to the frozen features here."
    if gap.value > 0:
        return f"{words} Fine-tuning adds to the frozen features."
    return (
        f"{words} The run has not caught up with features that needed no training: it is under-trained in this "
        "profile, and what its curves say of overfitting and confidence is said of an unfinished network."
    )


def _percent(share: float) -> str:
    return f"{100 * share if share <= 1 else share:.1f} %"
