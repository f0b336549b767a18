"""The state of a run on disk, and what is up to date: a step is, while nothing that it used is another now."""

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from lab_utils.core import usage
from lab_utils.core.chapters import CHAPTERS, Notebook
from lab_utils.core.profiles import Settings
from lab_utils.core.records import PROJECT, content_hash, file_hash, read_json, write_atomic, write_json
from lab_utils.core.usage import Used

DATA = Notebook("data", device=False)
REPORT = "report"
PERHAPS = "perhaps, after "  # a reason to look, not yet to run: what a step reads will be made anew


def notebook_path(name: str) -> Path:
    """The chapter's notebook, stored without outputs."""
    return PROJECT / "notebooks" / f"{name}.ipynb"


def steps() -> list[Notebook]:
    """The data and every chapter whose notebook is there, in an order in which they can run."""
    return [DATA] + [chapter for chapter in CHAPTERS if notebook_path(chapter.name).is_file()]


class RunState:
    """What is known of the steps of one run.

    `data/runs/<run>/status/<step>.json` has a step's state, its error, a hash of what it made and the record of what it
    used. States: ok, failed, not run (the data do not allow it), running; and of what is kept and counts again when
    nothing that it used is another any more: waiting (for a failed one) and out of date. The executed notebook lies
    beside the report. `done/<step>` are Snakemake's outputs, empty and of the moment: nothing is decided by them.
    """

    def __init__(self, settings: Settings):
        self.settings = settings
        self.steps = steps()
        self.names = {step.name for step in self.steps}

    def status_path(self, name: str) -> Path:
        """File of what is known of a step, or of the report."""
        return self.settings.run_folder / "status" / f"{name}.json"

    def status(self, name: str) -> dict[str, Any]:
        """What is known of a step; empty where it never ran."""
        return read_json(self.status_path(name), {})

    def results(self, step: Notebook) -> Path:
        """File of what a step made: a chapter's records, or the manifest of the image table."""
        return usage.results_path(self.settings, step.name)

    def executed(self, name: str) -> Path:
        """The executed notebook of a chapter."""
        return self.settings.report_folder / "notebooks" / f"{name}.ipynb"

    def done(self, name: str) -> Path:
        """Snakemake's output of a step."""
        return self.settings.run_folder / "done" / name

    def needs(self, step: Notebook) -> list[str]:
        """Steps that this one reads from, of those that are there."""
        return [need for need in step.needs if need in self.names]

    # ---- up to date or not -------------------------------------------------------------------------------------------
    def outdated(self, step: Notebook) -> list[str]:
        """Why a step has to run, in words; empty where it is up to date."""
        status = self.status(step.name)
        if "used" not in status:
            return [{"failed": "failed before", "running": "was interrupted"}.get(status.get("state"), "was not run")]
        if status["made"] != self.made(step):
            return ["its results changed or are gone"]
        if status["executed"] and not self.executed(step.name).is_file():
            return ["its executed notebook is gone"]
        return self._changed(status["used"], self.source(step))

    def made(self, step: Notebook) -> str:
        """Hash of what a step made, times and provenance aside; "" where there is nothing."""
        return usage.current(f"results of {step.name}", self.settings)

    def source(self, step: Notebook) -> Used:
        """What a step is of itself: the code cells of its notebook, or the files in the folder of images."""
        if step is DATA:
            root = self.settings.data.path or read_json(self.results(DATA), {}).get("root")
            return {"pictures": content_hash(listing(Path(root))) if root and Path(root).is_dir() else ""}
        return {"code cells": content_hash(code_cells(notebook_path(step.name)))}

    def _changed(self, used: Used, source: Used) -> list[str]:
        other = {name: value for name, value in used.items() if name not in source}
        words = [name for name, value in source.items() if used.get(name) != value]
        return words + usage.changed(other, self.settings)

    def blocked(self, step: Notebook) -> list[str]:
        """Steps that this one needs and that were not run on this data (chapter 14 goes on with what is there)."""
        if step.name.startswith("14"):
            return []
        return [need for need in self.needs(step) if self.settled(need).get("state") == "not run"]

    def plan(self, forced: Iterable[str] = ()) -> dict[str, list[str]]:
        """Steps that have to run, with the reasons; those that depend on them come with a reason in `PERHAPS`."""
        todo: dict[str, list[str]] = {}
        for step in self.steps:
            waits = [need for need in self.needs(step) if need in todo]
            reasons = ["forced"] if step.name in forced else self.outdated(step)
            reasons = [why for why in reasons if why.removeprefix("results of ") not in todo]  # they may come back
            if reasons or waits:
                todo[step.name] = reasons or [f"{PERHAPS}{', '.join(waits)}"]
        return todo

    # ---- what a job writes -------------------------------------------------------------------------------------------
    def start(self, step: Notebook) -> Used:
        """Say that a step is at work, take away the results that it had, and return what it is made from of itself."""
        write_json(self.status_path(step.name), {"chapter": step.name, "state": "running", "seconds": None})
        if step is not DATA:
            self.results(step).unlink(missing_ok=True)
        return self.source(step)

    def finish(
        self,
        step: Notebook,
        state: str,
        seconds: float,
        error: dict[str, Any] | None = None,
        used: Used | None = None,
        memory: int | None = None,
    ) -> None:
        """Write a step's state, and what it used, where it did not fail.

        Args:
            step: the step.
            state: ok, failed or not run.
            seconds: that it took.
            error: what went wrong, or why it was not run.
            used: the record, what `start` gave included; None: the step was passed over without being started.
            memory: most bytes that its processes held together.
        """
        executed = step is not DATA and used is not None
        if state == "not run":
            self.results(step).unlink(missing_ok=True)
        if not executed:
            self.executed(step.name).unlink(missing_ok=True)
        status = {"chapter": step.name, "state": state, "seconds": round(seconds, 1), "error": error}
        status |= {} if memory is None else {"memory_gb": round(memory / 1e9, 2)}
        if state != "failed":
            status |= {"made": self.made(step), "executed": executed, "used": self._record(step, used or {})}
        write_json(self.status_path(step.name), status)

    def _record(self, step: Notebook, used: Used) -> Used:
        """The whole record of a step: settings by their hashes, and that results it could have read were missing."""
        used = {name: value for name, value in used.items() if name != f"results of {step.name}"}
        if step is DATA and not self.settings.data.path:  # it made the pictures or fetched them
            used = used | self.source(step)
        missing = {f"results of {need}": "" for need in self.needs(step)}
        missing = {name: "" for name in missing if not usage.current(name, self.settings)}
        return usage.complete(missing | self.source(step) | used, self.settings)

    def settled(self, name: str) -> dict[str, Any]:
        """What is known of a step without its being held up."""
        status = self.status(name)
        return status | status.pop("before", {})

    def restore(self, step: Notebook) -> None:
        """Let count again what a step made that is up to date and was held up."""
        if "before" in self.status(step.name):
            write_json(self.status_path(step.name), self.settled(step.name))

    def wait(self, step: Notebook, culprits: Sequence[str]) -> None:
        """Say that a step was held up by others that failed."""
        self._hold(step, "waiting", f"Waits for {', '.join(culprits)}, which failed.")

    def review(self, step: Notebook) -> None:
        """Say of a step that was not asked for whether what it made before still counts."""
        if "used" not in self.status(step.name):
            return
        if reasons := self.outdated(step):
            words = f"Its numbers are from before: {', '.join(reasons[:3])}. ./run_all.sh brings it up to date."
            self._hold(step, "out of date", words)
        else:
            self.restore(step)

    def _hold(self, step: Notebook, state: str, message: str) -> None:
        status = {"chapter": step.name, "state": None, "seconds": None, "error": None} | self.settled(step.name)
        error = {"heading": "", "cell": None, "name": state.capitalize(), "message": message, "hint": ""}
        before = {"state": status["state"], "error": status["error"]}
        write_json(self.status_path(step.name), status | {"state": state, "error": error, "before": before})

    def forget(self, name: str) -> None:
        """Make a step run again."""
        self.status_path(name).unlink(missing_ok=True)

    def refresh_text(self, step: Notebook) -> None:
        """Give the executed notebook of a chapter that is up to date the text and tags of its source."""
        source, kept, status = notebook_path(step.name), self.executed(step.name), self.status(step.name)
        if step is DATA or status.get("state") != "ok" or not kept.is_file():
            return
        notebook = read_json(source)
        text = content_hash(
            [[_tags(cell), cell["cell_type"] != "code" and cell["source"]] for cell in notebook["cells"]]
        )
        if status.get("text") != text:
            refreshed = with_text_of(notebook, read_json(kept))
            write_atomic(kept, json.dumps(refreshed, indent=1, ensure_ascii=False) + "\n")
            write_json(self.status_path(step.name), status | {"text": text})

    # ---- the report --------------------------------------------------------------------------------------------------
    def report_files(self) -> list[Path]:
        """The files that a report consists of."""
        return [self.settings.report_folder / f"report.{suffix}" for suffix in ("html", "pdf")]

    def report_outdated(self) -> bool:
        """Whether the report has to be built: a file of it, or something that went into it, is another now."""
        status = self.status(REPORT)
        return status.get("made") != self._report_made() or bool(usage.changed(status["used"], self.settings))

    def finish_report(self, used: Used) -> None:
        """Keep what a report was made from."""
        record = usage.complete(used, self.settings)
        write_json(self.status_path(REPORT), {"state": "ok", "made": self._report_made(), "used": record})

    def _report_made(self) -> list[str]:
        return [file_hash(path, 16) if path.is_file() else "" for path in self.report_files()]


