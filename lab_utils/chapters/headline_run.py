"""Chapter 11: the headline run beside its seeds, its grid and the other runs, and how sure it is on val."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lab_utils.chapters import fine_tuning_results
from lab_utils.chapters.fine_tuning_results import FineTuningResult, compare, like_the_original, unlike_the_original
from lab_utils.stats import curves, metrics
from lab_utils.stats.intervals import Difference, Estimate, mean_estimate, paired_difference

if TYPE_CHECKING:
    from lab_utils.lab import Lab


HEADLINE = 6


# ---- beside the other runs, the original and the paper ---------------------------------------------------------------
def runs_table(results: Sequence[FineTuningResult], reported: pd.DataFrame) -> pd.DataFrame:
    """All runs side by side: ours with intervals, differences between neighbours, the original's numbers."""
    rows, printed = [], reported.set_index("run")
    for place, result in enumerate(results):
        row = printed.loc[str(place + 1)]
        rows.append(
            {
                "run": result.name,
                "val, best epoch": result.val,
                "against the run before": compare(result, results[place - 1]) if place else "",
                "train (clean), end": result.train_at_end,
                "epochs": len(result.history),
                "seconds": round(result.run.seconds, 1),
                "reported val, printed": _reported(row["val_printed"]),
                "reported val, curve's end": _reported(row["val_end"]),
            }
        )
    return pd.DataFrame(rows)


def _reported(value: float) -> str:
    return "not printed" if pd.isna(value) else f"{value:.3f}".rstrip("0")


def diamonds(lab: "Lab", reported: pd.DataFrame) -> dict[str, float] | None:
    """The original's printed val accuracies in percent, for the bars; only where the runs are like the original's."""
    if not like_the_original(lab):
        return None
    printed = reported[reported["run"].str.isdigit() & reported["val_printed"].notna()]
    return {f"run {row.run}": 100 * row.val_printed for row in printed.itertuples()}


def paper_words(lab: "Lab", headline: FineTuningResult) -> str:
    """The paper's VGG16 beside the original's last run and ours, with what keeps them from being alike."""
    paper = lab.reported("paper_r65k").set_index("architecture").loc["VGG16"]
    printed = lab.reported("fine_tuning").set_index("run").loc[str(HEADLINE), "val_printed"]
    ours = f"{headline.network} at {headline.settings['input size']} pixels on val of this run: {headline.val}"
    unlike = unlike_the_original(lab)
    alike = f" Ours can't be set against either: {', '.join(unlike)}." if unlike else ""
    return (
        f"Reported for VGG16 on MAMe: by the paper {_percent(paper['fs'])} on test with fixed shape and "
        f"{_percent(paper['vs'])} with variable shape, by the original's last run {_percent(printed)} on val. "
        f"The paper tuned the whole network for hundreds of epochs, and only val is balanced. {ours}.{alike}"
    )


def _percent(share: float) -> str:
    return f"{100 * share if share <= 1 else share:.1f} %"


# ---- seeds and grid --------------------------------------------------------------------------------------------------
def seeds_words(results: Sequence[FineTuningResult]) -> str:
    """Mean and range of the headline run over its seeds."""
    values = [100 * result.val.value for result in results]
    return (
        f"Over {len(values)} seeds val accuracy of the best epoch is {np.mean(values):.1f} % on average, from "
        f"{min(values):.1f} to {max(values):.1f} % (n = {len(results[0].labels):,} val images each)."
    )


def variant(name: str, **change: Any) -> str:
    """Name of a run with one setting changed: the setting and its value."""
    ((setting, value),) = change.items()
    words = {"l2": "L2"}.get(setting, setting.replace("_", " "))
    return f"{name}, {words} {fine_tuning_results.in_words(value)}"


def grid_words(base: FineTuningResult, others: Mapping[str, FineTuningResult]) -> str:
    """Which single settings make a difference, in a sentence; intervals are widened for their number (Bonferroni)."""
    changes = {name: compare(change, base, len(others)) for name, change in others.items()}
    names = {name: name.removeprefix(f"{base.name}, ") for name in changes}
    clear = [f"{names[name]} ({change})" for name, change in changes.items() if not change.tie]
    if not changes:
        return "This profile's grid is empty (`fine_tuning.grid` is 0)."
    if not clear:
        return f"None of the {len(changes)} single changes differs from {base.name} beyond its interval: all are ties."
    make = "makes" if len(clear) == 1 else "make"
    return f"Only {' and '.join(clear)} {make} a clear difference to {base.name}. The other changes are ties."


def headline_decision(
    headline: FineTuningResult, best: FineTuningResult, seeds: str, gap: Difference
) -> tuple[str, str, str]:
    """Decision on the headline run, its reason and the alternative, for `lab.decide`.

    Which run is the headline was fixed beforehand, so it stays whatever val says; what val says is told.

    Args:
        headline: the headline run.
        best: the best of the others by val.
        seeds: what the seeds say, in words.
        gap: the headline run minus the best of the others, widened for that choice.
    """
    because = f"{headline.name} against {best.name}, the best of the others on val: {gap}. {seeds}"
    if not gap.tie and gap.value < 0:
        what = (
            f"{headline.name.capitalize()} stays the headline run because it was fixed beforehand, as the original's "
            f"final one; on these data {best.name} is clearly better, so the chapters that follow describe the "
            "original's last recipe and not the best one here."
        )
        return what, because, f"{best.name}: then the chapters that follow would be of another recipe."
    what = f"{headline.name.capitalize()} stays the headline run, as in the original"
    if gap.tie:
        chance = "the run with the highest val accuracy, which the choice among ties would make a choice by luck."
        return f"{what}: no other run is clearly better on val.", because, chance
    return f"{what}: it is the best on val.", because, f"{best.name}, which is clearly worse."


