"""The typed numbers of the original agree with themselves and with what is known about the data set."""

import ast
import functools
import os
import re
from collections import defaultdict
from pathlib import Path

import nbformat
import pandas as pd
import pytest

from lab_utils.core.records import PROJECT
from lab_utils.lab import REPORTED, REPORTED_ROW

FOLDER = PROJECT / "data" / "reported"
PRESENTED, CODE, OURS = "authors' earlier presentation", "authors' published code", "this lab's earlier trials"
KINDS = {"printed", "read from figure", PRESENTED, CODE, "computed", "cited", OURS}
TABLES = sorted(path.stem for path in FOLDER.glob("*.csv"))


def table(name: str) -> pd.DataFrame:
    return pd.read_csv(FOLDER / f"{name}.csv")


@pytest.fixture
def classes() -> pd.DataFrame:
    report = table("report")
    return report[report["row"] == "class"]


@pytest.mark.parametrize("name", TABLES)
def test_every_row_says_where_it_comes_from(name: str) -> None:
    rows = table(name)
    assert set(rows["kind"]) <= KINDS
    assert rows["source"].str.len().gt(5).all()


def test_readme_names_every_table() -> None:
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert [name for name in TABLES if f"`{name}`" not in text] == []


def test_report_has_29_classes_in_order_and_supports_add_up(classes: pd.DataFrame) -> None:
    assert len(classes) == 29
    assert list(classes["name"]) == sorted(classes["name"])
    assert classes["support"].sum() == 15657
    assert (classes["support"] == 700).sum() == 17


def test_averages_recomputed_from_the_rows_are_those_of_the_lab_facts(classes: pd.DataFrame) -> None:
    macro = classes[["precision", "recall", "f1"]].mean().round(3)
    weights = classes["support"] / classes["support"].sum()
    weighted = classes[["precision", "recall", "f1"]].mul(weights, axis=0).sum().round(3)
    assert list(macro) == pytest.approx([0.753, 0.792, 0.761])
    assert list(weighted) == pytest.approx([0.796, 0.778, 0.781])


def test_every_f1_follows_from_its_precision_and_recall(classes: pd.DataFrame) -> None:
    harmonic = 2 * classes["precision"] * classes["recall"] / (classes["precision"] + classes["recall"])
    assert (harmonic - classes["f1"]).abs().max() < 0.0125  # three roundings to two digits


def test_diagonal_agrees_with_the_recalls_of_the_rows(classes: pd.DataFrame) -> None:
    diagonal = table("numbers").set_index("id")["value"]["confusion_diagonal"]
    correct = (classes["recall"] * classes["support"]).sum()
    assert abs(correct - diagonal) < 0.005 * classes["support"].sum()
    assert diagonal / 15657 == pytest.approx(0.7779, abs=5e-5)


def test_confusions_fit_into_what_the_report_leaves(classes: pd.DataFrame) -> None:
    by_name = classes.set_index("name")
    for row in table("confusions").dropna(subset="count").itertuples():
        errors = by_name["support"][row.truth] * (1 - by_name["recall"][row.truth] + 0.005)
        assert row.count < errors
    first = table("confusions").iloc[0]
    assert first["count"] / by_name["support"][first["truth"]] == pytest.approx(0.27, abs=0.005)


def test_slide_and_earlier_presentation_give_the_networks_they_should() -> None:
    by_kind = table("scratch").groupby("kind")["network"].apply(list)
    assert by_kind["printed"] == ["1", "2", "3-4", "5-6", "8", "10", "11", "12", "13"]
    assert by_kind["authors' earlier presentation"] == [str(number) for number in range(1, 14)]


def test_printed_size_of_vgg16_is_its_first_dense_layer() -> None:
    vgg = table("models").set_index("model")["parameters"]["VGG16"]
    assert vgg == 7 * 7 * 512 * 4096 + 4096


