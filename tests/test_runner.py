"""One notebook executed, what is said when it fails, progress, the lock, and processes that die with their run."""

import io
import itertools
import json
import os
import re
import subprocess
import sys
import time

import nbformat
import psutil
import pytest
from miniature import ROOT, copy_of_the_lab, write_notebook
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from lab_utils.core import card, profiles, records
from lab_utils.core.card import Answer
from lab_utils.core.chapters import chapter
from lab_utils.core.errors import LabError
from lab_utils.runner import execute, processes, schedule

H100 = {"name": "NVIDIA H100 80GB HBM3", "capability": "9.0", "memory_gib": 79.6}


def test_the_place_of_a_failure_is_counted_as_in_the_source_notebook():
    seen = {"papermill": {"start_time": "2026-01-01"}}
    cells = [
        new_markdown_cell("# 1 Title", metadata=seen),
        new_code_cell('RUN = "sample"', metadata={**seen, "tags": ["parameters"]}),
        new_code_cell('RUN = "tiny"', metadata={**seen, "tags": ["injected-parameters"]}),
        new_markdown_cell("text\n\n## The nearest\n\nmore", metadata=seen),
        new_code_cell("1 / 0", metadata=seen),
        new_markdown_cell("## Below"),
        new_code_cell("never"),
    ]
    assert execute.where(new_notebook(cells=cells)) == ("The nearest", 2)


def test_a_notebook_is_executed_with_its_run_and_its_failure_kept(tmp_path, monkeypatch):
    path = write_notebook(tmp_path, "01_baseline", 'print("  epoch 1 of 2: 0.5")\nprint("other")', "1 / 0", "x = 1")
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[2].source = 'from lab_utils.data import taxonomy\n\nassert RUN == "tiny"'
    nbformat.write(notebook, path)
    monkeypatch.setattr(execute, "notebook_path", lambda name: tmp_path / "notebooks" / f"{name}.ipynb")
    lines, target = [], tmp_path / "out" / "01.ipynb"
    outcome = execute.execute(chapter("01"), "tiny", target, lines.append)
    assert outcome.state == "failed" and lines == ["  epoch 1 of 2: 0.5"]
    assert outcome.error["name"] == "ZeroDivisionError" and outcome.error["cell"] == 4
    assert outcome.error["heading"] == "The experiment"
    cells = nbformat.read(target, as_version=4).cells
    assert len(cells) == len(notebook.cells) + 1, "papermill's parameters, and nothing else, are added"
    assert not any(map(processes.is_alive, psutil.Process().children())), "the kernel lives on"
    assert {"module core.usage", "module data.taxonomy"} <= set(outcome.used)
    assert not any("runner" in name or "networks" in name for name in outcome.used)


def test_a_kernel_that_does_not_start_is_not_said_to_be_out_of_memory():
    error = RuntimeError("Kernel didn't respond in 300 seconds")
    outcome = execute._outcome(chapter("01"), new_notebook(), error, None, {})
    assert outcome.error["name"] == "KernelNotStarted" and outcome.error["message"] == str(error)


def test_braces_in_a_path_are_no_parameters_of_papermill(tmp_path, monkeypatch):
    folder = tmp_path / "lab {v2} {} {0}"
    folder.mkdir()
    path = write_notebook(folder, "01_baseline", "x = 1")
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[2].source = "from lab_utils.data import taxonomy"
    nbformat.write(notebook, path)
    monkeypatch.setattr(execute, "notebook_path", lambda name: path)
    target = folder / "out {run}" / "01.ipynb"
    assert execute.execute(chapter("01"), "tiny", target, print).state == "ok"
    assert nbformat.read(target, as_version=4).cells[-1].execution_count


def test_a_notebook_whose_use_was_not_recorded_has_failed():
    outcome = execute._outcome(chapter("01"), new_notebook(), None, None, {})
    assert outcome.state == "failed" and "could never be told out of date" in outcome.error["message"]


@pytest.mark.parametrize(
    ("code", "name", "words"),
    [(-9, "MemoryError", "memory ran out"), (None, "MemoryError", "memory ran out"), (-11, "KernelDied", "crashed")],
)
def test_a_dead_kernel_is_told_by_how_it_ended(code, name, words):
    kind, message, hint = execute.dead_kernel({"settings scratch": "", "module lab": "1"}, code, "Open it by: x")
    assert kind == name and words in message and hint.endswith("Open it by: x")
    assert ("scratch.batch" in hint) == (name == "MemoryError")


def test_a_message_is_cut_to_its_first_line_without_colours():
    assert execute.readable("\x1b[31m\n  no such file\x1b[0m\nmore") == "no such file"


