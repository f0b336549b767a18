"""Execute one notebook in a kernel of its own, and say in a sentence what went wrong where it failed."""

import re
import shlex
import signal
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab_utils.core import records
from lab_utils.core.chapters import Notebook, chapter
from lab_utils.core.errors import NotRunError
from lab_utils.core.records import PROJECT
from lab_utils.core.usage import Used, read_journal
from lab_utils.runner.state import notebook_path

if TYPE_CHECKING:
    import nbformat

PROGRESS = re.compile(r"^  (epoch|download|step)\b")  # printed lines that a notebook passes on to the run's progress
ERROR_CELL = "papermill-error-cell-tag"
WATCH = "__import__('lab_utils.core.usage', fromlist=['watch']).watch({!r})"  # the kernel's first line
LOWER = {
    "data": "data.cap",
    "networks": "networks.names",
    "features": "features.batch",
    "scratch": "scratch.batch or scratch.size",
    "fine_tuning": "its batch or image size under fine_tuning",
}


@dataclass(frozen=True)
class Execution:
    """How a step ended.

    Attributes:
        state: `ok`, `failed` or `not run` (the data do not allow it).
        error: None, or `{heading, cell, name, message, hint}`: nearest heading, number of the code cell, kind, words.
        used: what it used until then.
    """

    state: str = "ok"
    error: dict[str, Any] | None = None
    used: Used = field(default_factory=dict)


class Lines:
    """A text file for papermill that passes on those printed lines that tell of progress."""

    def __init__(self, progress: Callable[[str], None]):
        self.progress, self.rest = progress, ""

    def write(self, text: str) -> None:
        """Take a piece of output, of any length."""
        *lines, self.rest = (self.rest + text).replace("\r", "\n").split("\n")
        for line in lines:
            if PROGRESS.match(line):
                self.progress(line)

    def flush(self) -> None:
        """Nothing is held back but an unfinished line."""


def execute(step: Notebook, run: str, target: Path, progress: Callable[[str], None]) -> Execution:
    """Execute a chapter's notebook for a run with papermill.

    Args:
        step: the chapter.
        run: name of the run, the notebook's only parameter.
        target: where the executed notebook goes, whole, however it ended.
        progress: gets the lines that tell of progress.
    """
    import nbformat
    from jupyter_client.manager import AsyncKernelManager

    source, kernel = notebook_path(step.name), AsyncKernelManager(kernel_name="python3")
    with records.atomic_path(target) as temporary, tempfile.TemporaryDirectory() as folder:
        journal = Path(folder) / "used"
        error, code = _papermill(source, temporary, run, kernel, Lines(progress), journal)
        used = read_journal(journal)
        notebook = _tidy(temporary if temporary.stat().st_size else source)
        temporary.write_text(nbformat.writes(notebook), encoding="utf-8")
    return _outcome(step, notebook, error, code, used)


def _papermill(
    source: Path, target: Path, run: str, kernel: Any, lines: Lines, journal: Path
) -> tuple[Exception | None, int | None]:
    """Execute; return the error, if any, and the exit code of a kernel that had ended by itself."""
    import papermill
    from papermill.exceptions import PapermillExecutionError

    from lab_utils.runner.processes import kill_children

    options: dict[str, Any] = {"kernel_name": "python3", "km": kernel, "cwd": str(source.parent), "stdout_file": lines}
    options |= {"progress_bar": False, "autosave_cell_every": 0, "start_timeout": 300}  # (it saves before each cell)
    options["extra_arguments"] = [f"--IPKernelApp.exec_lines={WATCH.format(str(journal))}"]
    try:
        papermill.execute_notebook(_literal(source), _literal(target), parameters={"RUN": run}, **options)
    except (PapermillExecutionError, RuntimeError) as error:  # (it died, or did not start)
        return error, _exit_code(kernel)
    finally:
        kill_children()
    return None, None


def _literal(path: Path) -> str:
    """A path for papermill, which would put parameters in the place of braces."""
    return str(path).replace("{", "{{").replace("}", "}}")


