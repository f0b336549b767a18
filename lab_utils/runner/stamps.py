"""What a chapter depends on, by content: its code cells, the modules they import, reported numbers, settings."""

import ast
import functools
import json
from pathlib import Path
from typing import Any

from lab_utils.core.chapters import CHAPTERS, Chapter
from lab_utils.core.profiles import Settings
from lab_utils.core.records import PROJECT, content_hash, file_hash

DATA = Chapter("data", (), ("data",), device=False)


def notebook_path(name: str) -> Path:
    """The chapter's notebook, stored without outputs."""
    return PROJECT / "notebooks" / f"{name}.ipynb"


def steps() -> list[Chapter]:
    """The data and every chapter whose notebook is there, in an order in which they can run."""
    return [DATA] + [one for one in CHAPTERS if notebook_path(one.name).is_file()]


def code_cells(notebook: Path) -> list[str]:
    """Sources of the notebook's code cells, but for the parameters (papermill sets those)."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    return ["".join(cell["source"]) for cell in code if "parameters" not in cell["metadata"].get("tags", ())]


def with_text_of(source: dict[str, Any], executed: dict[str, Any]) -> dict[str, Any]:
    """An executed notebook with the text cells of its source, which may have been edited since: text runs nothing."""
    code = {cell.get("id"): cell for cell in executed["cells"] if cell["cell_type"] == "code"}
    injected = [cell for cell in code.values() if "injected-parameters" in cell["metadata"].get("tags", ())]
    cells = []
    for cell in source["cells"]:
        cells.append(code.get(cell.get("id"), cell) if cell["cell_type"] == "code" else cell)
        cells += injected if "parameters" in cell["metadata"].get("tags", ()) else []
    return {**executed, "cells": cells}


def imported(source: str) -> set[str]:
    """Names of the `lab_utils` modules that a piece of Python imports, at any depth (in functions too)."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {name.removeprefix("lab_utils.") for name in found if name.startswith("lab_utils.")}


def modules_of(sources: list[str], folder: Path) -> dict[str, str]:
    """Hash of each module in `folder` that the sources reach by imports, directly or through others."""
    found: dict[str, str] = {}
    waiting = set().union(*(imported(source) for source in sources)) if sources else set()
    while waiting:
        name = waiting.pop()
        path = folder / f"{name.replace('.', '/')}.py"
        if name not in found and path.is_file():
            found[name], onward = _module(path, path.stat().st_mtime_ns)
            waiting |= onward
    return dict(sorted(found.items()))


@functools.cache
def _module(path: Path, _changed: int) -> tuple[str, set[str]]:
    """A module's hash and what it imports; comments and layout do not count."""
    source = path.read_text(encoding="utf-8")
    return content_hash(ast.dump(ast.parse(source))), imported(source)


def stamp(step: Chapter, settings: Settings) -> dict[str, Any]:
    """All that a step depends on, but for what earlier steps made.

    Returns:
        `{"code cells": hash, "modules": {name: hash}, "tables": {file: hash}, "settings": {section: hash}}`.
    """
    if step is DATA:
        cells = ["from lab_utils.data import image_table"]
    else:
        cells = [_without_magics(cell) for cell in code_cells(notebook_path(step.name))]
    tables = [
        *(PROJECT / "data" / "reported").glob("*.csv"),
        *(PROJECT / "lab_utils").rglob("*.csv"),
        *(PROJECT / "lab_utils").rglob("*.js"),
    ]
    return {
        "code cells": content_hash(cells),
        "modules": modules_of(cells, PROJECT / "lab_utils"),
        "tables": {path.name: file_hash(path, 16) for path in sorted(tables)},
        "settings": {name: content_hash(getattr(settings, name, None)) for name in step.settings},
    }


def _without_magics(cell: str) -> str:
    """A cell's Python; a cell that is none (the notebook will say so when it runs) keeps only its import lines."""
    lines = [line for line in cell.splitlines() if not line.lstrip().startswith(("%", "!"))]
    try:
        ast.parse("\n".join(lines))
    except SyntaxError:
        lines = [f"'''{content_hash(cell)}'''"]
    return "\n".join(lines)


def differences(now: dict[str, Any], then: dict[str, Any]) -> list[str]:
    """What differs between two stamps, in words (`module training`, `settings scratch`)."""
    words = []
    for part, value in now.items():
        before = then.get(part)
        if not isinstance(value, dict):
            words += [part] if value != before else []
            continue
        before = before or {}
        words += [f"{part} {key}" for key in sorted({*value, *before}) if value.get(key) != before.get(key)]
    return words
