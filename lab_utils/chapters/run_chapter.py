"""Chapters 06 to 11: what the original says of the chapter's run, what it changes, and one object that shows it all."""

from functools import cached_property
from typing import TYPE_CHECKING, Any

import pandas as pd

from lab_utils.chapters import fine_tuning_results, run_diagnosis
from lab_utils.chapters.fine_tuning_results import NEVER_VARIED, FineTuningResult
from lab_utils.core.chapters import RUNS
from lab_utils.core.errors import LabError
from lab_utils.stats.intervals import Difference
from lab_utils.training import recipes

if TYPE_CHECKING:
    from lab_utils.lab import Lab


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
    def run(self) -> FineTuningResult:
        """The run, trained or loaded."""
        return fine_tuning_results.result(self.lab, self.number)

    @cached_property
    def before(self) -> FineTuningResult:
        """The run before it, trained or loaded."""
        return fine_tuning_results.result(self.lab, self.number - 1)

    @cached_property
    def step(self) -> Difference:
        """Val accuracy of the run minus the one before."""
        return fine_tuning_results.compare(self.run, self.before)

    @property
    def changed(self) -> list[str]:
        """Names of the settings in which the run and the one before differ in this profile."""
        return changed_here(self.number, self.lab.settings.fine_tuning)

    def show_original(self) -> None:
        """Say what the original reports of the run."""
        self.lab.say(reported_words(self.lab.reported("fine_tuning"), self.number))

    def show_changes(self) -> None:
        """Say what the run changes, and how runs are scaled."""
        self.lab.say(changes_words(self.number, self.lab.settings.fine_tuning))
        self.lab.say(recipes.scaling(self.lab.settings.fine_tuning), run_diagnosis.scaling_numbers(self.lab.settings))

    def show_settings(self) -> None:
        """Tabulate the run's settings and those of the run before, as printed and in this profile."""
        table = settings_table(self.number, self.lab.settings.fine_tuning)
        caption = f"Settings of run {self.number} as reported by the original and as scaled to this profile."
        self.lab.tabulate(table, caption, label="settings", reported="fine_tuning")

    def show_curves(self) -> None:
        """Show the curves, with the original's levels where the run is like the original's; say how they start."""
        from lab_utils.display import figures

        table, like = self.lab.reported("fine_tuning"), fine_tuning_results.like_the_original(self.lab)
        levels = reported_levels(table, self.number) if like else None
        title = f"Run {self.number}, {self.lab.title(self.run.run.recipe.network)}"
        caption = f"{title}: curves by epoch (val: n = {len(self.run.labels):,} images)."
        panels = run_diagnosis.curve_panels(self.run)
        figure = figures.curves(panels, log=["cross-entropy (nats)"], reported=levels)
        self.lab.show(figure, caption, run_diagnosis.curves_alt(self.run), label="curves")
        self.lab.say(start_words(self.run, table, self.number), run_diagnosis.numbers(self.run))

    def diagnose(self) -> None:
        """Say all sentences of the diagnosis."""
        for sentence in run_diagnosis.diagnose(self.run):
            self.lab.say(sentence, run_diagnosis.numbers(self.run))


def open_run(lab: "Lab") -> RunChapter:
    """The shared part of the open chapter, which must be one of the six runs'.

    Raises:
        LabError: it is another chapter.
    """
    if lab.chapter not in RUNS:
        raise LabError(f"Chapter {lab.chapter} is about no single run: open one of {', '.join(RUNS)}.")
    return RunChapter(lab, RUNS.index(lab.chapter) + 1)


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


def reported_levels(table: pd.DataFrame, number: int) -> dict[str, dict[str, float]]:
    """Levels that the original prints and plots, for the accuracy panel."""
    row = table.set_index("run").loc[str(number)]
    names = {"val printed": "val_printed", "val at the end": "val_end"}
    names |= {"val, highest": "val_peak", "train at the end": "train_end"}
    return {"accuracy": {name: float(row[key]) for name, key in names.items() if pd.notna(row[key])}}


def start_words(result: FineTuningResult, table: pd.DataFrame, number: int) -> str:
    """The loss of the first epoch, cross-entropy and penalty apart, beside where the original's plotted loss starts."""
    first, plotted = result.history.iloc[0], table.set_index("run").loc[str(number), "loss_start"]
    words = (
        f"**Start.** Over the first epoch cross-entropy is {first['cross_entropy']:.3g} nats and the L2 penalty "
        f"{first['penalty']:.3g}, so the loss is {first['cross_entropy'] + first['penalty']:.3g}."
    )
    if pd.isna(plotted):
        return words
    return f"{words} Reported: the original's plotted loss (penalty included, VGG16's head) starts near {plotted:g}."


def changed_here(number: int, settings: Any) -> list[str]:
    """Names of the settings in which a run and the one before differ as scaled to a profile's `fine_tuning`."""
    pair = [recipes.scaled(recipe, settings) for recipe in recipes.RUNS[max(0, number - 2) : number]]
    return [recipes.label(name) for name in recipes.changed(pair[0], pair[-1])]


def changes_words(number: int, settings: Any) -> str:
    """Which settings a run changes against the one before, as printed and in this profile, and what its note says.

    Args:
        number: of the run, from 1.
        settings: the profile's section `fine_tuning`.
    """
    recipe = recipes.RUNS[number - 1]
    note = f" Note: {recipe.note}." if recipe.note else ""
    if number == 1:
        return f"Run 1 is where the original starts.{note}"
    before = recipes.RUNS[number - 2]
    printed = [recipes.label(name) for name in recipes.changed(before, recipe)]
    here = changed_here(number, settings)
    words = f"As printed, run {number} differs from {before.name} in {len(printed)} settings: {', '.join(printed)}"
    words += "; the same in this profile." if here == printed else f". In this profile: {', '.join(here) or 'in none'}."
    caution = " With more than one change, a difference can't be put down to any one of them." if len(here) > 1 else ""
    return f"{words}{caution}{note}"


def settings_table(number: int, settings: Any) -> pd.DataFrame:
    """Settings of a run and of the one before, as the original reports them and in this profile; changes are marked.

    Args:
        number: of the run, from 1.
        settings: the profile's section `fine_tuning`.
    """
    printed = recipes.RUNS[max(0, number - 2) : number]
    here = [recipes.scaled(recipe, settings) for recipe in printed]
    changes = [recipes.changed(pair[0], pair[-1]) for pair in (printed, here)]
    titles = [
        *(f"{recipe.name}, reported" for recipe in printed),
        *(f"{recipe.name}, in this profile" for recipe in printed),
    ]
    rows = []
    for name in recipes.SHOWN:
        if name in NEVER_VARIED:
            continue
        where = [title for title, names in zip(("as reported", "here"), changes, strict=True) if name in names]
        told = [fine_tuning_results.reported_setting(recipe.name, name) for recipe in printed]
        values = [*told, *(recipes.in_words(getattr(recipe, name)) for recipe in here)]
        rows.append((recipes.label(name), *values, " and ".join(where)))
        if name == "l2":
            layers = ("not reported", "the first dense one")
            rows.append(("layer with L2", *(words for words in layers for _ in printed), ""))
    table = pd.DataFrame(rows, columns=["setting", *titles, "changed"])
    return table if number > 1 else table.drop(columns="changed")


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
