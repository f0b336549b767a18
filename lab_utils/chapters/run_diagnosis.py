"""Chapters 06 to 12: curves of a fine-tuning run and its diagnosis, in panels, sentences and verdicts."""

from typing import Any

import numpy as np
import pandas as pd

from lab_utils.chapters.fine_tuning_results import FineTuningResult
from lab_utils.stats import curves
from lab_utils.stats.intervals import Difference, Estimate

NATS = " nats an epoch"


# ---- curves ----------------------------------------------------------------------------------------------------------
def curve_panels(result: FineTuningResult) -> dict[str, dict[str, np.ndarray]]:
    """Panels for `figures.curves`: accuracy, cross-entropy, and the penalty where there is one."""
    history = result.history
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


# ---- diagnosis -------------------------------------------------------------------------------------------------------
def diagnose(result: FineTuningResult) -> list[str]:
    """All sentences of the diagnosis, in order."""
    return [gap_words(result), order_words(result), trend_words(result), rise_words(result), cost_words(result)]


def numbers(result: FineTuningResult) -> dict[str, float]:
    """Plain numbers that sentences on a run's curves show: its first and last epoch, the first loss, its seconds."""
    ends = {"first": result.history.iloc[0], "last": result.history.iloc[-1]}
    values = {f"{name}, {which} epoch": float(row[name]) for which, row in ends.items() for name in row.index}
    loss = float(ends["first"]["cross_entropy"] + ends["first"]["penalty"])
    return {**values, "first loss": loss, "seconds": result.run.seconds}


def gap_words(result: FineTuningResult) -> str:
    """Overfitting by the rule of `curves.overfitting`, on clean train against val at the end."""
    gap = result.train_at_end.minus(result.val_at_end)
    return (
        f"**Gap.** At the end train (clean) is at {result.train_at_end}, val at {result.val_at_end}; train against "
        f"val: {gap}. By chapter 01's rule that is overfitting: {curves.overfitting(gap)}."
    )


def order_words(result: FineTuningResult) -> str:
    """Whether val lies above train, counted in training and evaluated cleanly, and what makes the difference."""
    counted = result.val_at_end.minus(result.counted_at_end)
    clean = result.val_at_end.minus(result.train_at_end)
    return (
        f"**Val against train.** Against the accuracy counted while training (all {result.counted_images:,} train "
        f"images) val {_lies(counted)}; against train evaluated cleanly after the epoch ({result.train_images:,} of "
        f"them) it {_lies(clean)}. {counting_words(result)}"
    )


def _lies(gap: Difference) -> str:
    where = "can't be told from it" if gap.tie else "lies above it" if gap.value > 0 else "lies below it"
    return f"{where} ({gap})"


def counting_words(result: FineTuningResult) -> str:
    """What the way of counting (dropout if any, moving weights) and the penalty do to train's figures at the end."""
    last, dropout = result.history.iloc[-1], result.settings["dropout"]
    causes = "the weights' movement within the epoch"
    causes = f"dropout and {causes} together" if dropout else f"{causes} alone (no dropout in this run)"
    penalty = (
        f"the penalty, {last['penalty']:.3g} nats, is in none of them" if last["penalty"] > 0 else "no penalty here"
    )
    return (
        f"Clean minus counted train accuracy, made by {causes}: {result.train_at_end.minus(result.counted_at_end)}. "
        f"Train cross-entropy is {last['cross_entropy']:.2f} nats counted, {last['clean_cross_entropy']:.2f} clean, "
        f"and {last['val_cross_entropy']:.2f} on val ({penalty})."
    )


def trend_words(result: FineTuningResult) -> str:
    """Where val cross-entropy is heading at the end; where the epochs are too few for a slope, that."""
    slope = val_loss_slope(result)
    if slope is None:
        return f"**Trend.** {len(result.history)} epochs are too few to tell where val cross-entropy is heading."
    what = {
        "falling": "still falling: longer training should lower it further",
        "rising": "rising: the best epoch is behind",
        "undecided": "neither rising nor falling beyond its scatter",
    }[curves.direction(slope)]
    return f"**Trend.** Over the last {slope.n} epochs val cross-entropy changes by {slope}: it is {what}."


def rise_words(result: FineTuningResult) -> str:
    """Who carries the rise of val cross-entropy since its lowest epoch."""
    rise = rise_of(result)
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


def cost_words(result: FineTuningResult) -> str:
    """Seconds of training and what they bought."""
    return (
        f"**Cost.** {len(result.history)} epochs took {result.run.seconds:.1f} s of training (activations of the "
        f"frozen blocks are computed once and shared); the best epoch is {result.run.best_epoch}, with {result.val} "
        "on val, chosen on the same val images."
    )


# ---- what decides the claims -----------------------------------------------------------------------------------------
def val_loss_slope(result: FineTuningResult) -> Estimate | None:
    """Slope of val cross-entropy over the last half of the epochs, nats an epoch; None where these are too few."""
    losses = result.history["val_cross_entropy"].to_numpy()
    if not curves.has_trend(len(losses)):
        return None
    return curves.trend(losses, of=f"{result.name}, val cross-entropy", unit=NATS)


def rise_of(result: FineTuningResult) -> curves.LossRise:
    """Change of val cross-entropy since its lowest epoch, split by final answers."""
    return curves.rise_since_best(result.logits(), result.labels, result.groups)


def slopes_after_minimum(result: FineTuningResult) -> dict[str, Estimate] | None:
    """Slopes of val loss and val accuracy from the epoch of the lowest val cross-entropy on.

    None where these are too few for a slope.
    """
    after = curves.after_minimum(result.history["val_cross_entropy"].to_numpy())
    if after < curves.FEWEST:
        return None
    columns = {"val loss": ("val_cross_entropy", NATS), "val accuracy": ("val_accuracy", " an epoch")}
    return {
        name: curves.trend(result.history[column].to_numpy(), after, f"{result.name}, {name}", unit=unit)
        for name, (column, unit) in columns.items()
    }


def histories(*results: FineTuningResult) -> dict[str, pd.DataFrame]:
    """Training histories by the runs' names, for claims that need networks trained to an end."""
    return {result.name: result.history for result in results}


def above_train(result: FineTuningResult, epochs: int | None = None) -> dict[str, Any]:
    """Evidence on "val is above train": at the end, or over the first so many epochs.

    Returns:
        `counted` and `clean`: val minus train accuracy; `above`: epochs with val above the counted one; `epochs`.
    """
    looked = epochs or len(result.history)
    above = (result.history["val_accuracy"] > result.history["accuracy"])[:looked]
    accuracies = {"counted": result.counted_at_end, "clean": result.train_at_end, "val": result.val_at_end}
    accuracies = result.mean_accuracies(looked) if epochs else accuracies
    gaps = {name: accuracies["val"].minus(accuracies[name]) for name in ("counted", "clean")}
    return {**gaps, "above": int(above.sum()), "epochs": looked}


def capacity_words(clean: Difference) -> str:
    """Whether the order of clean train and val (`clean`: val minus train) asks for more capacity, as an alternative."""
    if clean.low > 0:
        return "more capacity, for val lies above train even where train is evaluated cleanly."
    return "more capacity, which the order of the two curves does not ask for once train is evaluated cleanly."