def test_shares_are_shares_and_sizes_match() -> None:
    for name, columns in {
        "scratch": ["train", "val", "test"],
        "paper_r65k": ["fs", "vs"],
        "task_similarity": ["probability"],
        "classification": ["test"],
        "fine_tuning": ["val_printed", "val_end", "val_peak", "train_end"],
    }.items():
        assert table(name)[columns].stack().dropna().between(0, 1).all(), name
    assert len(table("paper_r65k")) == 7
    assert table("task_similarity").groupby("network").size().eq(5).all()
    assert (table("components")["components"] < table("components")["features"]).all()


def test_supports_equal_the_published_table(classes: pd.DataFrame) -> None:
    root = os.environ.get("MAME_ROOT")
    if not root:
        pytest.skip("MAME_ROOT is not set: no published metadata to compare with")
    rows = pd.read_csv(Path(root) / "MAMe_dataset.csv")
    counts = rows[rows["Subset"] == "test"]["Medium"].str.strip().value_counts()
    assert counts.to_dict() == classes.set_index("name")["support"].to_dict()
    floors = table("floors").set_index("floor")["low"]
    assert counts.max() / counts.sum() == pytest.approx(floors["best single class"], abs=5e-5)


# ---- references ------------------------------------------------------------------------------------------------------
ORIGINAL_LINKS = (  # as printed on the original's slides 35 and 36
    *("10.1007/s10489-021-02951-w", "10.1186/s40537-019-0197-0", "keras.io/examples/vision/grad_cam/"),
    *("10.1088/1742-6596/1004/1/012001", "10.1007/s00371-019-01641-6", "10.1109/tip.2017.2710631"),
    "10.1007/s42452-020-2378-z",
)


def cited(text: str) -> set[str]:
    """ArXiv numbers and DOIs in a text."""
    numbers = re.findall(r"(?i)arxiv(?:\.org/abs/|[ :]+)(\d{4}\.\d{4,5})", text)
    return set(numbers) | {doi.rstrip(".,;)") for doi in re.findall(r"\b10\.\d{4,5}/[^\s\"`\]>]+", text)}


def test_references_hold_the_seven_of_the_original_in_its_order() -> None:
    rows = table("references")
    links = rows.loc[rows["whose"] == "original", "url"]
    assert [url for url, link in zip(links, ORIGINAL_LINKS, strict=True) if not url.endswith(link)] == []


def test_whatever_a_notebook_or_a_docstring_cites_is_in_the_references() -> None:
    urls = " ".join(table("references")["url"])
    texts = {path.name: path.read_text(encoding="utf-8") for path in (PROJECT / "lab_utils").rglob("*.py")}
    for path in (PROJECT / "notebooks").glob("[0-9]*.ipynb"):
        texts[path.name] = "\n".join(cell.source for cell in nbformat.read(path, 4).cells)
    found = {name: cited(text) for name, text in texts.items()}
    assert sum(map(len, found.values())) > 15
    assert {(name, one) for name, ones in found.items() for one in ones if one not in urls} == set()


def test_references_are_unique_and_have_web_addresses() -> None:
    rows = table("references")
    assert rows["key"].is_unique and rows["url"].is_unique
    assert rows["url"].str.match(r"https://[^\s]+$").all()
    assert set(rows["whose"]) == {"original", "lab"}


# ---- tables that show reported numbers -------------------------------------------------------------------------------
CALLED_REPORTED = re.compile(rf"{REPORTED.pattern}|{REPORTED_ROW.pattern}")


