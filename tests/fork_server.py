"""Answers command lines of a miniature lab quickly: it has loaded the lab once and forks for each run and each step.

Standard input gets a list of options a line, as JSON; standard output gives the exit code, what was printed, and the
steps that were executed (not those that only looked whether there is anything to do). In a fork, a notebook's code
cells are run by `exec` instead of in a kernel, one step after the other instead of by Snakemake; no report is built.
"""

import contextlib
import functools
import io
import json
import os
import sys

import imagehash
import scipy.sparse.csgraph
from PIL import Image

from lab_utils import lab  # noqa: F401  (loaded before the forks, like all that no test changes)
from lab_utils.core import records, usage
from lab_utils.core.errors import NotRunError
from lab_utils.data import pipeline  # noqa: F401
from lab_utils.runner import cli, execute, job, processes, schedule, state
from lab_utils.sample import sources


def in_a_fork(work, *arguments):
    """What a function gives in a fork of this process, as JSON."""
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.close(reader)
        try:
            content = json.dumps(work(*arguments))
        except BaseException as problem:
            content = json.dumps({"code": 99, "text": repr(problem), "ran": []})
        with os.fdopen(writer, "w") as pipe:
            pipe.write(content)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        content = pipe.read()
    os.wait()
    return json.loads(content)


def run_cells(step, run, target, progress):
    """In place of a kernel: run the code cells of a notebook in this process, recording what they use."""
    source, journal = state.notebook_path(step.name), records.PROJECT / "used"
    usage.watch(journal)
    outcome, error = "ok", None
    try:
        names = {"RUN": run}
        for cell in state.code_cells(source):
            exec(cell, names)
    except Exception as problem:
        outcome = "not run" if isinstance(problem, NotRunError) else "failed"
        error = {"name": type(problem).__name__, "message": str(problem), "hint": ""}
    used = usage.read_journal(journal)
    records.write_atomic(target, source.read_bytes())
    return execute.Execution(outcome, error, {name: value for name, value in used.items() if "notebooks/" not in name})


def run_job(run, name):
    """One job of Snakemake's, and whether it had anything to do."""
    ran, run_step = [], job._run
    job._run = lambda run_state, step: ran.append(step.name) or run_step(run_state, step)
    with contextlib.redirect_stdout(io.StringIO()) as out:
        return {"code": job.main(run, name), "ran": ran, "text": out.getvalue()}


def run_command(options):
    """A command line, whose jobs run in forks one after the other."""
    ran = []

    def run_jobs(run_state, todo, jobs, graphics):
        failed = set()
        for step in run_state.steps:
            if step.name in todo and not failed & set(step.needs):
                result = in_a_fork(run_job, run_state.settings.name, step.name)
                assert result["code"] < 2, result
                ran.extend(result["ran"])
            if step.name in todo and (failed & set(step.needs) or result["code"]):
                failed.add(step.name)
        return set()  # what failed is in the states

    schedule.run = run_jobs
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(out):
        code = cli.main(options)
    return {"code": code, "text": out.getvalue(), "ran": ran}


def main():
    """Answer until the input ends."""
    execute.execute = run_cells
    processes.die_with_run = lambda: None
    job._fetch_weights = lambda *_: None
    cli.report = lambda _: True
    records.versions = functools.cache(records.versions)
    for load_once in (records.git_revision, records.hardware, Image.init, lambda: (imagehash, scipy.sparse.csgraph)):
        load_once()
    usage.modules_of(sources.__name__, loaded=False)  # parsed once, for all forks
    for name in filter(usage.source_path, [*sys.modules]):
        usage.module_value(name)
    for line in sys.stdin:
        print(json.dumps(in_a_fork(run_command, json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
