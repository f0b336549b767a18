"""One run of a name at a time, and processes that die with the run they belong to (Linux and macOS alike)."""

import contextlib
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil

from lab_utils.core import locks, records
from lab_utils.core.errors import LabError

WATCHED = "LAB_WATCHED"  # environment variable: the processes that this one must not outlive
TEMPORARY = re.compile(r"\..*~(?P<node>[^~]*)~(?P<pid>\d+)~")  # names that records.atomic_path gives


@contextlib.contextmanager
def run_lock(path: Path, name: str) -> Iterator[None]:
    """Hold the run's lock file while the block runs; the system lets go of it when the process ends, however it ends.

    Raises:
        LabError: another process holds it.
    """

    def refuse(holder: str) -> None:
        raise LabError(
            f"Run {name!r} is at work already (process {holder}): wait for it, end it, or give this one another --name."
        )

    with locks.locked(path, refuse):
        yield


def die_with_run(last_words: Callable[[], None] = lambda: None, every: float = 0.5) -> None:
    """End this process, and all it started, as soon as one of the processes in `LAB_WATCHED` is gone.

    Adds this process to those that its own children watch. A thread asks twice a second: it works on every system, at
    any depth, and when the run was killed by SIGKILL.
    """
    watched = [int(pid) for pid in os.environ.get(WATCHED, "").split(",") if pid]
    os.environ[WATCHED] = ",".join(map(str, [*watched, os.getpid()]))
    threading.Thread(target=_watch, args=([_process(pid) for pid in watched], last_words, every), daemon=True).start()


def _watch(processes: list[psutil.Process | None], last_words: Callable[[], None], every: float) -> None:
    while all(map(is_alive, processes)):
        time.sleep(every)
    last_words()
    kill_children()
    os._exit(1)


def _process(pid: int) -> psutil.Process | None:
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid)
    return None


def is_alive(process: psutil.Process | None) -> bool:
    """Whether this very process (not a later one of the same number) is there and no zombie."""
    try:
        return process is not None and process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def kill_children(pid: int | None = None) -> None:
    """Kill everything below a process (this one by default), kernels and their workers included."""
    with contextlib.suppress(psutil.NoSuchProcess):
        for child in psutil.Process(pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()


@contextlib.contextmanager
def stopped_by_signals() -> Iterator[None]:
    """Turn the signals that ask a run to end into KeyboardInterrupt, as Ctrl-C does."""

    def interrupt(number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    asked = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
    heard = [number for number in asked if signal.getsignal(number) != signal.SIG_IGN]  # nohup ignores SIGHUP
    before = {number: signal.signal(number, interrupt) for number in heard}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def sweep(*folders: Path) -> int:
    """Remove temporary files whose writer on this machine is dead; return how many."""
    removed, here = 0, records.writer().split("~")[0]
    for folder in folders:
        for path in folder.rglob(".*~*~*~*"):
            match = TEMPORARY.match(path.name)
            if match and match["node"] == here and not is_alive(_process(int(match["pid"]))):
                path.unlink(missing_ok=True)
                removed += 1
    return removed


@contextlib.contextmanager
def memory_watched(every: float = 0.5) -> Iterator[list[int]]:
    """Watch, while the block runs, the main memory of this process and of all below it (a kernel and its workers).

    Yields:
        A list whose only item is the most bytes that they held together until now, looked at every so many seconds.
    """
    peak, ended = [_held()], threading.Event()

    def watch() -> None:
        while not ended.wait(every):
            peak[0] = max(peak[0], _held())

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield peak
    finally:
        ended.set()


def _held() -> int:
    held, here = 0, psutil.Process()
    for process in (here, *here.children(recursive=True)):
        with contextlib.suppress(psutil.Error):
            held += process.memory_info().rss
    return held


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
