"""What a chapter sees of the test labels: nothing outside a logged block."""

import re
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from lab_utils.analysis import recommendation
from lab_utils.core import records, usage
from lab_utils.core.chapters import needed
from lab_utils.core.errors import LabError
from lab_utils.data import image_table, pipeline
from lab_utils.lab import Lab
from lab_utils.stats.intervals import Accuracy, Difference


@pytest.fixture
def lab(tmp_path, monkeypatch) -> Lab:
    """Six images, two of them of test, in a run whose records go to a folder of the test's own."""
    rows = pd.DataFrame({"label": [0, 1, 0, 1, 1, 0], "subset": ["train", "train", "val", "val", "test", "test"]})
    rows = rows.assign(has_image=True, lot="", group="", file=[f"{number}.jpg" for number in range(6)])
    table = SimpleNamespace(rows=rows, classes=["a", "b"], data_hash="six", source="sample")
    monkeypatch.setattr(image_table, "open_table", lambda settings: table)
    settings = SimpleNamespace(name="six", report_folder=tmp_path / "report", run_folder=tmp_path / "run")
    lab = Lab(settings, "01_baseline")
    lab.own = False  # as in a run of all chapters
    return lab


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


READERS = {  # who reads test, and why: a slide shows it there, or what was chosen on val is read once
    "01_baseline": "slide 3",
    "02_paper_baselines": "the paper's table on slide 4; each run's epoch is chosen on val",
    "05_classification": "slides 17 and 20; the classifier chosen on val",
    "12_fine_tuned_features": "slide 22",
    "14_results": "slides 32 and 33",
    "15_further_improvements": "the step chosen on val",
}


def test_test_is_read_only_where_a_slide_shows_it_or_after_a_choice_on_val() -> None:
    places = [*(records.PROJECT / "notebooks").glob("[0-9]*.ipynb"), *(records.PROJECT / "lab_utils").rglob("*.py")]
    reading = {path.stem for path in places if "lab.read_test(" in path.read_text("utf-8")} - {"lab"}
    assert reading == set(READERS), "say here which slide shows it, or which choice on val led to it; else use val"


def test_neither_opening_a_lab_nor_the_front_page_loads_networks_or_training() -> None:
    code = (
        "import sys; import lab_utils.lab, lab_utils.claims.reported_arithmetic\n"
        "from lab_utils.core import profiles; from lab_utils.data import image_table\n"
        "import pandas as pd; from types import SimpleNamespace\n"
        "rows = pd.DataFrame({'label': [0], 'subset': ['train'], 'has_image': [True]})\n"
        "table = SimpleNamespace(rows=rows, classes=['a'], data_hash='one')\n"
        "image_table.open_table = lambda settings: table\n"
        "lab = lab_utils.lab.Lab(profiles.Settings(name='x', profile='sample'), '00_dataset')\n"
        "assert lab.title('vgg16') == 'VGG16' and lab.summary()\n"
        "rooms = [name for name in sys.modules if name.startswith(('lab_utils.networks.', 'lab_utils.training.'))]\n"
        "print(rooms, [name for name in ('tensorflow', 'keras') if name in sys.modules])"
    )
    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=records.PROJECT
    )
    assert printed.stdout.strip() == "['lab_utils.networks.registry'] []"


def test_a_quantity_is_returned_when_made_and_read_by_name_afterwards(lab: Lab) -> None:
    accuracy = Accuracy.from_hits(np.array([1, 1, 0, 1]), "net, val", np.array(["a", "a", "b", "b"]))
    assert lab.quantity("accuracy, net, val", accuracy, split="val", network="Net") is accuracy
    read = lab.quantity("accuracy, net, val")
    assert (read.value, read.low, read.high, read.n) == (0.75, *accuracy.interval, 4)
    assert (read.split, read.network, str(read)) == ("val", "Net", str(accuracy))
    assert read.how == "Wilson, n over the design effect of 2 lots"
    assert lab.quantity("slope", 0.5) == 0.5 and lab.quantity("slope").low is None


def test_a_quantity_is_read_only_from_chapters_that_this_one_needs(lab: Lab) -> None:
    entry = {
        "id": "quantity: gain",
        "kind": "quantity",
        "name": "gain",
        "value": {"value": 0.1, "low": -0.1, "high": 0.3},
    }
    folder = lab.records_path.parent
    records.write_json(folder / "05_classification.json", {"records": [entry]})
    with pytest.raises(LabError, match="made by chapter 05_classification, which chapter 01_baseline doesn't need"):
        lab.quantity("gain")
    records.write_json(folder / "00_dataset.json", {"records": [entry]})
    assert lab.quantity("gain").chapter == "00_dataset" and lab.quantity("gain").tie
    with pytest.raises(LabError, match="has made the quantity 'loss'; there are: gain"):
        lab.quantity("loss")


def test_a_cost_names_the_models_accuracy_for_all_chapters(lab: Lab) -> None:
    accuracy = lab.cost("#10 from scratch", np.array([True, False]), 1.5, {"decoding": 0.5})
    assert lab.quantity("accuracy, #10 from scratch, val").value == accuracy.value == 0.5
    kept = next(kept for kept in records.read_json(lab.records_path)["records"] if kept["kind"] == "cost")
    (cost,) = recommendation.costs({"01_baseline": [kept]})
    assert cost.right.tolist() == [True, False] and cost.whole and cost.paid == 2.0
    assert cost.accuracy.interval == accuracy.interval
    part = lab.cost("few", np.array([True, True]), 0.1, asked=np.array([True, False]))
    assert (part.successes, part.n) == (1, 1)