# ---- how sure it is --------------------------------------------------------------------------------------------------
def confidence_panels(result: FineTuningResult) -> dict[str, dict[str, np.ndarray]]:
    """Panels for `figures.curves`: mean confidence and mean cross-entropy of right and wrong val predictions."""
    split = curves.confidence(result.logits(), result.labels)
    return {
        "mean confidence": {"right": split.confidence_right, "wrong": split.confidence_wrong},
        "mean cross-entropy (nats)": {"right": split.loss_right, "wrong": split.loss_wrong, "all": split.loss},
    }


@dataclass(frozen=True)
class Calibration:
    """Confidence of a run on val, before and after one temperature that was fitted on the other half of val.

    Attributes:
        temperature: fitted on all of val; above 1 the network is too sure.
        before: NLL in nats as it is.
        after: NLL with the other half's temperature.
        before_ece: expected calibration error as it is.
        after_ece: with the other half's temperature.
        before_chance: expected calibration error of a calibrated network with these probabilities.
        after_chance: the same with the other half's temperature.
        reliability: `{"before": table, "after": table}` of `metrics.reliability`.
    """

    temperature: float
    before: Estimate
    after: Estimate
    before_ece: Estimate
    after_ece: Estimate
    before_chance: Estimate
    after_chance: Estimate
    reliability: dict[str, pd.DataFrame]

    @property
    def table(self) -> pd.DataFrame:
        """NLL and calibration error, before and after."""
        rows = [
            ("as it is", self.before, self.before_ece, self.before_chance),
            ("with the temperature", self.after, self.after_ece, self.after_chance),
        ]
        columns = ["probabilities", "NLL (nats)", "expected calibration error", "of a calibrated network"]
        return pd.DataFrame(rows, columns=columns)


def calibration(result: FineTuningResult) -> Calibration:
    """Calibration of the best epoch on val (Guo et al., arXiv 1706.04599), each half with the other half's temperature.

    The halves keep lots together.
    """
    plain = result.logits()[result.run.best_epoch - 1]
    both = {"before": plain, "after": softened(plain, result.labels, halves(result.groups))}
    losses = [
        metrics.mean_cross_entropy(values, result.labels, f"NLL, {when}", result.groups, digits=3)
        for when, values in both.items()
    ]
    chances = {when: metrics.softmax(values) for when, values in both.items()}
    errors = [metrics.calibration_error(values, result.labels, f"ECE, {when}") for when, values in chances.items()]
    tables = {when: metrics.reliability(values, result.labels, 15, result.groups) for when, values in chances.items()}
    return Calibration(
        metrics.temperature(plain, result.labels),
        *losses,
        *(error for pair in zip(*errors, strict=True) for error in pair),
        tables,
    )


def halves(groups: np.ndarray, seed: int = 0) -> np.ndarray:
    """Split images into two halves of about equal size that share no group; True for one half, shape (n,)."""
    names, member = np.unique(groups, return_inverse=True)
    sizes, chosen = np.bincount(member), np.zeros(len(names), bool)
    filled = [0, 0]
    for place in np.random.default_rng(seed).permutation(len(names)):
        chosen[place] = filled[1] < filled[0]
        filled[int(chosen[place])] += sizes[place]
    return chosen[member]


def softened(logits: np.ndarray, labels: np.ndarray, half: np.ndarray) -> np.ndarray:
    """Logits (n, C) of each half, divided by the temperature that was fitted on the other half.

    Args:
        logits: shape (n, C).
        labels: shape (n,).
        half: membership in the first half, shape (n,); where one half is empty, nothing changes.
    """
    softer = np.array(logits, np.float64)
    if half.all() or not half.any():
        return softer
    for fitted, applied in ((half, ~half), (~half, half)):
        softer[applied] /= metrics.temperature(logits[fitted], labels[fitted])
    return softer


def trade(result: FineTuningResult) -> dict[str, Any]:
    """Evidence on accuracy against confidence: the epoch of the highest val accuracy minus that of the lowest loss.

    Returns:
        `accurate` and `lowest`: the epochs, from 1; `accuracy`: paired difference; `before` and `after`: difference of
        the NLL in nats as they are and with a temperature of the other half each; lots are drawn.
    """
    accurate, lowest = result.run.best_epoch, int(result.history["val_cross_entropy"].to_numpy().argmin()) + 1
    pair = [result.logits()[epoch - 1] for epoch in (accurate, lowest)]
    half = halves(result.groups)
    losses = {
        "before": [metrics.cross_entropy(values, result.labels) for values in pair],
        "after": [metrics.cross_entropy(softened(values, result.labels, half), result.labels) for values in pair],
    }
    style = {"groups": result.groups, "digits": 3, "unit": " nats"}
    changes = {when: mean_estimate(first - second, when, **style) for when, (first, second) in losses.items()}
    words = f"epoch {accurate} minus epoch {lowest}"
    accuracy = paired_difference(result.labels, *(values.argmax(1) for values in pair), words, result.groups)
    return {"accurate": accurate, "lowest": lowest, "accuracy": accuracy, **changes}
