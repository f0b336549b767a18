"""What is recorded while something runs, and what counts as a change of it afterwards."""

import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from lab_utils.core import profiles, records, usage
from lab_utils.core.errors import LabError

MODULES = {
    "core/tools": '"""Tools."""\n\nLIMIT = 1\n',
    "data/pipeline": '"""Pictures."""\nfrom lab_utils.core import tools\n\n\ndef decode():\n    return tools.LIMIT\n',
    "training/fit": "from typing import TYPE_CHECKING\n\n"
    "if TYPE_CHECKING:\n    from lab_utils.display import plots\n\n\n"
    "def fit():\n    from lab_utils.data.pipeline import decode\n    return decode()\n",
    "display/plots": "from lab_utils.training import fit\n\nCOLOUR = 'blue'\n",
}


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project of four modules in rooms, a reported table and a template."""
    for module in (usage, profiles, records):
        monkeypatch.setattr(module, "PROJECT", tmp_path)
    files = {f"lab_utils/{name}.py": text for name, text in MODULES.items()}
    files |= {"data/reported/numbers.csv": "a,b\n1,2\n", "lab_utils/report/page.html": "<p>", "data/cache/x.json": "{}"}
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.fixture
def settings():
    return profiles.validate({"name": "tiny", "profile": "tiny"}, "here")


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


# ---- files -----------------------------------------------------------------------------------------------------------
def test_files_of_the_project_are_recorded_however_they_are_opened_and_caches_are_not(project):
    import pandas as pd

    with usage.recording() as used:
        pd.read_csv(project / "data" / "reported" / "numbers.csv")
        (project / "lab_utils" / "report" / "page.html").read_text()
        (project / "data" / "cache" / "x.json").read_text()
        (project / "data" / "reported" / "new.csv").write_text("a\n")
        with pytest.raises(FileNotFoundError):
            (project / "data" / "reported" / "none.csv").read_text()
    names = ["data/reported/none.csv", "data/reported/numbers.csv", "lab_utils/report/page.html"]
    assert sorted(used) == [f"file {name}" for name in names]
    assert not usage.changed(used)
    (project / "data" / "reported" / "none.csv").write_text("now it is there")
    edit(project / "lab_utils" / "report" / "page.html", "p", "b")
    assert usage.changed(used) == ["file lab_utils/report/page.html", "file data/reported/none.csv"]


def test_links_to_the_project_and_in_it_hide_nothing(project, tmp_path_factory, monkeypatch):
    def read(path):
        with usage.recording() as used:
            Path(path).read_text()
        return list(used)

    elsewhere, table = tmp_path_factory.mktemp("elsewhere"), "data/reported/numbers.csv"
    (elsewhere / "project").symlink_to(project)
    assert read(elsewhere / "project" / table) == [f"file {table}"]
    (project / "data").rename(elsewhere / "data")
    (project / "data").symlink_to(elsewhere / "data")
    assert read(project / table) == [f"file {table}"]
    (project / "notebooks").mkdir()
    monkeypatch.chdir(project / "notebooks")
    assert read("../lab_utils/report/page.html") == ["file lab_utils/report/page.html"]


def test_threads_count_and_what_is_read_outside_the_block_does_not(project):
    table = project / "data" / "reported" / "numbers.csv"
    with usage.recording() as used:
        thread = threading.Thread(target=table.read_text)
        thread.start()
        thread.join()
    assert list(used) == ["file data/reported/numbers.csv"]
    with usage.recording() as nothing:
        pass
    table.read_text()
    assert not nothing


def test_a_file_that_changes_after_it_was_read_counts_as_changed(project):
    table = project / "data" / "reported" / "numbers.csv"
    with usage.recording() as used:
        table.read_text()
        table.write_text("other\n")
        table.read_text()
    assert usage.changed(used) == ["file data/reported/numbers.csv"]


def test_results_count_without_seconds_and_provenance_and_settings_by_their_section(project, settings):
    path = settings.report_folder / "results" / "00_dataset.json"
    result = {"provenance": {"seconds": 1}, "records": [{"id": "a", "value": 1, "seconds": 2}]}
    records.write_json(path, result)
    with usage.recording() as used:
        records.read_json(path)
        assert settings.scratch.size
    used = usage.complete(used, settings)
    assert sorted(used) == ["results of 00_dataset", "settings scratch"]
    records.write_json(path, {"provenance": {"seconds": 9}, "records": [{"id": "a", "value": 1, "seconds": 3}]})
    other = settings.model_copy(update={"features": profiles.Features(size=100)})
    assert not usage.changed(used, other)
    records.write_json(path, {"records": [{"id": "a", "value": 2}]})
    mine = settings.model_copy(update={"scratch": profiles.Scratch(size=100)})
    assert usage.changed(used, mine) == ["results of 00_dataset", "settings scratch"]


# ---- code ------------------------------------------------------------------------------------------------------------
def test_comments_layout_and_docstrings_are_no_code(project):
    used = usage.modules_of("data.pipeline", loaded=False)
    path = project / "lab_utils" / "data" / "pipeline.py"
    edit(path, "Pictures.", "Pictures of all kinds.")
    edit(path, "return tools.LIMIT", '"""Decode."""\n    return (tools.LIMIT)  # one')
    assert not usage.changed(used)
    edit(path, "tools.LIMIT", "tools.LIMIT + 1")
    assert usage.changed(used) == ["module data.pipeline"]
    path.unlink()
    assert usage.changed(used) == ["module data.pipeline"]


def test_modules_that_import_statements_lead_to_but_not_for_type_checkers(project, monkeypatch):
    everything = usage.modules_of("lab_utils.training.fit", loaded=False)
    assert list(everything) == ["module core.tools", "module data.pipeline", "module training.fit"]
    monkeypatch.setitem(sys.modules, "lab_utils.data.pipeline", None)
    assert list(usage.modules_of("training.fit")) == ["module data.pipeline", "module training.fit"]
    with pytest.raises(LabError, match=r"no module lab_utils\.training\.fitt"):
        usage.modules_of("training.fitt")


def test_the_code_of_an_artefact_is_its_modules_but_for_the_room_that_computes_nothing(project):
    before = usage.code_hash("training.fit")
    edit(project / "lab_utils" / "core" / "tools.py", "1", "2")
    edit(project / "lab_utils" / "display" / "plots.py", "blue", "red")
    assert usage.code_hash("training.fit") == before
    edit(project / "lab_utils" / "data" / "pipeline.py", "LIMIT", "LIMIT + 1")
    assert usage.code_hash("training.fit") != before


def test_imports_of_every_form_are_found():
    import ast

    source = "import lab_utils.a, numpy\nfrom lab_utils import b, c as d\n\ndef f():\n    from lab_utils.e import g"
    assert usage.imported(ast.parse(source)) == {"a", "b", "c", "e", "e.g"}


# ---- another process -------------------------------------------------------------------------------------------------
def test_a_watched_process_tells_what_it_used_though_it_is_killed(tmp_path):
    code = (
        "import os, sys\nfrom lab_utils.core import usage\nusage.watch(sys.argv[1])\n"
        "from lab_utils.core import records\nfrom lab_utils.data import taxonomy\n"
        "records.reported('mame_counts')\nos.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "journal")], check=False)
    used = usage.read_journal(tmp_path / "journal")
    assert {"module core.usage", "module core.records", "module data.taxonomy", "module data"} <= set(used)
    assert "file data/reported/mame_counts.csv" in used
    assert not any("pipeline" in name or "display" in name for name in used)
    assert not usage.changed(used)
    (tmp_path / "cut").write_text(json.dumps(["module a", "1"]) + "\n" + '["module b", ')
    assert usage.read_journal(tmp_path / "cut") == {"module a": "1"}
    assert usage.read_journal(tmp_path / "none") == {}
