"""The rooms of `lab_utils` and the one direction in which they may import each other."""

import ast

import pytest

from lab_utils.core.records import PROJECT

PACKAGE = PROJECT / "lab_utils"
ROOMS = ("core", "stats", "data", "sample", "networks", "training", "analysis", "claims", "display")
DOORS = (
    "lab",
    "solutions",
    "exercises",
    "predict",
)  # the notebook's face, a command line: they may use all rooms above
BELOW = ("chapters", "report", "runner")
ORDER = (*ROOMS, *DOORS, *BELOW)


def imports(tree: ast.AST) -> set[str]:
    """Modules of the lab that a piece of code imports, in functions too, but not what only type checkers read."""
    names: set[str] = set()
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        names |= imports(node)
    return {name for name in names if name.startswith("lab_utils")}


def room(module: str) -> str:
    """`lab_utils.core.errors.LabError` → `core`."""
    return module.split(".")[1]


def test_every_module_has_a_room():
    there = {path.stem for path in PACKAGE.glob("*.py")} | {path.parent.name for path in PACKAGE.glob("*/*.py")}
    assert there - {"__init__"} == set(ORDER)


@pytest.mark.parametrize("name", ORDER)
def test_a_room_uses_only_rooms_above_it(name):
    files = [PACKAGE / f"{name}.py"] if name in DOORS else sorted((PACKAGE / name).glob("*.py"))
    beside = {name, "lab", *(["solutions"] if name == "exercises" else [])}
    allowed = {*ORDER[: ORDER.index(name) + 1]} - ({*DOORS} - beside if name in DOORS else {"predict", "solutions"})
    wrong = [
        f"{path.relative_to(PACKAGE)} imports {module}"
        for path in files
        for module in sorted(imports(ast.parse(path.read_text(encoding="utf-8"))))
        if room(module) not in allowed
    ]
    assert not wrong
