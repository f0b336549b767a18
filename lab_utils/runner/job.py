"""One step of a run, in a process of its own: `python -m lab_utils.runner.job RUN STEP`, which the Snakefile calls.

It looks by content whether there is anything to do (Snakemake only knows that there may be), does it, and reports to
`run_all.sh` by lines of JSON on its standard output.
"""

import contextlib
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

from lab_utils.core import usage
from lab_utils.core.chapters import Notebook
from lab_utils.core.errors import LabError, NotRunError, of_system
from lab_utils.core.profiles import Settings, load_settings
from lab_utils.runner import execute, processes
from lab_utils.runner.execute import Execution
from lab_utils.runner.state import DATA, RunState


def main(run: str, name: str) -> int:
    """Bring one step of a run up to date; return 1 where it failed."""
    processes.die_with_run()
    state = RunState(load_settings(run))
    step = next(step for step in state.steps if step.name == name)
    try:
        return _bring_up_to_date(state, step)
    except (LabError, OSError) as error:  # nothing can be written, say: the run hears of it all the same
        message = of_system(error) if isinstance(error, OSError) else str(error)
        about = {"heading": "", "cell": None, "name": type(error).__name__, "message": message, "hint": ""}
        with contextlib.suppress(LabError, OSError):
            state.finish(step, "failed", 0, about, {})
        tell(step, "done", state="failed", seconds=0, error=about)
        return 1


def _bring_up_to_date(state: RunState, step: Notebook) -> int:
    if not state.outdated(step):
        state.restore(step)
        tell(step, "done", state="up to date", seconds=0)
    elif culprits := state.blocked(step):
        _pass_over(state, step, culprits)
    elif _run(state, step) == "failed":
        return 1
    state.done(step.name).parent.mkdir(exist_ok=True)
    state.done(step.name).touch()
    return 0


def _run(state: RunState, step: Notebook) -> str:
    started = time.time()
    tell(step, "started")
    source = state.start(step)
    if not step.device:
        os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    with processes.memory_watched() as peak:
        outcome = _data(state, step) if step is DATA else _notebook(state, step)
    seconds = time.time() - started
    state.finish(step, outcome.state, seconds, outcome.error, outcome.used | source, peak[0])
    if step is not DATA:
        _write_page(state, step)
    tell(step, "done", seconds=seconds, state=outcome.state, error=outcome.error)
    return outcome.state


def _write_page(state: RunState, step: Notebook) -> None:
    """Write the chapter's page at once, so that it can be read while the rest runs; that fails no chapter."""
    from lab_utils.report import pages

    try:
        pages.write_chapter(state.settings, step.name)
    except LabError as error:
        tell(step, "line", text=f"The page of this chapter could not be written: {error}")


def _pass_over(state: RunState, step: Notebook, culprits: list[str]) -> None:
    message = f"It builds on {', '.join(culprits)}, not run on this data."
    error = {"heading": "", "cell": None, "name": NotRunError.__name__, "message": message, "hint": ""}
    state.finish(step, "not run", 0, error)
    tell(step, "done", state="not run", seconds=0, error=error)


def _notebook(state: RunState, step: Notebook) -> Execution:
    target = state.executed(step.name)
    return execute.execute(step, state.settings.name, target, lambda line: tell(step, "line", text=line))


def _data(state: RunState, step: Notebook) -> Execution:
    from lab_utils.sample import sources

    def say(line: object) -> None:
        tell(step, "line", text=str(line))

    try:
        with usage.recording() as used:
            sources.prepare(state.settings, progress=say)
        _fetch_weights(state.settings, say)
    except LabError as error:
        about = {"heading": "", "cell": None, "name": type(error).__name__, "message": str(error), "hint": ""}
        return Execution("failed", about)
    return Execution(used=used | usage.modules_of(sources.__name__, loaded=False))


def _fetch_weights(settings: Settings, say: Callable[[str], None]) -> None:
    """See to the networks' weights now, so that what is missing is said before hours of training."""
    from lab_utils.networks import backbones

    if not settings.data.partial:
        wanted = [(name, True) for name in settings.networks.names]
        wanted += [(name, False) for name in settings.fine_tuning.networks]
        for sentence in backbones.fetch(wanted, settings.networks.weights):
            say(f"Chapters that need them will fail: {sentence}")


def tell(step: Notebook, event: str, **about: Any) -> None:
    """Report to the run."""
    print(json.dumps({"step": step.name, "event": event, **about}), flush=True)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
