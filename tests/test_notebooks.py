"""The form of every notebook: small cells, one parameter, no outputs, two exercises at the end."""

import ast

import nbformat
import pytest

from lab_utils import solutions
from lab_utils.core.records import PROJECT

NOTEBOOKS = sorted((PROJECT / "notebooks").glob("*.ipynb"))


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def notebook(request):
    return nbformat.read(request.param, as_version=4)


def code(notebook) -> list:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_sixteen_notebooks_are_numbered_without_a_gap():
    assert [path.stem[:2] for path in NOTEBOOKS] == [f"{number:02d}" for number in range(16)]


def lines(cell) -> int:
    """Lines of code of a cell: no imports, no comments, no blank lines."""
    imports = [node for node in ast.parse(cell.source).body if isinstance(node, ast.Import | ast.ImportFrom)]
    imported = {number for node in imports for number in range(node.lineno, node.end_lineno + 1)}
    kept = [line.strip() for number, line in enumerate(cell.source.splitlines(), 1) if number not in imported]
    return sum(bool(line) and not line.startswith("#") for line in kept)


def test_at_most_45_cells_and_20_lines_of_code_each_and_four_in_five_have_8_at_most(notebook):
    assert len(notebook.cells) <= 45
    assert not [cell.source for cell in code(notebook) if lines(cell) > 20]
    short = [lines(cell) <= 8 for cell in code(notebook)]
    assert sum(short) >= 0.8 * len(short)


def test_stored_without_outputs(notebook):
    nbformat.validate(notebook)
    assert not any(cell.outputs or cell.execution_count for cell in code(notebook))


def test_the_run_is_the_only_parameter(notebook):
    tagged = [cell for cell in code(notebook) if "parameters" in cell.metadata.get("tags", ())]
    assert [cell.source for cell in tagged] == ['RUN = "sample"']


def test_it_begins_with_its_number_and_ends_with_two_exercises_whose_solutions_stand_elsewhere(notebook, request):
    number = request.node.callspec.params["notebook"].stem[:2]
    assert notebook.cells[0].source.startswith(f"# {int(number)} ")
    asked = [cell.source for cell in code(notebook) if "exercises.check(" in cell.source]
    assert len(asked) == 2 and all("answer = ...\n" in source for source in asked)
    for place, source in enumerate(asked, 1):
        assert source.endswith(f'exercises.check("{number}.{place}", answer)')
        assert f"{number}.{place}" in solutions.SOLUTIONS


def test_a_solution_asks_only_for_what_its_notebook_defines(notebook, request):
    number, names = request.node.callspec.params["notebook"].stem[:2], set()
    for node in (node for cell in code(notebook) for node in ast.walk(ast.parse(cell.source))):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.FunctionDef):
            names.add(node.name)
    for place in (1, 2):
        assert {*solutions.SOLUTIONS[f"{number}.{place}"].names} <= names