def test_lines_of_progress_arrive_whole_however_they_are_cut():
    lines = []
    file = execute.Lines(lines.append)
    for piece in ("  epo", "ch 1\n  epoch 2\nsome", "thing\n  download 5 MB\r  download 9 MB\n"):
        file.write(piece)
    assert lines == ["  epoch 1", "  epoch 2", "  download 5 MB", "  download 9 MB"]


def test_progress_for_people():
    out = io.StringIO()
    progress = schedule.Progress(["data", "05_classification"], out)
    progress.take({"step": "data", "event": "done", "state": "up to date", "seconds": 0})
    progress.take({"step": "05_classification", "event": "started"})
    progress.take({"step": "05_classification", "event": "line", "text": "  epoch 3"})
    progress.take({"step": "05_classification", "event": "done", "state": "ok", "seconds": 42.3})
    assert out.getvalue().splitlines() == [
        "[1 of 2] data … up to date",
        "[2 of 2] 05_classification …",
        "    05_classification: epoch 3",
        "[2 of 2] 05_classification … 0:42",
    ]


def test_the_clock():
    assert [schedule.clock(seconds) for seconds in (0, 42.9, 725, 3723)] == ["0:00", "0:42", "12:05", "1:02:03"]


def test_all_kernels_together_use_the_cores_once(monkeypatch):
    monkeypatch.setattr(processes, "cores", lambda: 8)
    assert schedule.environment(2, Answer())["OMP_NUM_THREADS"] == "4"
    assert schedule.environment(16, Answer())["TF_NUM_INTRAOP_THREADS"] == "1"
    assert schedule.environment(2, Answer())["TF_FORCE_GPU_ALLOW_GROWTH"] == "true"


def test_a_card_that_can_not_be_used_is_hidden_from_the_notebooks_and_said_to_them():
    refused = Answer(reason="TensorFlow 2.21.0 can't open libcudnn.so.9", missing=("libcudnn.so.9",))
    variables = schedule.environment(2, refused)
    assert variables["CUDA_VISIBLE_DEVICES"] == "-1" and "libcudnn.so.9" in variables[card.UNUSED]
    assert card.UNUSED not in schedule.environment(2, Answer((H100,)))


def test_no_shell_takes_a_text_of_the_users():
    """The Snakefile's line is the only one that a shell reads: a quoted path of Python, a checked name, a step."""
    code = "".join(path.read_text() for folder in ("lab_utils", "scripts") for path in (ROOT / folder).rglob("*.py"))
    assert not re.search(
        r"shell=True|os\.system|os\.popen|subprocess\.getoutput|\bpty\.|\beval\(|\bexec\((?!compile\()", code
    )  # but a notebook's cells
    snakefile = (ROOT / "Snakefile").read_text()
    (line,) = re.findall(r'shell:\n\s+"(.*)"', snakefile)
    assert set(re.findall(r"\{(.*?)\}", line)) == {"params.python:q", "params.run:q", "params.step:q"}
    assert not re.search(r"^\s+(run|script|notebook|wrapper):", snakefile, re.MULTILINE)
    for name in ("a b", "a;b", "$(a)", "`a`", "a'b", 'a"b', "a&b", "a|b", "-a", "a\nb", "{a}", "*"):
        with pytest.raises(LabError, match="can't name a run"):
            profiles.run_name(name)


def test_the_card_is_held_by_one_only_where_there_is_one():
    from lab_utils.core.profiles import resolve
    from lab_utils.runner.state import RunState

    state = RunState(resolve("tiny"))
    for answer, gpus in ((Answer((H100,)), "gpu=1"), (Answer(), "gpu=5"), (Answer(reason="x"), "gpu=5")):
        assert gpus in schedule.command(state, ["data"], 4, answer)


FAKE_JOB = """
import json, sys, time
from lab_utils.core.profiles import load_settings
from lab_utils.runner.state import RunState
name, begun = sys.argv[2], time.time()
done = RunState(load_settings(sys.argv[1])).done(name)
done.parent.mkdir(exist_ok=True)
time.sleep(0.8)
done.write_text("")
print(json.dumps({"step": name, "event": "done", "state": "ok", "seconds": 1, "from": begun, "to": time.time()}))
with open("times", "a") as file:
    file.write(json.dumps([name, begun, time.time()]) + "\\n")
"""


