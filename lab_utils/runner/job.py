"""One step of a run, in a process of its own: `python -m lab_utils.runner.job RUN STEP`, which the Snakefile calls.

It checks by content whether there is anything to do (Snakemake only compares file times), does it, and reports to
`run_all.sh` by lines of JSON on its standard output.
"""

import json
import os
import sys
import time
from typing import Any

from lab_utils.core.chapters import Chapter
from lab_utils.core.errors import LabError, NotRunError
from lab_utils.core.profiles import load_settings
from lab_utils.runner import processes, stamps
from lab_utils.runner.state import RunState


def main(run: str, name: str) -> int:
    """Bring one step of a run up to date; return 1 where it failed."""
    processes.die_with_run()
    state = RunState(load_settings(run))
    step = next(one for one in state.steps if one.name == name)
    if not state.outdated(step):
        state.restore(step)
        tell(step, "done", state="up to date", seconds=0)
        return 0
    if culprits := state.blocked(step):
        return _not_run(state, step, culprits)
    return _run(state, step)


def _run(state: RunState, step: Chapter) -> int:
    started = time.time()
    tell(step, "started")
    state.start(step)
    if not step.device:
        os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    outcome = _data(state, step) if step is stamps.DATA else _notebook(state, step)
    seconds = time.time() - started
    state.finish(step, outcome["state"], seconds, outcome["error"], ran=True)
    tell(step, "done", seconds=seconds, **outcome)
    return int(outcome["state"] == "failed")


def _not_run(state: RunState, step: Chapter, culprits: list[str]) -> int:
    message = f"It builds on {', '.join(culprits)}, not run on this data."
    error = {"heading": "", "cell": None, "name": NotRunError.__name__, "message": message, "hint": ""}
    state.finish(step, "not run", 0, error, ran=False)
    tell(step, "done", state="not run", seconds=0, error=error)
    return 0


def _notebook(state: RunState, step: Chapter) -> dict[str, Any]:
    from lab_utils.runner.execute import execute

    target = state.executed(step.name)
    outcome = execute(step, state.settings.name, target, lambda line: tell(step, "line", text=line))
    return {"state": outcome.state, "error": outcome.error}


def _data(state: RunState, step: Chapter) -> dict[str, Any]:
    from lab_utils.networks import backbones
    from lab_utils.sample import sources

    settings = state.settings
    try:
        sources.prepare(settings, progress=lambda line: tell(step, "line", text=str(line)))
        if not settings.data.partial:  # said now, not after hours of training
            wanted = [(name, True) for name in settings.networks.names]
            wanted += [(name, False) for name in settings.fine_tuning.networks]
            for sentence in backbones.fetch(wanted, settings.networks.weights):
                tell(step, "line", text=f"Chapters that need them will fail: {sentence}")
    except LabError as error:
        about = {"heading": "", "cell": None, "name": type(error).__name__, "message": str(error), "hint": ""}
        return {"state": "failed", "error": about}
    return {"state": "ok", "error": None}


def tell(step: Chapter, event: str, **about: Any) -> None:
    """Report to the run."""
    print(json.dumps({"step": step.name, "event": event, **about}), flush=True)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