def tabulate_calls(text: str, home: Path) -> list[tuple[str, set[str], str | None]]:
    """Every `tabulate` of a piece of code: where, texts that name its columns and rows, and the table it says."""
    if "tabulate(" not in text:
        return []
    tree = ast.parse(text)
    functions = {node.name: node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    modules = {
        alias.asname or alias.name: PROJECT / f"{node.module}.{alias.name}".replace(".", "/")
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    made: dict[str, list[ast.Assign]] = defaultdict(list)
    for node in ast.walk(tree):
        for target in node.targets if isinstance(node, ast.Assign) else ():
            for name in ast.walk(target):
                if isinstance(name, ast.Name):
                    made[name.id].append(node)
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and _called(node)[1] == "tabulate"]
    found = []
    for call in calls:
        words = {word.arg: word.value for word in call.keywords}
        names = set()
        for shown in _makers(call.args[0] if call.args else words["table"], made, modules):
            owner, name = _called(shown) if isinstance(shown, ast.Call) else ("", "")
            file = modules[owner].with_suffix(".py") if owner in modules else None
            there = (
                functions.get(name) if not owner else _functions(file).get(name) if file and file.is_file() else None
            )
            names |= _texts(shown) | (_texts(there) if there else set())
        table = words.get("reported")
        found.append((f"{home.name}: {ast.unparse(call)[:80]}", names, table.value if table else None))
    return found


def _called(call: ast.Call) -> tuple[str, str]:
    """Owner and name of what is called: `maps.table(...)` is `("maps", "table")`."""
    if isinstance(call.func, ast.Attribute):
        return ast.unparse(call.func.value), call.func.attr
    return "", getattr(call.func, "id", "")


def _makers(table: ast.expr, made: dict[str, list[ast.Assign]], modules: dict[str, Path]) -> list[ast.expr]:
    """The expressions that make a table: names, its columns, methods on it and `lab.record` lead back to them."""
    makers, waiting = [], [table]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Name):
            before = [other for other in made[node.id] if other.lineno < node.lineno]
            waiting += [max(before, key=lambda other: other.lineno).value] if before else []
        elif isinstance(node, ast.Subscript | ast.Attribute):
            waiting.append(node.value)
        elif isinstance(node, ast.Call) and _called(node)[1] == "record":
            waiting.append(node.args[1])
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and _called(node)[0] not in modules:
            waiting.append(node.func.value)
            makers.append(node)
        else:
            makers.append(node)
    return makers


@functools.cache
def _functions(path: Path) -> dict[str, ast.FunctionDef]:
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    return {node.name: node for node in nodes if isinstance(node, ast.FunctionDef)}


def _texts(code: ast.AST) -> set[str]:
    """All texts in a piece of code, what is filled into them as `x`; its docstring is none."""
    doc = code.body[0].value if isinstance(code, ast.FunctionDef) and isinstance(code.body[0], ast.Expr) else None
    texts = set()
    for node in ast.walk(code):
        if isinstance(node, ast.JoinedStr):
            texts.add("".join(part.value if isinstance(part, ast.Constant) else "x" for part in node.values))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node is not doc:
            texts.add(node.value)
    return texts


def unnamed(text: str, home: Path = Path("cell")) -> list[str]:
    """Tables with columns or rows called reported that don't say which table of `data/reported` they are from."""
    return [
        place
        for place, names, table in tabulate_calls(text, home)
        if table not in TABLES and (table is not None or any(map(CALLED_REPORTED.search, names)))
    ]


def test_a_table_with_reported_columns_says_which_reported_table_they_are_from() -> None:
    texts = {path: path.read_text(encoding="utf-8") for path in (PROJECT / "lab_utils").glob("*/*.py")}
    for path in (PROJECT / "notebooks").glob("[0-9]*.ipynb"):
        cells = nbformat.read(path, 4).cells
        texts[path] = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
    assert sum(len(tabulate_calls(text, path)) for path, text in texts.items()) > 40
    assert [place for path, text in texts.items() for place in unnamed(text, path)] == []


@pytest.mark.parametrize(
    "table",
    [
        "pd.DataFrame({'run': [1], 'reported val': [0.7]})",
        "task_similarity.answers_table(mediums, predictions, known)",  # its columns are named in a chapter's module
        "maps.components_table(sampled, there)",  # its rows are
    ],
)
def test_the_next_reported_column_without_its_table_is_seen(table: str) -> None:
    code = "from lab_utils.chapters import maps, task_similarity\nshown = lab.record('x', {})\nlab.tabulate(shown{})"
    assert len(unnamed(code.format(table, ", 'Caption.'"))) == 1
    assert unnamed(code.format(table, ", 'Caption.', reported='models'")) == []
    assert len(unnamed(code.format(table, ", 'Caption.', reported='model'"))) == 1