def _exit_code(kernel: Any) -> int | None:
    """The kernel's exit code, None while it lives; negative: the signal that ended it."""
    process = getattr(kernel.provisioner, "process", None)
    return process.poll() if process else None


def _tidy(path: Path) -> "nbformat.NotebookNode":
    """The executed notebook without the cells that papermill adds to point at an error (the report has its own)."""
    import nbformat

    notebook = nbformat.read(path, as_version=4)
    notebook.cells = [cell for cell in notebook.cells if ERROR_CELL not in cell.metadata.get("tags", ())]
    return notebook


def _outcome(
    step: Notebook, notebook: "nbformat.NotebookNode", error: Exception | None, code: int | None, used: Used
) -> Execution:
    if error is None and used:
        return Execution(used=used)
    heading, cell = where(notebook)
    name, message = getattr(error, "ename", ""), readable(getattr(error, "evalue", ""))
    if name == NotRunError.__name__:
        about = {"heading": heading, "cell": cell, "name": name, "message": message, "hint": ""}
        return Execution("not run", about, used)
    hint = f"Open it by: {reopen(step.name)}"
    if error is None:
        name, message = "NothingRecorded", "what it used was not recorded, so it could never be told out of date"
    elif type(error) is RuntimeError:
        name, message = "KernelNotStarted", readable(str(error))
    elif not name:
        name, message, hint = dead_kernel(used, code, hint)
    return Execution("failed", {"heading": heading, "cell": cell, "name": name, "message": message, "hint": hint}, used)


def where(notebook: "nbformat.NotebookNode") -> tuple[str, int]:
    """Nearest heading above the cell that was executed last, and the number of that cell among the code cells."""
    started = [i for i, cell in enumerate(notebook.cells) if (cell.metadata.get("papermill") or {}).get("start_time")]
    before = notebook.cells[: started[-1] + 1] if started else []
    text = "\n".join(cell.source for cell in before if cell.cell_type == "markdown")
    headings = re.findall(r"^#+ +(.+?) *$", text, re.MULTILINE)
    own = [cell for cell in before if cell.cell_type == "code"]
    own = [cell for cell in own if "injected-parameters" not in cell.metadata.get("tags", ())]
    return (headings[-1] if headings else ""), len(own)


def dead_kernel(used: Used, code: int | None, hint: str) -> tuple[str, str, str]:
    """Name, message and hint for a kernel that was gone: by SIGKILL memory ran out, else it crashed."""
    if code not in (None, -signal.SIGKILL):
        return "KernelDied", f"the kernel crashed (exit code {code})", hint
    lower = [advice for section, advice in LOWER.items() if f"settings {section}" in used]
    advice = f"Lower {', '.join(lower)} in the profile, or end other programs, and start again. {hint}"
    return "MemoryError", "the kernel was killed, most likely because memory ran out", advice


def readable(message: str) -> str:
    """The first line of a message that says something, without terminal colours, at most 400 signs."""
    lines = [line.strip() for line in re.sub(r"\x1b\[[0-9;]*m", "", message).splitlines()]
    return next((line for line in lines if line), "")[:400]


def reopen(name: str) -> str:
    """The command that opens a chapter in JupyterLab."""
    notebook = f"notebooks/{chapter(name).name}.ipynb"
    if Path(sys.prefix) == PROJECT / ".venv":
        return f".venv/bin/jupyter lab {notebook}"
    return f'PYTHONPATH="$PWD" {shlex.quote(sys.executable)} -m jupyterlab {notebook}'


def sentence(name: str, error: dict[str, Any]) -> str:
    """What went wrong in a chapter, for the terminal."""
    place = f" under “{error['heading']}”" if error.get("heading") else ""
    cell = f", code cell {error['cell']}" if error.get("cell") else ""
    return f"{name} failed{place}{cell}: {error['name']}: {error['message'].rstrip('.')}. {error['hint']}"
