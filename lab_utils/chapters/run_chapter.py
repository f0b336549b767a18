"""What the notebooks of the six fine-tuning runs share: one object that shows settings, curves and diagnosis."""

from functools import cached_property
from typing import TYPE_CHECKING

from lab_utils.chapters import run_study
from lab_utils.core.chapters import RUNS
from lab_utils.core.errors import LabError
from lab_utils.stats.intervals import Difference
from lab_utils.training import recipes

if TYPE_CHECKING:
    from lab_utils.lab import Lab


class RunChapter:
    """What the chapters of the six runs share, for the run that the open chapter is about.

    Attributes:
        lab: the open lab.
        number: of the run, 1 to 6.
    """

    def __init__(self, lab: "Lab", number: int):
        self.lab, self.number = lab, number

    @cached_property
    def run(self) -> run_study.Study:
        """The run, trained or loaded."""
        return run_study.study(self.lab, self.number)

    @cached_property
    def before(self) -> run_study.Study:
        """The run before it, trained or loaded."""
        return run_study.study(self.lab, self.number - 1)

    @cached_property
    def step(self) -> Difference:
        """Val accuracy of the run minus the one before."""
        return run_study.compare(self.run, self.before)

    @property
    def changed(self) -> list[str]:
        """Names of the settings in which the run and the one before differ in this profile."""
        return run_study.changed_here(self.number, self.lab.settings.fine_tuning)

    def show_original(self) -> None:
        """Say what the original reports of the run."""
        self.lab.say(run_study.reported_words(self.lab.reported("fine_tuning"), self.number))

    def show_changes(self) -> None:
        """Say what the run changes, and how runs are scaled."""
        self.lab.say(run_study.changes_words(self.number, self.lab.settings.fine_tuning))
        self.lab.say(recipes.scaling(self.lab.settings.fine_tuning))

    def show_settings(self) -> None:
        """Tabulate the run's settings and those of the run before, as printed and in this profile."""
        table = run_study.settings_table(self.number, self.lab.settings.fine_tuning)
        caption = f"Settings of run {self.number} as printed by the original and as scaled to this profile."
        self.lab.tabulate(table, caption, label="settings")

    def show_curves(self) -> None:
        """Show the curves, with the original's levels where the run is like the original's; say how they start."""
        from lab_utils.display import figures

        table, one = self.lab.reported("fine_tuning"), self.run
        levels = run_study.reported_levels(table, self.number) if run_study.like_the_original(self.lab) else None
        title = f"Run {self.number}, {self.lab.title(one.run.recipe.network)}"
        caption = f"{title}: curves by epoch (val: n = {len(one.labels):,} images)."
        figure = figures.curves(run_study.curve_panels(one), log=["cross-entropy (nats)"], reported=levels)
        self.lab.show(figure, caption, run_study.curves_alt(one), label="curves")
        self.lab.say(run_study.start_words(one, table, self.number))

    def diagnose(self) -> None:
        """Say all sentences of the diagnosis."""
        for sentence in run_study.diagnose(self.run):
            self.lab.say(sentence)


def open_run(lab: "Lab") -> RunChapter:
    """The shared part of the open chapter, which must be one of the six runs'.

    Raises:
        LabError: it is another chapter.
    """
    if lab.chapter not in RUNS:
        raise LabError(f"Chapter {lab.chapter} is about no single run: open one of {', '.join(RUNS)}.")
    return RunChapter(lab, RUNS.index(lab.chapter) + 1)
