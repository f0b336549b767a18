"""The notebooks of the six runs differ in their story and the number of the run, not in pasted code."""

import json
from types import SimpleNamespace

import pytest
from notebook_cells import cell_of

from lab_utils.chapters import run_chapter
from lab_utils.chapters.fine_tuning_results import printed_row
from lab_utils.core.chapters import RUNS
from lab_utils.core.errors import LabError
from lab_utils.core.records import PROJECT

SHARED = ("chapter.show_settings(", "chapter.show_curves(", "chapter.diagnose(")


def cells(name: str, kind: str) -> list[str]:
    """Sources of a notebook's cells of one kind."""
    notebook = json.loads((PROJECT / "notebooks" / f"{name}.ipynb").read_text())
    return ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == kind]


@pytest.mark.parametrize("start", SHARED)
def test_shared_cells_are_the_same_in_all_six_notebooks(start):
    found = [[one for one in cells(name, "code") if start in one] for name in RUNS]
    assert all(len(one) == 1 for one in found)
    assert len({one[0] for one in found}) == 1


def test_the_opening_differs_in_the_notebooks_name_only():
    opened = [next(one for one in cells(name, "code") if "open_lab(" in one) for name in RUNS]
    without = [text.replace(name, "NAME") for text, name in zip(opened, RUNS, strict=True)]
    assert len(set(without)) == 1


def test_how_curves_and_diagnosis_are_read_is_said_alike():
    for heading in ("## Curves", "## Diagnosis"):
        texts = {one[one.index(heading) :] for name in RUNS for one in cells(name, "markdown") if heading in one}
        assert len(texts) == 1


def test_the_network_is_built_by_the_same_cell_in_every_notebook_that_fine_tunes():
    names = [*RUNS, "12_fine_tuned_features", "15_further_improvements"]
    assert len({cell_of(name, "build") for name in names}) == 1


@pytest.mark.parametrize(("number", "name"), list(enumerate(RUNS, 1)))
def test_every_run_shows_its_rate_and_what_the_slide_prints_of_it(number, name):
    """The rate in sight is the one that is trained; the slide's number stands beside it as a comment."""
    printed = printed_row(f"run {number}")
    (line,) = [line for cell in cells(name, "code") for line in cell.splitlines() if "change me; slide" in line]
    assert f"{float(line.split(': ')[-1]):g}" == f"{printed['learning_rate']:g}"
    assert printed["source"] in line and f'lab.here("run {number}")' in " ".join(cells(name, "code"))


@pytest.mark.parametrize(("number", "name"), list(enumerate(RUNS, 1)))
def test_the_number_of_the_run_follows_from_the_chapter(number, name):
    assert run_chapter.open_run(SimpleNamespace(chapter=name)).number == number


def test_a_chapter_of_no_single_run_is_refused():
    with pytest.raises(LabError, match="about no single run"):
        run_chapter.open_run(SimpleNamespace(chapter="12_fine_tuned_features"))
