"""What is kept of a run's steps: states, what holds a step up, text that is refreshed, files that are listed."""

import errno
import json

import nbformat
import pytest
from miniature import write_notebook

from lab_utils.core import profiles, records, usage
from lab_utils.core.card import Answer
from lab_utils.core.errors import LabError
from lab_utils.runner import cli, job, processes, schedule
from lab_utils.runner import state as run_state
from lab_utils.runner.state import DATA, RunState


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project of two chapters."""
    for module in (run_state, profiles, records, usage):
        monkeypatch.setattr(module, "PROJECT", tmp_path)
    write_notebook(tmp_path, "00_dataset", "x = 1")
    write_notebook(tmp_path, "01_baseline", "x = 2")
    (tmp_path / "pictures").mkdir()
    return tmp_path


@pytest.fixture
def state(project):
    """The state of a run whose three steps are all done."""
    settings = profiles.validate({"name": "tiny", "profile": "tiny", "data": {"path": project / "pictures"}}, "here")
    state = RunState(settings)
    for step in state.steps:
        source = state.start(step)
        make(state, step, value=1)
        used = {"results of 00_dataset": usage.current("results of 00_dataset", settings)} if step.needs else {}
        state.finish(step, "ok", 1.0, None, source | used)
    assert not state.plan()
    return state


def make(state, step, seconds=1, **content):
    """What a step makes: records, and the executed notebook."""
    value = {"provenance": {"seconds": seconds}, "records": [{"id": "a", "seconds": seconds, **content}]}
    records.write_json(state.results(step), value)
    if step is not DATA:
        path = run_state.notebook_path(step.name)
        records.write_atomic(state.executed(step.name), path.read_text().replace('"outputs": []', OUTPUT))


OUTPUT = '"outputs": [{"name": "stdout", "output_type": "stream", "text": "seen"}]'


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


# ---- up to date or not -----------------------------------------------------------------------------------------------
def test_saving_a_notebook_with_outputs_text_and_another_run_changes_nothing(state):
    path = run_state.notebook_path("01_baseline")
    change(path, run_all_cells)
    change(path, lambda notebook: notebook.cells[0].update(source="# Another title"))
    change(path, lambda notebook: notebook.cells[1].update(source='RUN = "tiny"'))
    assert not state.plan()
    change(path, lambda notebook: notebook.cells[-1].update(source="x = 3"))
    assert state.plan() == {"01_baseline": ["code cells"]}


def test_times_in_records_do_not_count_but_values_do(state):
    _, first, _ = state.steps
    make(state, first, seconds=9, value=1)
    assert not state.plan()
    make(state, first, value=2)
    assert state.plan() == {
        "00_dataset": ["its results changed or are gone"],
        "01_baseline": [f"{run_state.PERHAPS}00_dataset"],
    }
    assert state.outdated(state.steps[2]) == ["results of 00_dataset"]


def test_steps_after_one_that_runs_come_with_the_reason_perhaps(state):
    assert state.plan(forced=["00_dataset"]) == {
        "00_dataset": ["forced"],
        "01_baseline": [f"{run_state.PERHAPS}00_dataset"],
    }


def test_a_code_cell_that_changes_while_it_runs_runs_again(state):
    _, first, _ = state.steps
    source = state.start(first)
    change(run_state.notebook_path(first.name), lambda notebook: notebook.cells[-1].update(source="x = 3"))
    make(state, first, value=1)
    state.finish(first, "ok", 1.0, None, source)
    assert state.outdated(first) == ["code cells"]


def test_failed_and_interrupted_steps_run_again_and_old_results_are_gone(state):
    _, first, second = state.steps
    source = state.start(first)
    state.finish(second, "failed", 1.0, {"message": "x"}, source)
    assert state.outdated(first) == ["was interrupted"] and state.outdated(second) == ["failed before"]
    assert not state.results(first).exists()


def test_a_lost_executed_notebook_is_made_again(state):
    state.executed("01_baseline").unlink()
    assert state.plan() == {"01_baseline": ["its executed notebook is gone"]}


def test_results_that_were_missing_and_come_later_count(state):
    _, first, second = state.steps
    state.results(first).unlink()
    state.finish(second, "ok", 1.0, None, state.source(second))
    assert not state.outdated(second)
    make(state, first, value=1)
    assert state.outdated(second) == ["results of 00_dataset"]


# ---- held up ---------------------------------------------------------------------------------------------------------
def test_a_step_held_up_by_a_failed_one_keeps_what_it_made(state):
    second = state.steps[-1]
    state.wait(second, ["00_dataset"])
    state.wait(second, ["00_dataset"])
    status = state.status(second.name)
    assert status["state"] == "waiting" and "00_dataset" in status["error"]["message"]
    assert not state.outdated(second)
    state.restore(second)
    assert state.status(second.name)["state"] == "ok" and not state.status(second.name)["error"]


def test_a_step_that_was_not_asked_for_is_said_to_be_out_of_date_and_counts_again_when_it_is_not(state):
    _, first, second = state.steps
    make(state, first, value=2)
    state.review(second)
    status = state.status(second.name)
    assert status["state"] == "out of date" and "results of 00_dataset" in status["error"]["message"]
    make(state, first, value=1)
    state.review(second)
    assert state.status(second.name)["state"] == "ok"


def test_what_builds_on_a_chapter_that_was_not_run_is_passed_over_and_has_no_numbers(state):
    _, first, second = state.steps
    state.finish(first, "not run", 1.0, {"message": "images are missing"}, state.source(first))
    assert state.blocked(second) == ["00_dataset"]
    state.finish(second, "not run", 0, {"message": "builds on it"})
    assert not state.results(second).exists() and not state.executed(second.name).exists()
    assert not state.outdated(second)
    make(state, first, value=1)
    assert state.outdated(second) == ["results of 00_dataset"]


# ---- text and folders ------------------------------------------------------------------------------------------------
def test_edited_text_and_tags_reach_the_executed_notebook_and_outputs_stay(state):
    source = run_state.notebook_path("01_baseline")
    change(source, lambda notebook: notebook.cells[0].update(source="# A better title"))
    change(source, lambda notebook: notebook.cells[-1].metadata.update(tags=["story"]))
    state.refresh_text(state.steps[-1])
    cells = nbformat.read(state.executed("01_baseline"), as_version=4).cells
    assert cells[0].source == "# A better title" and cells[-1].outputs[0].text == "seen"
    assert cells[-1].metadata["tags"] == ["story"]
    assert not state.plan()
    written = state.executed("01_baseline").stat().st_mtime_ns
    state.refresh_text(state.steps[-1])
    assert state.executed("01_baseline").stat().st_mtime_ns == written


def test_links_to_folders_are_followed_also_in_a_circle(project):
    (project / "elsewhere").mkdir()
    (project / "pictures" / "prints").symlink_to(project / "elsewhere")
    (project / "elsewhere" / "back").symlink_to(project / "pictures")
    (project / "elsewhere" / "a.png").write_bytes(b"1")
    (project / "pictures" / "lost.png").symlink_to(project / "nowhere")
    before = run_state.listing(project / "pictures")
    assert [name for name, *_ in before] == ["/prints/a.png"]
    (project / "elsewhere" / "a.png").unlink()
    assert run_state.listing(project / "pictures") == []


# ---- the report ------------------------------------------------------------------------------------------------------
def test_the_report_is_built_again_where_a_file_of_it_or_what_went_into_it_is_another(state):
    assert state.report_outdated()
    for path in state.report_files():
        records.write_atomic(path, "whole")
    with usage.recording() as used:
        records.read_json(state.status_path("00_dataset"))
        assert state.settings.title == ""
    state.finish_report(used)
    assert not state.report_outdated()
    state.report_files()[1].write_text("half")
    assert state.report_outdated()
    state.report_files()[1].write_text("whole")
    assert not state.report_outdated()
    state.wait(state.steps[1], ["data"])
    assert state.report_outdated()
    assert json.loads(state.status_path(run_state.REPORT).read_text())["used"]["settings title"]


# ---- a disk that is full ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize("written", ["the state", "the notebook", "the end"])
def test_a_step_that_can_not_write_has_failed_whatever_is_stored_of_it(state, monkeypatch, capsys, written):
    """Its old state says `ok` and can't be overwritten; the run must hear of it all the same."""
    step = state.steps[1]
    kept = state.status(step.name)

    def full(*_, **__):
        raise LabError("status.json cannot be written (No space left on device): free some space or check the folder.")

    def no_space(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device", "/lab/data/runs/tiny/x")

    with monkeypatch.context() as patch:
        patch.setattr(job.processes, "die_with_run", lambda: None)
        patch.setattr(job, "load_settings", lambda run: state.settings)
        patch.setattr(RunState, "outdated", lambda self, step: ["forced"])
        patch.setattr(run_state, "write_json", full)
        if written != "the state":
            patch.setattr(RunState, "start", lambda self, step: {})
            patch.setattr(job, "_notebook", no_space if written == "the notebook" else lambda *_: job.Execution())
        assert job.main("tiny", step.name) == 1
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["state"] == "failed" and "No space left on device" in told["error"]["message"]
    assert state.status(step.name) == kept
    progress = schedule.Progress([step.name])
    progress.take(told)
    assert cli.settle(state, cli.RunPlan({step.name}, [], {step.name: ["forced"]}), progress.failed) == [step.name]


def test_a_run_whose_folder_is_full_says_so_and_not_that_a_log_is_empty(state, monkeypatch):
    monkeypatch.setattr(schedule, "command", lambda *_: ["sh", "-c", "exit 1"])
    with pytest.raises(LabError, match=r"Snakemake stopped with exit code 1 \(its log is empty\)"):
        schedule.run(state, [], 1, Answer())

    def full(path):
        raise LabError(f"{path} cannot be written (No space left on device): free some space or check the folder.")

    monkeypatch.setattr(schedule.records, "atomic_path", full)
    with pytest.raises(LabError, match="No space left on device"):
        schedule.run(state, [], 1, Answer())


@pytest.mark.parametrize(
    ("problem", "code", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/lab/lock"), 2, "/lab/lock can't be read or written (No sp"),
        (OSError(errno.ENOSPC, "No space left on device"), 2, "A file can't be read or written (No space left"),
        (PermissionError(errno.EACCES, "Permission denied", "caf\udce9"), 2, r"caf\xe9 can't be read or written (Perm"),
        (FileNotFoundError(errno.ENOENT, "No usable temporary directory found"), 2, "No usable temporary directory"),
        (KeyboardInterrupt(), 130, "\nStopped. The next run goes on from here."),
    ],
)
def test_what_the_system_refuses_is_one_sentence(monkeypatch, capsys, problem, code, words):
    def refused(_):
        raise problem

    monkeypatch.setattr(cli, "run", refused)
    assert cli.main([]) == code
    told = capsys.readouterr().err
    assert words in told and len(told.strip().splitlines()) == 1


def test_a_lock_that_can_not_be_made_is_one_sentence(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    with (
        pytest.raises(LabError, match=r"file can't be read or written .*: free some space"),
        _locked(tmp_path / "file"),
    ):
        pass

    def no_locks(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(processes.locks.fcntl, "flock", no_locks)
    with pytest.raises(LabError, match=r"can't be locked \(No locks available\)"), _locked(tmp_path):
        pass


def _locked(folder):
    return processes.run_lock(folder / "lock", "mine")
