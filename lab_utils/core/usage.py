"""What a piece of work really used, recorded while it runs: modules of the lab, files of the project, settings.

A record of use is flat, `{name: what it was}`:

    module training.features      hashes of its text and of its code (comments, layout and docstrings are no code)
    file data/reported/x.csv      hash of its bytes, "" where it was looked for and missing
    results of 00_dataset         hash of a chapter's records without seconds and provenance (`data`: the image table)
    settings scratch              hash of a section of the run's settings
    presence of data/weights/x    whether it is there

Nobody has to remember to record: files are seen by an audit hook on `open`, modules by the import system
(`watch`, in a notebook's kernel) or by import statements of modules that are loaded (`modules_of`), settings by
`profiles.Settings`, stored artefacts by `store.Artefact`. `changed` then tells what is another now than it was.
"""

import ast
import contextlib
import functools
import json
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab_utils.core.errors import LabError
from lab_utils.core.records import PROJECT, content_hash, file_hash

if TYPE_CHECKING:
    from lab_utils.core.profiles import Settings

Used = dict[str, str]

ROOT = "lab_utils"
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
TEXTS = (".csv", ".json", ".yaml", ".yml", ".txt")
VOLATILE = ("seconds", "provenance")  # differ from one run to the next of the same thing
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
_active: list[Used] = []
_hooked: list[str] = []  # what was installed in this process: an audit hook stays for good
_inside = threading.local()


# ---- recording -------------------------------------------------------------------------------------------------------
@contextlib.contextmanager
def recording() -> Iterator[Used]:
    """Record files, results, settings and artefacts that are used while the block runs, in all threads.

    Yields:
        The record, which grows; blocks may lie in each other, and the outer one records all.
    """
    used: Used = {}
    _hook()
    _active.append(used)
    try:
        yield used
    finally:
        _active[:] = [other for other in _active if other is not used]


def note(name: str, value: str = "") -> None:
    """Record a use; of several, the first value stands: what was changed in between counts as changed afterwards."""
    for used in _active:
        used.setdefault(name, value)


def there(path: Path) -> bool:
    """Whether something is at a path; that it was looked for counts as a use (of weights that come later, say)."""
    place = path.relative_to(PROJECT) if path.is_relative_to(PROJECT) else path
    note(f"presence of {place}", "yes" if path.exists() else "")
    return path.exists()


def watch(journal: Path | str) -> None:
    """Record all that this process uses from now on, every module of the lab included, for another one to read.

    Args:
        journal: a file that gets a line for each thing used, at once, so that it is there however the process ends.
    """
    _hook()
    _active.append(_Journal(Path(journal)))
    sys.meta_path.insert(0, _Imports())
    for name in [*sys.modules]:
        _note_module(name)


def watched() -> bool:
    """Whether this process was asked to record all that it uses: a chapter is run headlessly, not by a student."""
    return any(isinstance(used, _Journal) for used in _active)


def read_journal(journal: Path) -> Used:
    """The record of a process that `watch`ed; empty where it never began."""
    lines = journal.read_text(encoding="utf-8").splitlines() if journal.is_file() else []
    return dict(json.loads(line) for line in lines if line.endswith("]"))


class _Journal(dict):
    """A record that is also written down, line by line."""

    def __init__(self, path: Path):
        super().__init__()
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)

    def setdefault(self, name: str, value: str = "") -> str:
        """Record a use, in the file too."""
        if name not in self:
            self[name] = value
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps([name, value]) + "\n")
        return self[name]


