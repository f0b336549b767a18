"""The atomic writer, hashes and plain values."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from lab_utils.core import records
from lab_utils.core.errors import LabError
from lab_utils.stats.intervals import Accuracy


def test_a_writer_that_fails_leaves_the_old_file_and_no_temporary_one(tmp_path):
    path = tmp_path / "a.json"
    records.write_json(path, {"x": 1})

    def fail(temporary: Path) -> None:
        temporary.write_text("half")
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError):
        records.write_atomic(path, fail)
    assert records.read_json(path) == {"x": 1}
    assert [item.name for item in tmp_path.iterdir()] == ["a.json"]


def test_an_unwritable_folder_gives_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(LabError, match="cannot be written"):
        records.write_atomic(tmp_path / "file" / "below.txt", "x")


def test_a_full_disk_gives_one_sentence(tmp_path):
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")

    def fill(_: Path) -> None:
        with open("/dev/full", "w") as handle:  # noqa: PTH123 - opens a device
            handle.write("x" * 10_000_000)

    with pytest.raises(LabError, match="free some space"):
        records.write_atomic(tmp_path / "a", fill)


def test_write_if_changed_touches_only_changed_files(tmp_path):
    path = tmp_path / "stamp"
    assert records.write_if_changed(path, "one")
    before = path.stat().st_mtime_ns
    assert not records.write_if_changed(path, "one")
    assert path.stat().st_mtime_ns == before
    assert records.write_if_changed(path, "two")


def test_plain_turns_everything_into_json_values():
    @dataclasses.dataclass
    class Thing:
        a: int
        b: np.ndarray

    value = records.plain({1: Thing(2, np.array([1.5, np.nan])), "s": {3, 1}, "p": Path("x"), "acc": Accuracy(1, 2)})
    assert value["1"] == {"a": 2, "b": [1.5, None]}
    assert value["s"] == [1, 3]
    assert value["p"] == "x"
    assert value["acc"]["n"] == 2


def test_content_hash_depends_on_content_not_on_order():
    assert records.content_hash({"a": 1, "b": [1, 2]}) == records.content_hash({"b": (1, 2), "a": 1})
    assert records.content_hash({"a": 1}) != records.content_hash({"a": 2})


def test_file_hash_is_sha256(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert records.file_hash(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_bad_json_and_missing_json_name_the_file(tmp_path):
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(LabError, match=r"a\.json is not readable JSON"):
        records.read_json(tmp_path / "a.json")
    with pytest.raises(LabError, match=r"b\.json is missing"):
        records.read_json(tmp_path / "b.json")


def test_tables_and_series_become_plain_values():
    import pandas as pd

    table = pd.DataFrame({"n": [1, 2], "share": [0.5, float("nan")]}, index=["a", "b"])
    assert records.plain(table) == {"index": ["a", "b"], "columns": ["n", "share"], "data": [[1, 0.5], [2, None]]}
    assert records.plain(table["n"]) == {"a": 1, "b": 2}
