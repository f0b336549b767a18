"""Snakemake as a child of the run: started quietly, followed by its jobs' reports, killed with the run."""

import contextlib
import json
import os
import queue
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from lab_utils.core import card, records
from lab_utils.core.environment import stated
from lab_utils.core.errors import LabError
from lab_utils.core.records import PROJECT
from lab_utils.runner import processes
from lab_utils.runner.execute import sentence
from lab_utils.runner.state import RunState

THREADS = (
    *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "NUMBA_NUM_THREADS"),
    *("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "LOKY_MAX_CPU_COUNT"),
)


def environment(jobs: int, graphics: card.Answer) -> dict[str, str]:
    """Variables for all processes of a run: the stated environment, equal shares of the cores, no card that fails."""
    threads = str(max(1, processes.cores() // jobs))
    variables = {**stated(root=PROJECT), **dict.fromkeys(THREADS, threads), processes.WATCHED: str(os.getpid())}
    hidden = {"CUDA_VISIBLE_DEVICES": "-1", card.UNUSED: graphics.sentence} if graphics.reason else {}
    return {**variables, **hidden}


def command(state: RunState, todo: Sequence[str], jobs: int, graphics: card.Answer) -> list[str]:
    """Snakemake's command line for those steps of a run that may be outdated: one at a time holds the card."""
    gpu = 1 if graphics.usable else jobs + 1  # without a card nothing has to take turns
    return [
        *(sys.executable, "-m", "snakemake", "--snakefile", str(PROJECT / "Snakefile")),
        *("--directory", str(state.settings.run_folder)),
        *("--config", f"run={json.dumps(state.settings.name)}", f"steps={json.dumps(' '.join(todo))}"),
        *("--cores", str(jobs), "--resources", f"gpu={gpu}", "--rerun-triggers", "mtime"),
        *("--keep-going", "--rerun-incomplete", "--nolock", "--quiet", "all", "--workflow-profile", "none"),
    ]


def run(state: RunState, todo: Sequence[str], jobs: int, graphics: card.Answer) -> set[str]:
    """Run steps of a run, showing progress; return the names of those that failed.

    Args:
        state: of the run.
        todo: names of the steps that may be outdated, with all that may be outdated among what they need.
        jobs: notebooks at a time.
        graphics: the card, where one can be used.

    Raises:
        LabError: Snakemake itself failed (the sentence names its log), or the run's folder can't be written.
    """
    log = state.settings.run_folder / "snakemake.log"
    progress, lines = Progress(todo), queue.Queue[str | None]()
    for name in todo:
        state.done(name).unlink(missing_ok=True)
    with log.open("wb", buffering=0) as file:
        child = subprocess.Popen(
            command(state, todo, jobs, graphics),
            env=environment(jobs, graphics),
            stdout=subprocess.PIPE,
            stderr=file,
            text=True,
            start_new_session=True,
        )
        try:
            threading.Thread(target=_read, args=(child.stdout, lines), daemon=True).start()
            _follow(lines, progress, file)
            code = child.wait()
        finally:
            processes.kill_children()
            progress.clear()
    if code and not progress.failed:
        _require_space(state.settings.run_folder)
        raise LabError(f"Snakemake stopped with exit code {code} ({last_words(log)}): its log is {log}.")
    return progress.failed


def _require_space(folder: Path) -> None:
    """Stop, with the system's reason, where no file of some size can be written into a folder."""
    with records.atomic_path(folder / "space") as temporary:
        temporary.write_bytes(bytes(1 << 18))
    (folder / "space").unlink()


def _read(stream: IO[str], lines: queue.Queue) -> None:
    for line in stream:
        lines.put(line)
    lines.put(None)


def _follow(lines: queue.Queue, progress: "Progress", log: IO[bytes]) -> None:
    """Show events as they come, and the clock once a second."""
    while True:
        try:
            line = lines.get(timeout=1)
        except queue.Empty:
            progress.tick()
            continue
        if line is None:
            return
        try:
            progress.take(json.loads(line))
        except (json.JSONDecodeError, KeyError, TypeError):
            with contextlib.suppress(OSError):  # a full disk; the steps say so
                log.write(line.encode(errors="replace"))


def last_words(log: Path) -> str:
    """The last line of Snakemake's log that says something."""
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return lines[-1][:200] if lines else "its log is empty"


class Progress:
    """Progress for people: `[5 of 16] 05_classification … 0:42`.

    On a terminal one line follows what is at work; elsewhere (a log file) each step gets a line when it starts and
    one when it ends.
    """

    def __init__(self, todo: Sequence[str], out: IO[str] | None = None):
        self.out = out or sys.stdout
        self.live = self.out.isatty() and os.environ.get("TERM") not in (None, "", "dumb")
        self.total, self.seen = len(todo), 0
        self.working: dict[str, tuple[int, float]] = {}
        self.failed: set[str] = set()

    def take(self, event: dict[str, Any]) -> None:
        """Show one report of a job."""
        name = event["step"]
        if event["event"] == "started":
            self.seen += 1
            self.total = max(self.total, self.seen)
            self.working[name] = (self.seen, time.time())
            if not self.live:
                self.say(f"{self.head(name)} …")
        elif event["event"] == "line":
            self.say(f"    {name}: {event['text'].strip()}")
        else:
            self.say(self.end(event))
            self.working.pop(name, None)
            if event["state"] == "failed":
                self.failed.add(name)
        self.tick()

    def end(self, event: dict[str, Any]) -> str:
        """The line for a step that has ended, with a sentence where it did not end well."""
        name, state = event["step"], event["state"]
        if name not in self.working:
            self.seen += 1
            self.total = max(self.total, self.seen)
            self.working[name] = (self.seen, time.time())
        if state == "ok":
            return f"{self.head(name)} … {clock(event['seconds'])}"
        if state == "failed":
            words = event["error"]["message"] if name == "data" else sentence(name, event["error"])
            return f"{self.head(name)} … failed after {clock(event['seconds'])}\n{words}"
        return f"{self.head(name)} … {state}" + (f": {event['error']['message']}" if event.get("error") else "")

    def head(self, name: str) -> str:
        """`[5 of 16] 05_classification`."""
        return f"[{self.working[name][0]} of {self.total}] {name}"

    def say(self, text: str) -> None:
        """A line that stays."""
        self.clear()
        print(text, file=self.out, flush=True)

    def tick(self) -> None:
        """Bring the line that follows what is at work up to date."""
        if self.live and self.working:
            now = time.time()
            parts = [f"{self.head(name)} … {clock(now - begun)}" for name, (_, begun) in self.working.items()]
            self.out.write("\r\033[K" + " · ".join(parts)[: shutil.get_terminal_size().columns - 1])
            self.out.flush()

    def clear(self) -> None:
        """Take the following line away."""
        if self.live:
            self.out.write("\r\033[K")
            self.out.flush()


def clock(seconds: float) -> str:
    """`0:42`, `12:05`, `1:02:03`."""
    hours, minutes, rest = int(seconds) // 3600, int(seconds) % 3600 // 60, int(seconds) % 60
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