def test_one_chapter_at_a_time_holds_the_card_and_others_run_beside_it(tmp_path):
    """The real graph and Snakemake, with jobs that only sleep and a card that is only said to be there."""
    lab = copy_of_the_lab(tmp_path / "lab", leave=())
    (lab / "lab_utils" / "runner" / "job.py").write_text(FAKE_JOB)
    code = "from lab_utils.core import profiles; from lab_utils.core.card import Answer\n"
    code += "from lab_utils.runner import schedule; from lab_utils.runner.state import RunState\n"
    code += "settings = profiles.resolve('tiny'); profiles.save_settings(settings)\n"
    code += (
        "todo = ['data', '00_dataset', '01_baseline', '02_paper_baselines', '03_task_similarity', '04_projections']\n"
    )
    code += "schedule.run(RunState(settings), [*todo, '05_classification'], 3, Answer(({'name': 'a card'},)))"
    subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(lab)}, cwd=lab, check=True)
    lines = (lab / "data" / "runs" / "tiny" / "times").read_text().splitlines()
    spans = {name: (begun, ended) for name, begun, ended in map(json.loads, lines)}
    assert len(spans) == 7

    def together(first, second):
        return max(spans[first][0], spans[second][0]) < min(spans[first][1], spans[second][1])

    held = [name for name in spans if name != "data" and chapter(name).device]
    assert not [pair for pair in itertools.combinations(held, 2) if together(*pair)]
    assert together("04_projections", "05_classification"), "neither needs the card"


def test_the_lock_is_refused_while_it_is_held_and_free_when_its_holder_was_killed(tmp_path):
    code = "import sys, time\nfrom lab_utils.runner.processes import run_lock\nfrom pathlib import Path\n"
    code += "with run_lock(Path(sys.argv[1]), 'mine'):\n    print('held', flush=True)\n    time.sleep(60)"
    holder = subprocess.Popen([sys.executable, "-c", code, tmp_path / "lock"], stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(LabError, match=f"'mine' is at work already .process {holder.pid}."), _lock(tmp_path):
        pass
    holder.kill()
    holder.wait()
    with _lock(tmp_path):
        assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"


def _lock(folder):
    return processes.run_lock(folder / "lock", "mine")


def test_a_process_dies_with_the_one_it_watches_and_takes_its_children_along(tmp_path):
    watched = subprocess.Popen(["sleep", "60"])
    code = "import subprocess, time\nfrom lab_utils.runner.processes import die_with_run\ndie_with_run(every=0.05)\n"
    code += "print(subprocess.Popen(['sleep', '60'], start_new_session=True).pid, flush=True)\ntime.sleep(60)"
    environment = {**os.environ, processes.WATCHED: str(watched.pid)}
    child = subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True)
    grandchild = psutil.Process(int(child.stdout.readline()))
    assert child.poll() is None
    watched.kill()  # not waited for: a zombie counts as gone
    assert child.wait(timeout=20) == 1
    assert not processes.is_alive(grandchild)
    watched.wait()


def test_temporary_files_of_dead_writers_are_swept_and_those_of_living_ones_kept(tmp_path):
    gone = subprocess.Popen(["true"])
    gone.wait()
    name = records.writer()
    mine, dead = tmp_path / f".a~{name}~x.npy", tmp_path / f".a~{name.split('~')[0]}~{gone.pid}~x.npy"
    other, result = tmp_path / f".a~another-machine~{gone.pid}~x.npy", tmp_path / "a.npy"
    for path in (mine, dead, other, result):
        path.touch()
    assert processes.sweep(tmp_path) == 1
    assert not dead.exists() and mine.exists() and other.exists() and result.exists()


def test_the_memory_of_all_processes_below_is_known_though_they_are_gone():
    code = "import time; held = bytearray(400_000_000); time.sleep(0.5)"
    with processes.memory_watched(every=0.05) as peak:
        before = peak[0]
        children = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(2)]
        assert [child.wait() for child in children] == [0, 0]
    assert 700e6 < peak[0] - before < 1000e6


def test_a_writer_that_is_dead_but_not_yet_reaped_counts_as_dead(tmp_path):
    zombie = subprocess.Popen(["true"])
    wait_until = time.time() + 20
    while processes.is_alive(processes._process(zombie.pid)) and time.time() < wait_until:
        time.sleep(0.05)
    left = tmp_path / f".a~{records.writer().split('~')[0]}~{zombie.pid}~x.npy"
    left.touch()
    assert processes.sweep(tmp_path) == 1
    assert not left.exists()
    zombie.wait()


def test_the_atomic_writer_names_its_process(tmp_path):
    with records.atomic_path(tmp_path / "a.npy") as temporary:
        assert processes.TEMPORARY.match(temporary.name)["pid"] == str(os.getpid())
    assert time.time() - (tmp_path / "a.npy").stat().st_mtime < 60
