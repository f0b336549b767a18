"""Chapters 06 to 11: what the slide of the chapter's run says, what the run changes, and how it is shown."""

from functools import cached_property
from typing import TYPE_CHECKING

import pandas as pd

from lab_utils.chapters import fine_tuning_results, run_diagnosis
from lab_utils.chapters.fine_tuning_results import FineTuningResult, changed, printed_row
from lab_utils.core.chapters import RUNS
from lab_utils.core.errors import LabError
from lab_utils.stats.intervals import Difference

if TYPE_CHECKING:
    from lab_utils.lab import Lab
    from lab_utils.training.fit import Run
    from lab_utils.training.setup import FineTuningSetup


# ---- the chapter's run -----------------------------------------------------------------------------------------------
class RunChapter:
    """What the chapters of the six runs share, for the run that the open chapter is about.

    Attributes:
        lab: the open lab.
        number: of the run, 1 to 6.
    """

    def __init__(self, lab: "Lab", number: int):
        self.lab, self.number = lab, number

    @cached_property
    def before(self) -> FineTuningResult | None:
        """The run before it, which its own chapter has kept; None: this is the first one.

        Raises:
            LabError: that chapter was not run yet.
        """
        return fine_tuning_results.kept(self.lab, f"run {self.number - 1}") if self.number > 1 else None

    def result(self, run: "Run", here: "FineTuningSetup", name: str = "") -> FineTuningResult:
        """A trained network with what its figures and its diagnosis need.

        The chapter's own run is kept for the chapters after it.

        Args:
            run: what `lab.fit` gave.
            here: the settings that it took from the profile.
            name: of a variant; "": it is the chapter's run.
        """
        return fine_tuning_results.result(self.lab, here, run, name, keep=not name)

    def show_slide(self) -> None:
        """Say what the original reports of the run."""
        self.lab.say(reported_words(self.number))

    def show_settings(self, result: FineTuningResult) -> None:
        """Tabulate the run's settings and those of the run before, on the slide and here."""
        table = fine_tuning_results.settings_table(result, self.before)
        caption = f"Settings of run {self.number}: slide and here."
        self.lab.tabulate(table, caption, label="settings", reported="fine_tuning")
        if words := changes_words(result, self.before):
            self.lab.say(words)

    def show_curves(self, result: FineTuningResult) -> None:
        """Show the curves, with the original's levels where the run is like the original's; say how they start."""
        from lab_utils.display import figures

        levels = reported_levels(self.number) if fine_tuning_results.like_the_original(self.lab) else None
        title = f"Run {self.number}, {result.network}"
        caption = f"{title}: curves by epoch (val: n = {len(result.labels):,} images)."
        panels = run_diagnosis.curve_panels(result)
        figure = figures.curves(panels, log=["cross-entropy (nats)"], reported=levels)
        self.lab.show(figure, caption, label="curves")
        self.lab.say(start_words(result, self.number), run_diagnosis.numbers(result))

    def diagnose(self, result: FineTuningResult) -> None:
        """Say all sentences of the diagnosis."""
        for sentence in run_diagnosis.diagnose(result):
            self.lab.say(sentence, run_diagnosis.numbers(result))


def open_run(lab: "Lab") -> RunChapter:
    """The shared part of the open chapter, which must be one of the six runs'.

    Raises:
        LabError: it is another chapter.
    """
    if lab.chapter not in RUNS:
        raise LabError(f"Chapter {lab.chapter} is about no single run: open one of {', '.join(RUNS)}.")
    return RunChapter(lab, RUNS.index(lab.chapter) + 1)


# ---- what the original says, and what the run changes ----------------------------------------------------------------
def reported_words(number: int) -> str:
    """What the slide of a run prints and its curve shows, in a sentence that calls the numbers reported."""
    row = printed_row(f"run {number}")
    printed = "no val accuracy" if pd.isna(row["val_printed"]) else f"a val accuracy of {row['val_printed']:.2f}"
    peak = "" if pd.isna(row["val_peak"]) else f" (highest {row['val_peak']:.3f})"
    note = "" if pd.isna(row["note"]) else f" Note: {row['note']}."
    return (
        f"Reported ({row['source']}, VGG16 on MAMe): {printed}. Its plotted curves end at {row['val_end']:.3f} on val"
        f"{peak} and at {row['train_end']:.3f} on train.{note}"
    )


def reported_levels(number: int) -> dict[str, dict[str, float]]:
    """Levels that the original prints and plots, for the accuracy panel."""
    row = printed_row(f"run {number}")
    names = {"val printed": "val_printed", "val at the end": "val_end"}
    names |= {"val, highest": "val_peak", "train at the end": "train_end"}
    return {"accuracy": {name: float(row[key]) for name, key in names.items() if pd.notna(row[key])}}


def start_words(result: FineTuningResult, number: int) -> str:
    """The loss of the first epoch, cross-entropy and penalty apart, beside where the original's plotted loss starts."""
    first, plotted = result.history.iloc[0], printed_row(f"run {number}")["loss_start"]
    words = (
        f"**Start.** Loss of the first epoch: {first['cross_entropy'] + first['penalty']:.3g}, of which "
        f"{first['penalty']:.3g} is the L2 penalty."
    )
    if pd.isna(plotted):
        return words
    return f"{words} The original's plotted loss starts near {plotted:g} (reported)."


def changes_words(result: FineTuningResult, before: FineTuningResult | None) -> str:
    """A caution where a run differs from the one before in more than one setting; else nothing."""
    names = changed(before, result) if before else []
    if len(names) < 2:
        return ""
    return f"{len(names)} settings change at once."


def follow(step: str, difference: Difference) -> str:
    """The decision to go on as the original does, and what the step just taken gave on these data.

    Args:
        step: what comes next.
        difference: of the step just taken, on val.
    """
    if difference.tie:
        finding = "the step just taken is a tie on these data"
    elif difference.value > 0:
        finding = "the step just taken pays on these data"
    else:
        finding = "its story is to be tested, although the step just taken costs accuracy on these data"
    return f"Go on as the original does, {step}: {finding}."
