"""The state of a run on disk: stamps, manifests, states of its steps, and what is up to date, all by content."""

import contextlib
import json
import os
from pathlib import Path
from typing import Any

from lab_utils.core.chapters import Chapter
from lab_utils.core.profiles import Settings
from lab_utils.core.records import content_hash, read_json, write_atomic, write_if_changed, write_json
from lab_utils.runner import stamps

VOLATILE = ("seconds", "provenance")


class RunState:
    """Files of one run, under `data/runs/<run>/`.

    `stamps/<step>.json` what a step depends on (written only where it changed: Snakemake's input), `manifests/` a hash
    of what it made (Snakemake's output), `status/` its state, error and what it was made from, `executed/` the notebook
    as it was executed. The report's copy of that is Snakemake's log, which survives a failure, but which Snakemake
    removes before each job, also before one that finds nothing to do.
    """

    def __init__(self, settings: Settings):
        self.settings = settings
        self.steps = stamps.steps()
        self.names = {one.name for one in self.steps}

    def path(self, kind: str, name: str) -> Path:
        """File of one step; `kind` is stamps, manifests or status."""
        return self.settings.run_folder / kind / f"{name}.json"

    def executed(self, name: str) -> Path:
        """The executed notebook of a chapter, kept."""
        return self.settings.run_folder / "executed" / f"{name}.ipynb"

    def published(self, name: str) -> Path:
        """The executed notebook of a chapter, as it goes with the report."""
        return self.settings.report_folder / "notebooks" / f"{name}.ipynb"

    def needs(self, step: Chapter) -> list[str]:
        """Steps that this one reads from, of those that are there."""
        return [need for need in step.needs if need in self.names]

    def status(self, name: str) -> dict[str, Any]:
        """What is known of a step; empty where it never ran."""
        path = self.path("status", name)
        return read_json(path) if path.is_file() else {}

    def write_stamps(self) -> None:
        """Bring Snakemake's inputs up to date."""
        for step in self.steps:
            text = json.dumps(stamps.stamp(step, self.settings), indent=1)
            write_if_changed(self.path("stamps", step.name), text + "\n")

    # ---- up to date or not ------------------------------------------------------------------------------------------
    def made(self, name: str) -> str:
        """Hash of what a step made: the records of a chapter without times, or the image table's manifest."""
        results = self.settings.report_folder / "results" / f"{name}.json"
        path = self.settings.run_folder / "data.json" if name == stamps.DATA.name else results
        return content_hash(_lasting(read_json(path))) if path.is_file() else ""

    def made_from(self, step: Chapter) -> dict[str, Any]:
        """What a step would be made from now: its stamp and what it reads from earlier steps."""
        parts = stamps.stamp(step, self.settings)
        before = {need: self._manifest(need) for need in self.needs(step)}
        parts["results of"] = {need: f"{one.get('state')} {one.get('made')}" for need, one in before.items()}
        if step is stamps.DATA:
            parts["pictures"] = self._pictures()
        return parts

    def outdated(self, step: Chapter) -> list[str]:
        """Why a step has to run, in words; empty where it is up to date."""
        status = self.status(step.name)
        then = status.get("made_from")
        if then is None or status.get("state") not in ("ok", "not run", "waiting"):
            return [{"failed": "failed before", "running": "was interrupted"}.get(status.get("state"), "was not run")]
        if status["made"] != self.made(step.name):
            return ["its results changed or are gone"]
        if step is not stamps.DATA and status["ran"] and not self.executed(step.name).is_file():
            return ["its executed notebook is gone"]
        return stamps.differences(self.made_from(step), then)

    def blocked(self, step: Chapter) -> list[str]:
        """Steps that this one needs and that were not run on this data (chapter 14 goes on with what is there)."""
        if step.name.startswith("14"):
            return []
        return [need for need in self.needs(step) if self._manifest(need).get("state") == "not run"]

    def plan(self) -> dict[str, list[str]]:
        """Steps that have to run, with the reasons; those that depend on them come with the reason `perhaps`."""
        todo: dict[str, list[str]] = {}
        for step in self.steps:
            waits = [need for need in self.needs(step) if need in todo]
            reasons = self.outdated(step) or ([f"perhaps, after {', '.join(waits)}"] if waits else [])
            if reasons or not self._is_published(step.name):
                todo[step.name] = reasons or ["its files have to be put back"]
        return todo

    def _is_published(self, name: str) -> bool:
        """Whether the manifest, and the report's copy of the executed notebook, are there."""
        there = self.path("manifests", name).is_file()
        return there and self.executed(name).is_file() == self.published(name).is_file()

    def _manifest(self, name: str) -> dict[str, Any]:
        path = self.path("manifests", name)
        return read_json(path) if path.is_file() else {}

    def _pictures(self) -> str:
        """Hash of names, sizes and times of the image files, found again by the manifest of the table."""
        about = self.settings.run_folder / "data.json"
        root = self.settings.data.path or (read_json(about).get("root") if about.is_file() else None)
        return content_hash(listing(Path(root))) if root and Path(root).is_dir() else ""

    # ---- what a job writes ------------------------------------------------------------------------------------------
    def start(self, step: Chapter) -> None:
        """Say that a step is at work; what it made before no longer counts."""
        write_json(self.path("status", step.name), {"chapter": step.name, "state": "running", "seconds": None})

    def finish(self, step: Chapter, state: str, seconds: float, error: dict[str, Any] | None, ran: bool) -> None:
        """Write a step's state, and where it did not fail its manifest."""
        status = {"chapter": step.name, "state": state, "seconds": round(seconds, 1), "error": error, "ran": ran}
        if state in ("ok", "not run"):
            status |= {"made": self.made(step.name), "made_from": self.made_from(step)}
            status |= {"threads": os.environ.get("OMP_NUM_THREADS")}
        write_json(self.path("status", step.name), status)
        if not ran:
            self.executed(step.name).unlink(missing_ok=True)
        self.publish(step.name)
        if state in ("ok", "not run"):
            self.restore(step)

    def publish(self, name: str) -> None:
        """Put the executed notebook, if there is one, beside the report."""
        self.published(name).unlink(missing_ok=True)  # (Snakemake makes an empty one of a log that a job did not write)
        if self.executed(name).is_file():
            write_atomic(self.published(name), self.executed(name).read_bytes())

    def refresh_text(self, step: Chapter) -> None:
        """Give the executed notebook of a chapter that is up to date the text of its source, where that is newer."""
        source, kept = stamps.notebook_path(step.name), self.executed(step.name)
        if self.status(step.name).get("state") != "ok" or not source.is_file() or not kept.is_file():
            return
        if source.stat().st_mtime_ns > kept.stat().st_mtime_ns:
            notebook = stamps.with_text_of(read_json(source), read_json(kept))
            write_atomic(kept, json.dumps(notebook, indent=1, ensure_ascii=False) + "\n")
            self.publish(step.name)

    def restore(self, step: Chapter) -> None:
        """Put back what Snakemake removes before a job, for a step that is up to date."""
        status = self.status(step.name)
        self.publish(step.name)
        if status["state"] == "waiting":
            status |= status.pop("before")
            write_json(self.path("status", step.name), status)
        manifest = {"chapter": step.name, "state": status["state"], "made": status["made"]}
        write_json(self.path("manifests", step.name), manifest)

    def wait(self, step: Chapter, culprits: list[str]) -> None:
        """Say that a step was held up by others that failed; what it made before is kept, and counts again later."""
        message = f"Waits for {', '.join(culprits)}, which failed."
        status = {"chapter": step.name, "seconds": None} | self.status(step.name)
        before = status.get("before") or {"state": status.get("state"), "error": status.get("error")}
        error = {"heading": "", "cell": None, "name": "Waiting", "message": message, "hint": ""}
        write_json(self.path("status", step.name), status | {"state": "waiting", "error": error, "before": before})

    def forget(self, name: str) -> None:
        """Make a step run again."""
        self.path("status", name).unlink(missing_ok=True)
        self.path("manifests", name).unlink(missing_ok=True)


def listing(root: Path) -> list[tuple[str, int, int]]:
    """Path within a folder, size and time of every file in it, sorted."""
    found = []
    for folder, _, names in os.walk(root):
        for path in (os.path.join(folder, name) for name in names):  # noqa: PTH118 (ten times quicker than Path)
            with contextlib.suppress(FileNotFoundError):
                about = os.stat(path)  # noqa: PTH116
                found.append((path.removeprefix(str(root)), about.st_size, about.st_mtime_ns))
    return sorted(found)


def _lasting(value: Any) -> Any:
    """A record without what differs from one run to the next of the same thing: seconds and provenance."""
    if isinstance(value, dict):
        return {key: _lasting(item) for key, item in value.items() if key not in VOLATILE}
    return [_lasting(item) for item in value] if isinstance(value, list) else value
