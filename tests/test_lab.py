"""What a chapter sees of the test labels: nothing outside a logged block."""

import re
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from lab_utils.core import records
from lab_utils.core.errors import LabError
from lab_utils.data import image_table
from lab_utils.lab import Lab


@pytest.fixture
def lab(tmp_path, monkeypatch) -> Lab:
    """Six images, two of them of test, in a run whose records go to a folder of the test's own."""
    rows = pd.DataFrame({"label": [0, 1, 0, 1, 1, 0], "subset": ["train", "train", "val", "val", "test", "test"]})
    table = SimpleNamespace(rows=rows.assign(has_image=True), classes=["a", "b"], data_hash="six")
    monkeypatch.setattr(image_table, "open_table", lambda settings: table)
    return Lab(SimpleNamespace(name="six", report_folder=tmp_path), "01_baseline")


def reads(lab: Lab) -> list[dict]:
    return [one for one in records.read_json(lab.records_path)["records"] if one["kind"] == "test read"]


def test_test_labels_outside_a_read_are_an_error(lab: Lab) -> None:
    assert lab.labels("train", "val").tolist() == [0, 1, 0, 1]
    for splits in (("test",), ("val", "test")):
        with pytest.raises(LabError, match="asked for test labels before a choice was recorded"):
            lab.labels(*splits)


def test_test_labels_are_given_within_a_read_which_is_logged(lab: Lab) -> None:
    with lab.read_test("#10 from scratch", "best epoch on val"):
        assert lab.labels("test").tolist() == [1, 0]
    with pytest.raises(LabError, match="before a choice"):
        lab.labels("test")
    (logged,) = reads(lab)
    assert (logged["models"], logged["choice"], logged["value"]) == (["#10 from scratch"], "best epoch on val", 2)


def test_an_error_within_a_read_closes_the_labels_again(lab: Lab) -> None:
    with pytest.raises(ZeroDivisionError), lab.read_test("net", "fixed"):
        1 / 0  # noqa: B018
    with pytest.raises(LabError, match="before a choice"):
        lab.labels("test")


def test_a_second_read_of_a_model_is_an_error_also_among_others(lab: Lab) -> None:
    with lab.read_test(["net", "other"], "fixed"):
        pass
    with pytest.raises(LabError, match="already read for net"), lab.read_test(["third", "net"], "fixed"):
        pytest.fail("the block must not open")
    assert not lab._test_open and len(reads(lab)) == 1


def test_a_further_look_at_the_same_answers_says_what_for_and_is_logged(lab: Lab) -> None:
    with lab.read_test("net", "fixed"):
        pass
    with lab.read_test("net", "fixed", further="images without a sibling in train"):
        assert lab.labels("test").tolist() == [1, 0]
    assert [one["further"] for one in reads(lab)] == ["", "images without a sibling in train"]


def test_the_image_table_of_a_chapter_hides_the_labels_of_test(lab: Lab) -> None:
    assert lab.images["label"].tolist() == [0, 1, 0, 1, -1, -1]
    assert np.array_equal(lab.all_rows["label"], [0, 1, 0, 1, 1, 0])


def test_labels_of_what_is_shown_are_kept_for_the_rubric(lab: Lab, monkeypatch) -> None:
    monkeypatch.setattr(lab, "_display", lambda *_, **__: None)
    lab.tabulate(pd.DataFrame({"a": [1]}), "A table.", label="counts")
    lab.tabulate(pd.DataFrame({"a": [1]}), "A table without a label.")
    assert [one["value"] for one in records.read_json(lab.records_path)["records"]] == ["counts"]


def test_only_chapter_00_works_on_the_table_that_holds_test_labels() -> None:
    places = [*(records.PROJECT / "notebooks").glob("[0-9]*.ipynb"), *(records.PROJECT / "lab_utils").rglob("*.py")]
    using = {path.stem for path in places if re.search(r"\.all_rows|\.table\.rows|\._labels", path.read_text("utf-8"))}
    assert using == {"00_dataset", "lab"}


def test_a_chapter_reads_results_only_of_chapters_that_it_says_it_needs(lab: Lab) -> None:
    content = {"records": [{"id": "a", "value": 1}]}
    for name in ("00_dataset", "14_results"):
        records.write_json(lab.records_path.with_name(f"{name}.json"), content)
    assert lab.results("00") == {"a": 1} and list(lab.all_entries()) == ["00_dataset"]
    lab.record("own", 2)
    assert list(lab.all_entries()) == ["00_dataset", "01_baseline"]
    with pytest.raises(LabError, match=r"01_baseline reads the results of 14_results: name it there in core/chapters"):
        lab.results("14")