class _Imports:
    """Sees every module of the lab that is about to be imported, and leaves the finding to others."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        """Record a module; None: the next finder is asked."""
        _note_module(name)


def _note_module(name: str) -> None:
    if name.startswith(f"{ROOT}.") and source_path(name):
        note(f"module {_short(name)}", module_value(name))


def _hook() -> None:
    if not _hooked:
        _hooked.append("open")
        sys.addaudithook(_opened)


def _opened(event: str, args: tuple[Any, ...]) -> None:
    """Record a file of the project that is opened for reading."""
    if event != "open" or not _active or getattr(_inside, "hook", False) or (args[2] or 0) & WRITING:
        return
    if not isinstance(args[0], (str, bytes)) or os.fsdecode(args[0]).endswith((".py", ".pyc")):
        return
    _inside.hook = True
    try:
        path = Path(os.fsdecode(args[0])).absolute()
        name = file_name(path) or file_name(path.resolve())  # the project, or its folder `data`, may lie behind a link
        if name and any(name not in used for used in _active):
            note(name, file_value(name, path))
    finally:
        _inside.hook = False


def file_name(path: Path) -> str:
    """What reading a file counts as (`file …` or `results of …`); "" where it doesn't count.

    Code is seen as modules, caches and pictures by other keys, settings by their sections.
    """
    if not path.is_relative_to(PROJECT) or path.name.startswith("."):  # (so are files named that are being written)
        return ""
    *folders, file = path.relative_to(PROJECT).parts
    match folders:
        case ["report", _, "results"]:
            return f"results of {path.stem}"
        case ["data", "runs", _] if file in ("data.json", "images.csv"):
            return "results of data"
        case ["lab_utils", *_]:
            counts = path.suffix not in (".py", ".pyc")
        case ["report", _, "notebooks"] | ["notebooks"] | ["data", "runs", _, "status"]:
            counts = True
        case ["data", "runs" | "cache", *_]:
            counts = False
        case ["data", *_]:
            counts = path.suffix in TEXTS
        case _:
            counts = False
    return f"file {'/'.join([*folders, file])}" if counts else ""


# ---- what it is now --------------------------------------------------------------------------------------------------
def changed(used: Used, settings: "Settings | None" = None) -> list[str]:
    """Names of what is another now than it was when it was used.

    Args:
        used: a record of use.
        settings: of the run that its settings and results belong to; None: it names none.
    """
    return [name for name, before in used.items() if not _same(name, before, settings)]


def complete(used: Used, settings: "Settings") -> Used:
    """A record with the hashes of the sections of settings that it names."""
    known = {name: current(name, settings) for name in used if name.startswith("settings ")}
    return dict(sorted((used | known).items()))


def current(name: str, settings: "Settings | None" = None) -> str:
    """What a recorded thing is now; "" where it is gone."""
    kind, _, rest = name.partition(" ")
    if kind == "module":
        return module_value(rest)
    if kind == "presence":
        return "yes" if (PROJECT / rest.removeprefix("of ")).exists() else ""
    if kind == "settings":
        return content_hash(getattr(settings, rest, None))
    if kind == "file":
        return file_value(name, PROJECT / rest)
    return file_value(name, results_path(settings, rest.removeprefix("of ")))


def results_path(settings: "Settings", step: str) -> Path:
    """Where a chapter keeps its records; of `data`, the manifest of the image table."""
    return settings.run_folder / "data.json" if step == "data" else settings.report_folder / "results" / f"{step}.json"


def file_value(name: str, path: Path) -> str:
    """Hash of a file's bytes, or of lasting results; "" where it is missing or unreadable."""
    try:
        if name == "results of data":
            path = path.with_name("data.json")  # which holds the hash of the table beside it
        if name.startswith("results of "):
            return content_hash(json.dumps(lasting(json.loads(path.read_bytes())), sort_keys=True).encode())
        return file_hash(path, 16)
    except (OSError, ValueError):
        return ""


def lasting(value: Any) -> Any:
    """A record without what differs from one run to the next of the same thing: seconds and provenance."""
    if isinstance(value, dict):
        return {key: lasting(item) for key, item in value.items() if key not in VOLATILE}
    return [lasting(item) for item in value] if isinstance(value, list) else value


