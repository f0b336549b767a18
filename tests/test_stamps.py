"""What counts as a change of a chapter, and what does not."""

import json

import nbformat
import pytest
from miniature import write_notebook

from lab_utils.core import profiles, records
from lab_utils.core.chapters import chapter
from lab_utils.runner import stamps
from lab_utils.runner import state as run_state

MODULES = {
    "lab": "def pixels():\n    from lab_utils.pipeline import decode\n",
    "pipeline": "import numpy\n\n\ndef decode():\n    return 1\n",
    "other": "X = 1\n",
}


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project of two chapters and three modules."""
    for module in (stamps, profiles, records):
        monkeypatch.setattr(module, "PROJECT", tmp_path)
    for name, source in MODULES.items():
        (tmp_path / "lab_utils").mkdir(exist_ok=True)
        (tmp_path / "lab_utils" / f"{name}.py").write_text(source)
    write_notebook(tmp_path, "00_dataset", "x = 1")
    write_notebook(tmp_path, "01_baseline", "x = 2")
    return tmp_path


@pytest.fixture
def settings():
    return profiles.validate({"name": "tiny", "profile": "tiny"}, "here")


def change(path, edit):
    notebook = nbformat.read(path, as_version=4)
    edit(notebook)
    nbformat.write(notebook, path)


def run_all_cells(notebook):
    for cell in notebook.cells:
        cell.metadata["collapsed"] = True
        if cell.cell_type == "code":
            cell.execution_count = 7
            cell.outputs = [nbformat.v4.new_output("stream", text="seen")]


def test_saving_a_notebook_with_outputs_text_and_another_run_changes_nothing(project, settings):
    path, one = project / "notebooks" / "01_baseline.ipynb", chapter("01")
    before = stamps.stamp(one, settings)
    change(path, run_all_cells)
    change(path, lambda notebook: notebook.cells[0].update(source="# Another title"))
    change(path, lambda notebook: notebook.cells[1].update(source='RUN = "tiny"'))
    assert stamps.stamp(one, settings) == before


def test_editing_a_code_cell_changes_that_chapter_alone(project, settings):
    before = [stamps.stamp(chapter(name), settings) for name in ("00", "01")]
    change(project / "notebooks" / "01_baseline.ipynb", lambda notebook: notebook.cells[-1].update(source="x = 3"))
    after = [stamps.stamp(chapter(name), settings) for name in ("00", "01")]
    assert [stamps.differences(new, old) for new, old in zip(after, before, strict=True)] == [[], ["code cells"]]


def test_modules_count_however_deep_they_are_imported_and_only_by_their_code(project, settings):
    one, module = chapter("01"), project / "lab_utils" / "pipeline.py"
    before = stamps.stamp(one, settings)
    assert set(before["modules"]) == {"lab", "pipeline"}
    module.write_text(MODULES["pipeline"].replace("import numpy", "import numpy  # arrays"))
    assert stamps.stamp(one, settings) == before
    module.write_text(MODULES["pipeline"].replace("return 1", "return 2"))
    assert stamps.differences(stamps.stamp(one, settings), before) == ["modules pipeline"]
    (project / "lab_utils" / "other.py").write_text("X = 2\n")
    assert stamps.differences(stamps.stamp(one, settings), before) == ["modules pipeline"]


def test_imports_of_every_form_are_found():
    source = "import lab_utils.a, numpy\nfrom lab_utils import b, c as d\n\ndef f():\n    from lab_utils.e import g"
    assert stamps.imported(source) == {"a", "b", "c", "e", "e.g"}


def test_only_the_settings_that_a_chapter_uses_count(project, settings):
    one = chapter("01")
    other = settings.model_copy(update={"features": profiles.Features(size=100)})
    mine = settings.model_copy(update={"scratch": profiles.Scratch(size=100)})
    assert stamps.stamp(one, other) == stamps.stamp(one, settings)
    assert stamps.differences(stamps.stamp(one, mine), stamps.stamp(one, settings)) == ["settings scratch"]


def test_a_table_of_reported_numbers_counts(project, settings):
    table = project / "data" / "reported" / "numbers.csv"
    before = stamps.stamp(chapter("01"), settings)
    table.parent.mkdir(parents=True)
    table.write_text("a,b\n")
    assert stamps.differences(stamps.stamp(chapter("01"), settings), before) == ["tables numbers.csv"]


@pytest.fixture
def finished(project, settings):
    """The state of a run whose three steps are all done."""
    state = run_state.RunState(settings)
    records.write_json(settings.run_folder / "data.json", {"data_hash": "x", "root": str(project / "pictures")})
    for step in state.steps:
        results = settings.report_folder / "results" / f"{step.name}.json"
        if step is not stamps.DATA:
            records.write_json(results, {"provenance": {"seconds": 1}, "records": [{"id": "a", "value": 1}]})
            state.executed(step.name).parent.mkdir(parents=True, exist_ok=True)
            state.executed(step.name).write_text("{}")
        state.finish(step, "ok", 1.0, None, ran=True)
    assert not state.plan()
    return state


def results_of(state, name, **content):
    path = state.settings.report_folder / "results" / f"{name}.json"
    return records.write_json(path, {"provenance": {"seconds": 9}, "records": [{"id": "a", **content}]})


def test_times_in_records_do_not_count_but_values_do(finished):
    results_of(finished, "00_dataset", value=1, seconds=3)
    assert not finished.plan()
    results_of(finished, "00_dataset", value=2)
    assert set(finished.plan()) == {"00_dataset", "01_baseline"}


def test_a_dependent_runs_only_if_what_it_reads_has_changed(finished):
    _, first, second = finished.steps
    finished.finish(first, "ok", 5.0, None, ran=True)
    assert not finished.outdated(second)
    results_of(finished, "00_dataset", value=2)
    finished.finish(first, "ok", 5.0, None, ran=True)
    assert finished.outdated(second) == ["results of 00_dataset"]


def test_an_added_picture_and_a_lost_notebook_are_seen(finished, project):
    (project / "pictures").mkdir()
    (project / "pictures" / "one.png").write_bytes(b"1")
    assert finished.plan()["data"] == ["pictures"]
    (project / "pictures" / "one.png").unlink()
    finished.published("01_baseline").unlink()
    assert finished.plan() == {"data": ["pictures"]} | finished.plan()
    assert "01_baseline" in finished.plan()


def test_a_step_held_up_by_a_failed_one_keeps_what_it_made(finished):
    second = finished.steps[-1]
    finished.wait(second, ["00_dataset"])
    status = json.loads(finished.path("status", second.name).read_text())
    assert status["state"] == "waiting" and "00_dataset" in status["error"]["message"]
    assert not finished.outdated(second)
    finished.restore(second)
    assert finished.status(second.name)["state"] == "ok" and not finished.status(second.name)["error"]


def test_failed_and_interrupted_steps_run_again(finished):
    _, first, second = finished.steps
    finished.start(first)
    finished.finish(second, "failed", 1.0, {"message": "x"}, ran=True)
    assert finished.outdated(first) == ["was interrupted"] and finished.outdated(second) == ["failed before"]


def test_edited_text_reaches_the_executed_notebook_and_outputs_stay(finished, project):
    source, kept = project / "notebooks" / "01_baseline.ipynb", finished.executed("01_baseline")
    nbformat.write(nbformat.read(source, as_version=4), kept)
    change(kept, run_all_cells)
    change(source, lambda notebook: notebook.cells[0].update(source="# A better title"))
    finished.refresh_text(finished.steps[-1])
    cells = nbformat.read(finished.published("01_baseline"), as_version=4).cells
    assert cells[0].source == "# A better title" and cells[1].outputs[0].text == "seen"
    assert not finished.plan()