@pytest.mark.parametrize("right", [np.array([True]), np.array([0.4, 0.6]), np.array([[True, False]])])
def test_a_cost_without_an_answer_for_each_val_image_is_refused(lab: Lab, right) -> None:
    with pytest.raises(LabError, match=r"The cost of net has answers .* and val has 2 images"):
        lab.cost("net", right, 1.0)


def test_what_comes_before_training_is_the_train_images_share_of_what_was_measured(lab: Lab, monkeypatch) -> None:
    monkeypatch.setattr(pipeline, "decoding_seconds", lambda n, size, key: 3.0 * n if size == 96 else None)
    assert lab.preparation(96) == {"decoding": pytest.approx(2 / 6 * 18)}
    assert lab.preparation(96, images=1) == {"decoding": pytest.approx(1 / 6 * 18)}
    assert lab.preparation(64) == {}


def test_sentences_and_reported_columns_are_kept_for_the_check(lab: Lab, monkeypatch) -> None:
    monkeypatch.setattr(lab, "_display", lambda *_, **__: None)
    lab.say("The loss is 2.46.", {"loss": 2.4613})
    lab.say("**Decision.** Shown, and kept as a decision.", kind="decision")
    lab.tabulate(pd.DataFrame({"run": [1], "reported val": [0.74]}), "Runs.", reported="fine_tuning")
    sentence, column = records.read_json(lab.records_path)["records"]
    assert (sentence["kind"], sentence["value"], sentence["numbers"]) == (
        "sentence",
        "The loss is 2.46.",
        {"loss": 2.4613},
    )
    assert (column["kind"], column["value"], column["table"]) == ("reported", [0.74], "fine_tuning")


def test_rows_called_reported_are_kept_too_and_all_of_it_names_its_table(lab: Lab, monkeypatch) -> None:
    monkeypatch.setattr(lab, "_display", lambda *_, **__: None)
    rows = pd.DataFrame({"network": ["Lite0", "VGG16 (reported)"], "components": [50, 955]})
    lab.tabulate(rows, "Components.", label="components", reported="components")
    kept = records.read_json(lab.records_path)["records"][-1]
    assert (kept["id"], kept["value"]) == ("reported: components, row 2", ["VGG16 (reported)", 955])
    for table in (rows, pd.DataFrame({"reported val": [0.7]})):
        with pytest.raises(LabError, match=r"'Components.' shows reported numbers .*name their table"):
            lab.tabulate(table, "Components.")


def test_a_chapter_reads_results_only_of_chapters_that_it_says_it_needs(lab: Lab) -> None:
    content = {"records": [{"id": "a", "value": 1}]}
    for name in ("00_dataset", "14_results"):
        records.write_json(lab.records_path.with_name(f"{name}.json"), content)
    assert lab.results("00") == {"a": 1} and list(lab.all_entries()) == ["00_dataset"]
    lab.record("own", 2)
    assert list(lab.all_entries()) == ["00_dataset", "01_baseline"]
    with pytest.raises(LabError, match=r"01_baseline reads the results of 14_results: name it there in core/chapters"):
        lab.results("14")


def test_a_verdict_is_recorded_and_shown(lab: Lab, capsys) -> None:
    lab.verdict("imagenet-overlap", value=Difference(0.1, 0.05, 0.15, 100))
    entry = next(kept for kept in records.read_json(lab.records_path)["records"] if kept["kind"] == "verdict")
    assert (entry["id"], entry["value"]["n"]) == ("claim: imagenet-overlap", 100)
    assert "drawings" in entry["value"]["sentence"] and "10.0 points better" in entry["value"]["here"]
    assert "Not testable" in capsys.readouterr().out


def test_what_somebody_computes_in_a_notebook_leaves_the_records_of_the_report_alone(lab: Lab) -> None:
    lab.record("accuracy", 0.5)
    reported = lab.records_path.read_bytes()
    mine = Lab(lab.settings, "01_baseline")
    assert mine.own  # nobody watches this process
    mine.record("accuracy", 0.9)
    assert lab.records_path.read_bytes() == reported and mine.records_path != lab.records_path
    later = Lab(lab.settings, "03_task_similarity")
    assert later.results("01") == {"accuracy": 0.9}  # one's own result counts for one's own chapters
    later.own = False
    assert later.results("01") == {"accuracy": 0.5}


def test_a_run_of_all_chapters_is_told_from_somebodys_work(tmp_path) -> None:
    code = "import sys; from lab_utils.core import usage; usage.watch(sys.argv[1]); print(usage.watched())"
    told = subprocess.run([sys.executable, "-c", code, tmp_path / "used"], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "True" and not usage.watched()


def test_who_works_in_a_notebook_is_told_what_must_have_run_and_how_long_it_takes(lab: Lab) -> None:
    lab.chapter = "14_results"
    words = lab.before_you_start()
    assert "not run yet:" in words and "./run_all.sh --only 14" in words and "min" not in words
    (lab.settings.run_folder / "status").mkdir(parents=True)
    for name in (*needed("14_results"), "14_results"):
        status = {"state": "ok", "seconds": 179.0}
        records.write_json(lab.settings.run_folder / "status" / f"{name}.json", status)
    words = lab.before_you_start()
    assert "which have run" in words and words.endswith("it took 3 min.")
    lab.chapter = "00_dataset"
    assert lab.before_you_start().startswith("Chapter 00 needs no other chapter. In the last run")
