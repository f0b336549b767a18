"""The yardstick: what changed between two runs."""

import importlib.util
import json

import pytest

from lab_utils.core.records import PROJECT

spec = importlib.util.spec_from_file_location("compare_runs", PROJECT / "scripts" / "compare_runs.py")
compare_runs = importlib.util.module_from_spec(spec)
spec.loader.exec_module(compare_runs)


def write(folder, *records):
    (folder / "results").mkdir(parents=True)
    content = {"chapter": "01_a", "provenance": {"seconds": len(folder.name)}, "records": list(records)}
    (folder / "results" / "01_a.json").write_text(json.dumps(content))
    return folder


@pytest.fixture
def old(tmp_path):
    return write(
        tmp_path / "old",
        {"id": "accuracy", "value": {"value": 0.5, "n": 10}, "seconds": 3},
        {"id": "curve", "value": [1, 2, 3]},
    )


def test_two_runs_of_one_state_differ_in_nothing_but_seconds(old, tmp_path, capsys):
    new = write(
        tmp_path / "newer",
        {"id": "accuracy", "value": {"value": 0.5 + 1e-12, "n": 10}, "seconds": 4},
        {"id": "curve", "value": [1, 2, 3]},
    )
    assert compare_runs.main([str(old), str(new)]) == 0
    assert capsys.readouterr().out == "Nothing differs.\n"


def test_each_changed_new_and_lost_record_is_named_with_its_place(old, tmp_path, capsys):
    new = write(
        tmp_path / "new",
        {"id": "accuracy", "value": {"value": 0.6, "n": 10}},
        {"id": "test read", "value": True},
    )
    assert compare_runs.main([str(old), str(new)]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "01_a  accuracy  value.value: 0.5 -> 0.6",
        "01_a  curve  is gone",
        "01_a  test read  is new",
    ]


def test_a_folder_without_results_is_an_error(old, tmp_path, capsys):
    assert compare_runs.main([str(old), str(tmp_path)]) == 2
    assert "has no results" in capsys.readouterr().err
