"""What notebooks define, for tests of it."""

import ast
import json
from collections.abc import Callable
from typing import Any

from lab_utils.core.records import PROJECT


def code_cells(name: str) -> list[str]:
    """Sources of a notebook's code cells."""
    notebook = json.loads((PROJECT / "notebooks" / f"{name}.ipynb").read_text())
    return ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]


def cell_of(name: str, function: str) -> str:
    """The cell of a notebook that defines a function."""
    (cell,) = [cell for cell in code_cells(name) if f"def {function}(" in cell]
    return cell


def function_of(name: str, function: str, **names: Any) -> Callable[..., Any]:
    """A function of a notebook, as it is there; `names` stand for what the cells before it define.

    Only the notebook's imports and the function itself are run.
    """
    imports = [
        statement
        for cell in code_cells(name)
        for statement in ast.parse(cell).body
        if isinstance(statement, ast.Import | ast.ImportFrom)
    ]
    body = ast.parse(cell_of(name, function)).body
    wanted = [part for part in body if isinstance(part, ast.FunctionDef) and part.name == function]
    space = dict(names)
    exec(compile(ast.Module([*imports, *wanted], []), f"{name}.{function}", "exec"), space)
    return space[function]