def _same(name: str, before: str, settings: "Settings | None") -> bool:
    if name.startswith("module ") and (path := source_path(name.partition(" ")[2])):
        source = path.read_bytes()  # reading code is quick, parsing it isn't
        return before.split()[:1] == [_text(source)] or before.split()[1:] == [_parsed(source)[0]]
    return current(name, settings) == before


# ---- code ------------------------------------------------------------------------------------------------------------
def modules_of(*names: str, loaded: bool = True) -> Used:
    """Modules that some modules consist of: what their import statements lead to, as far as it is loaded.

    Statements in functions count, those under TYPE_CHECKING don't. As imports only go up the rooms, what a training
    module consists of has no module of `display` or `chapters`, though a notebook has loaded those.

    Args:
        names: `lab_utils.training.features` or `training.features`, which count themselves.
        loaded: leave out what this process has not loaded; False for work that has processes of its own.

    Raises:
        LabError: there is no such module.
    """
    wanted = {_short(name) for name in names}
    if missing := sorted(name for name in wanted if not source_path(name)):
        raise LabError(f"There is no module lab_utils.{missing[0]}: correct the name in the code that asks for it.")
    used, waiting = {}, [*wanted]
    while waiting:
        name = waiting.pop()
        path = source_path(name)
        is_there = name in wanted or not loaded or f"{ROOT}.{name}" in sys.modules
        if path and is_there and f"module {name}" not in used:
            used[f"module {name}"] = module_value(name)
            waiting += _parsed(path.read_bytes())[1]
    return dict(sorted(used.items()))


def code_hash(*names: str) -> str:
    """One hash of all code that some modules consist of, loaded or not, but for the room `core`: a part of a key.

    Who asks for it depends on that code: it counts as used.
    """
    used = makers(modules_of(*names, loaded=False))
    for name, value in used.items():
        note(name, value)
    return content_hash({name: value.split()[1] for name, value in used.items()})


def makers(used: Used) -> Used:
    """The part of a record that an artefact depends on beside its key: code and files.

    The room `core` (errors, records, locks, …) is left out: it keeps values and computes none.
    """
    return {
        name: value
        for name, value in used.items()
        if name.startswith(("module ", "file ")) and not name.startswith("module core")
    }


def source_path(name: str) -> Path | None:
    """File of a module of the lab, None where there is none."""
    place = PROJECT / ROOT / _short(name).replace(".", "/")
    return next((path for path in (place.with_suffix(".py"), place / "__init__.py") if path.is_file()), None)


def module_value(name: str) -> str:
    """Two hashes of a module, of its text and of its code; "" where it is gone."""
    path = source_path(name)
    if path is None:
        return ""
    source = path.read_bytes()
    return f"{_text(source)} {_parsed(source)[0]}"


def _short(name: str) -> str:
    return name.removeprefix(f"{ROOT}.")


def _text(source: bytes) -> str:
    return content_hash(source)


@functools.lru_cache(maxsize=512)
def _parsed(source: bytes) -> tuple[str, tuple[str, ...]]:
    """Hash of a module's code, and names of the modules that it imports; a file that is no Python has only a hash."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return content_hash(source), ()
    modules = tuple(sorted(imported(tree)))
    for node in ast.walk(tree):
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:]
    return content_hash(ast.dump(tree)), modules


def imported(tree: ast.AST) -> set[str]:
    """Names of modules of the lab that a piece of code imports, at any depth; what only type checkers read is no use.

    `from lab_utils.data import mame` may name a module or something in one: both are given.
    """
    names: set[str] = set()
    for node in _running(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {_short(name) for name in names if name.startswith(f"{ROOT}.")}


def _running(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes below one, but for blocks under TYPE_CHECKING."""
    for node in ast.iter_child_nodes(tree):
        if not (isinstance(node, ast.If) and ast.dump(node.test).count("'TYPE_CHECKING'")):
            yield node
            yield from _running(node)
