"""`run_all.sh` as a whole on a miniature lab: nothing to do, failures, kills, and what the next run makes of them."""

import json
import os
import shutil
import signal
import time

import psutil
import pytest
from miniature import CHAPTERS, miniature, picture, run, start, write_notebook

TINY = ("--profile", "tiny")
ODD = "lab {v2} $HOME 'q' \"p\" `x` %s [a]* #&; é"  # signs that mean something to a shell, Snakemake, papermill
WAIT = "import time\nfrom pathlib import Path\n\nPath({marker!r}).touch()\ntime.sleep(120)"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A miniature lab that was run once, and what it printed."""
    folder = miniature(tmp_path_factory.mktemp("clone") / ODD)
    return folder, run(folder, *TINY)


@pytest.fixture
def lab(made, tmp_path):
    """A copy of the miniature that was run once (its settings name no place, so it may be moved)."""
    return shutil.copytree(made[0], tmp_path / "clone" / ODD)


def state(folder, name):
    return json.loads((folder / "data" / "runs" / "tiny" / "status" / f"{name}.json").read_text())


def states(folder):
    return {name: state(folder, name)["state"] for name in CHAPTERS}


def left_over(pid):
    """Processes of a run that were told to watch its first process."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("LAB_WATCHED", "").split(",")[0] == str(pid):
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


def wait_for(condition, seconds=120):
    limit = time.time() + seconds
    while not condition():
        assert time.time() < limit, "waited in vain"
        time.sleep(0.05)


def test_first_run_makes_all_chapters_and_the_report_and_tells_progress(made):
    folder, output = made
    assert set(states(folder).values()) == {"ok"}
    assert "[2 of 5] 00_dataset … 0:" in output
    assert "seconds  step" in output and "report/tiny" in output
    assert (folder / "report/tiny/report.html").stat().st_size and (folder / "report/tiny/report.pdf").stat().st_size


def test_second_run_does_nothing_and_soon(lab):
    log = lab / "data/runs/tiny/snakemake.log"
    run(lab, *TINY)  # the copy is at another place; the report is the same
    before, used = log.stat().st_mtime_ns, os.times()
    output = run(lab, *TINY)
    assert "Every chapter is up to date." in output
    assert log.stat().st_mtime_ns == before, "Snakemake was started"
    seconds = sum(os.times()[2:4]) - sum(used[2:4])
    assert seconds < 3, "seconds of processor time, which other programs do not lengthen"


def test_a_failing_notebook_is_told_and_shown_and_the_others_go_on(lab):
    write_notebook(lab, "01_baseline", "x = 1", 'raise ValueError("the glass is broken")')
    write_notebook(lab, "02_paper_baselines", 'lab.record("two", 22)')
    output = run(lab, *TINY, expected=1)
    told = "01_baseline failed under “The experiment”, code cell 4: ValueError: the glass is broken. Open it by: "
    assert told in output and "notebooks/01_baseline.ipynb" in output
    assert states(lab) == dict(zip(CHAPTERS, ["ok", "failed", "ok", "waiting"], strict=True))
    page = (lab / "report/tiny/report.html").read_text()
    assert "This chapter failed" in page and "the glass is broken" in page

    write_notebook(lab, "01_baseline", 'lab.record("one", lab.results("00_dataset")["images"] + 1)')
    output = run(lab, *TINY)
    assert "] 01_baseline …" in output
    assert "00_dataset" not in output.split("seconds  step")[0], "what did not depend on it was run again"
    assert "03_task_similarity … up to date" in output, "same results from what it needs: nothing to do"
    assert set(states(lab).values()) == {"ok"}


def test_a_killed_kernel_says_that_memory_ran_out_and_what_to_lower(lab):
    kill = "import os, signal\n\nassert lab.settings.scratch\nos.kill(os.getpid(), signal.SIGKILL)"
    write_notebook(lab, "01_baseline", kill)
    output = run(lab, *TINY, "--only", "01", expected=1)
    assert "memory ran out" in output and "scratch.batch" in output
    assert state(lab, "01_baseline")["error"]["cell"] == 3


