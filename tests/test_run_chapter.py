"""The notebooks of the six runs differ in their story and the number of the run, not in pasted code."""

import json
import re
from types import SimpleNamespace

import pytest

from lab_utils.chapters import run_chapter
from lab_utils.core.chapters import RUNS
from lab_utils.core.errors import LabError
from lab_utils.core.records import PROJECT

SHARED = ("chapter.show_changes()", "chapter.show_settings()", "chapter.show_curves()", "chapter.diagnose()")


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
    without = [text.replace(name, "NAME").split("\n\n")[1] for text, name in zip(opened, RUNS, strict=True)]
    assert len(set(without)) == 1 and "run_chapter.open_run(lab)" in without[0]


def test_how_curves_and_diagnosis_are_read_is_said_alike():
    for heading in ("## Curves", "## Diagnosis"):
        texts = {one[one.index(heading) :] for name in RUNS for one in cells(name, "markdown") if heading in one}
        assert len(texts) == 1


def test_no_cell_makes_the_chapters_own_run_by_a_typed_number():
    for number, name in enumerate(RUNS, 1):
        typed = [one for one in cells(name, "code") if re.search(rf"run_study\.study\(lab, {number}\)", one)]
        assert not typed


@pytest.mark.parametrize(("number", "name"), list(enumerate(RUNS, 1)))
def test_the_number_of_the_run_follows_from_the_chapter(number, name):
    assert run_chapter.open_run(SimpleNamespace(chapter=name)).number == number


def test_a_chapter_of_no_single_run_is_refused():
    with pytest.raises(LabError, match="about no single run"):
        run_chapter.open_run(SimpleNamespace(chapter="12_fine_tuned_features"))
