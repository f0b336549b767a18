"""The chapters of the lab, and who needs whom. The Snakefile makes its rules from this table."""

from dataclasses import dataclass
from itertools import pairwise

from lab_utils.core.errors import LabError


@dataclass(frozen=True)
class Notebook:
    """One notebook of the lab.

    Attributes:
        name: notebook's name without suffix, `NN_words`.
        needs: chapters whose results it reads ("data" is the image table), or whose artefacts it would make itself.
        device: whether it holds the graphics card, where there is one: it trains, or passes all images through a
            network. The others run beside it, on the processor.
        tensorflow: whether TensorFlow is loaded in it, by umap or for a few images.
    """

    name: str
    needs: tuple[str, ...] = ()
    device: bool = True
    tensorflow: bool = True

    @property
    def number(self) -> str:
        """The two digits in front of the name."""
        return self.name[:2]


RUNS = tuple(f"{5 + run:02d}_fine_tuning_run{run}" for run in range(1, 7))
CHAPTERS = (
    Notebook("00_dataset", ("data",), device=False, tensorflow=False),
    Notebook("01_baseline", ("00_dataset",)),
    Notebook("02_paper_baselines", ("00_dataset",)),
    Notebook("03_task_similarity", ("00_dataset", "01_baseline")),
    # Both read the features that chapter 03 stored. 04 shows a network a handful of outliers; 05 passes a few images of
    # each class once more, half greyed out: minutes on the processor, beside an hour of classifiers that no card helps.
    Notebook("04_projections", ("03_task_similarity",), device=False),
    Notebook("05_classification", ("03_task_similarity",), device=False),
    Notebook(RUNS[0], ("00_dataset",)),
    *(Notebook(name, ("00_dataset", before)) for before, name in pairwise(RUNS)),
    Notebook("12_fine_tuned_features", ("03_task_similarity",)),
    Notebook("13_grad_cam", ("01_baseline", RUNS[5])),
    Notebook(
        "15_further_improvements",
        ("01_baseline", "02_paper_baselines", "05_classification", RUNS[5], "12_fine_tuned_features"),
    ),
    Notebook(
        "14_results",
        (
            *("00_dataset", "01_baseline", "02_paper_baselines", "03_task_similarity", "04_projections"),
            *("05_classification", *RUNS, "12_fine_tuned_features", "13_grad_cam", "15_further_improvements"),
        ),
    ),
)


def chapter(number_or_name: str) -> Notebook:
    """Find a chapter by its number (`5`, `05`) or name.

    Raises:
        LabError: there is none; the sentence lists the valid numbers.
    """
    wanted = str(number_or_name).strip().removesuffix(".ipynb")
    for entry in CHAPTERS:
        if wanted in (entry.name, entry.number) or (wanted.isdigit() and int(wanted) == int(entry.number)):
            return entry
    valid = ", ".join(sorted(entry.number for entry in CHAPTERS))
    raise LabError(f"There is no chapter {number_or_name!r}; the chapters are {valid}.")


def dependents(name: str) -> list[Notebook]:
    """All chapters that need `name`, directly or through others, in execution order."""
    reached = {name}
    for entry in CHAPTERS:
        if reached & set(entry.needs):
            reached.add(entry.name)
    return [entry for entry in CHAPTERS if entry.name in reached - {name}]


def needed(name: str) -> set[str]:
    """All chapters that a chapter needs, directly or through others: those whose results it may read."""
    reached = {name}
    for notebook in reversed(CHAPTERS):
        if notebook.name in reached:
            reached |= {*notebook.needs} - {"data"}
    return reached - {name}


def priority(name: str) -> int:
    """Rank of a chapter among those that could run now: the highest goes first.

    Chapters that others wait for go in order of their numbers (06 to 10 one after the other while there is something
    else to do, for each looks at the run before it); those that only the results wait for fill the gaps, last ones
    first.
    """
    names = [entry.name for entry in CHAPTERS]
    waited_for = any(waiting.name != "14_results" for waiting in dependents(name))
    place = names.index(name) if name in names else 0
    return 2 * len(names) - place if waited_for else place