def test_a_chapter_that_the_data_do_not_allow_counts_as_not_run(lab):
    code = 'from lab_utils.core.errors import NotRunError\n\nraise NotRunError("Five images are missing.")'
    write_notebook(lab, "01_baseline", code)
    output = run(lab, *TINY)
    assert "01_baseline … not run: Five images are missing." in output
    assert states(lab) == dict(zip(CHAPTERS, ["ok", "not run", "ok", "not run"], strict=True))
    assert "01_baseline" in state(lab, "03_task_similarity")["error"]["message"]
    assert "Every chapter is up to date." in run(lab, *TINY)


def test_pictures_that_are_added_reach_the_chapter_that_is_asked_for(lab, tmp_path):
    for i in range(4):
        picture(tmp_path / "pictures" / "drawings" / f"{i}.bmp", i)
        picture(tmp_path / "pictures" / "prints" / f"{i}.bmp", 100 + i)
    options = (*TINY, "--images", str(tmp_path / "pictures"), "--only", "00")
    run(lab, *options)
    for i in range(4, 7):
        picture(tmp_path / "pictures" / "drawings" / f"{i}.bmp", i)
    assert "2 of 2 steps would run." in run(lab, *options, "--dry-run")
    output = run(lab, *options)
    assert "[1 of 2] data … 0:" in output and "[2 of 2] 00_dataset … 0:" in output
    results = json.loads((lab / "report" / "pictures" / "results" / "00_dataset.json").read_text())
    assert results["records"][0]["value"] == 11
    assert "Every chapter is up to date." in run(lab, *options)


def test_two_runs_of_one_name_are_refused_and_ctrl_c_stops_at_once(lab, tmp_path):
    marker = tmp_path / "marker"
    write_notebook(lab, "02_paper_baselines", WAIT.format(marker=str(marker)))
    child = start(lab, *TINY)
    wait_for(marker.exists)
    assert f"Run 'tiny' is at work already (process {child.pid})" in run(lab, *TINY, expected=2)
    child.send_signal(signal.SIGINT)
    stopped = time.time()
    output, _ = child.communicate(timeout=60)
    assert child.returncode == 130 and "Stopped. The next run goes on from here." in output
    assert time.time() - stopped < 10
    assert not left_over(child.pid)


@pytest.mark.parametrize("moment", ["at once", "data", "kernel", "job", "snakemake"])
def test_after_sigkill_nothing_is_left_and_the_next_run_goes_on(lab, tmp_path, moment):
    marker = tmp_path / "marker"
    write_notebook(lab, "02_paper_baselines", WAIT.format(marker=str(marker)))
    status = lab / "data/runs/tiny/status/data.json"
    status.unlink()
    victim = start(lab, *TINY)
    if moment == "at once":
        wait_for(lambda: left_over(victim.pid))
    elif moment == "data":
        wait_for(status.is_file)
    else:
        wait_for(marker.exists)
    names = {"job": "lab_utils.runner.job tiny 02_paper_baselines", "snakemake": "snakemake", "kernel": "ipykernel"}
    kill(victim, names.get(moment))
    assert victim.wait(timeout=300) != 0
    wait_for(lambda: not left_over(victim.pid), seconds=20)

    write_notebook(lab, "02_paper_baselines", 'lab.record("two", 2)')
    run(lab, *TINY)
    assert set(states(lab).values()) == {"ok"}
    assert not [path for path in lab.rglob(".*~*") if path.is_file()], "temporary files were left"


def kill(victim, name):
    """SIGKILL to the run itself, or to the first of its processes whose command line holds `name`."""
    if name in (None, "kernel"):
        os.kill(victim.pid, signal.SIGKILL)
    for child in psutil.Process(victim.pid).children(recursive=True) if name else ():
        if name in " ".join(child.cmdline()):
            child.kill()
            return