# ---- notebooks and folders -------------------------------------------------------------------------------------------
def code_cells(notebook: Path) -> list[str]:
    """Sources of the notebook's code cells, but for the parameters (papermill sets those)."""
    code = [cell for cell in read_json(notebook)["cells"] if cell["cell_type"] == "code"]
    return ["".join(cell["source"]) for cell in code if "parameters" not in _tags(cell)]


def with_text_of(source: dict[str, Any], executed: dict[str, Any]) -> dict[str, Any]:
    """An executed notebook with the text cells and tags of its source: they may have been edited and run nothing."""
    code = {cell.get("id"): cell for cell in executed["cells"] if cell["cell_type"] == "code"}
    injected = [cell for cell in code.values() if "injected-parameters" in _tags(cell)]
    cells = []
    for cell in source["cells"]:
        ran = code.get(cell.get("id"), cell) if cell["cell_type"] == "code" else cell
        cells.append({**ran, "metadata": {**ran["metadata"], "tags": _tags(cell)}})
        cells += injected if "parameters" in _tags(cell) else []
    return {**executed, "cells": cells}


def _tags(cell: dict[str, Any]) -> list[str]:
    return cell["metadata"].get("tags", [])


def listing(root: Path) -> list[tuple[str, ...]]:
    """Path within a folder, size and times of every file in it, sorted; links to folders are followed, once each.

    The time of the last change of any kind can't be set back: a file replaced by one of its size and time is seen.
    """
    files, seen = [], set()
    for folder, folders, names in os.walk(root, followlinks=True):
        here = os.stat(folder)  # noqa: PTH116 (ten times quicker than Path)
        if (here.st_dev, here.st_ino) in seen:
            folders.clear()
            continue
        seen.add((here.st_dev, here.st_ino))
        folders.sort()
        for path in (os.path.join(folder, name) for name in names):  # noqa: PTH118
            try:
                about = os.stat(path)  # noqa: PTH116
            except OSError:  # a link that leads nowhere
                continue
            files.append((path.removeprefix(str(root)), about.st_size, about.st_mtime_ns, about.st_ctime_ns))
    return sorted(files)
