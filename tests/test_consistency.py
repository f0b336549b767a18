"""A run's records against each other: each rule on records that agree and on records that don't."""

import copy

import pytest

from lab_utils.core import consistency, quantities
from lab_utils.stats.intervals import Accuracy, Difference

REPORTED = {
    "fine_tuning": [{"run": "1", "val_printed": "0.74"}, {"run": "2", "val_printed": "0.76"}],
    "numbers": [{"id": "test_images", "value": "15657"}],
}
RUN6, GAIN = Accuracy(299, 427, "run 6, test", 1.7, 140), Difference(0.056, 0.021, 0.091, 232, "right minus 1/255")


def agreeing() -> dict[str, list[dict]]:
    """Records of four chapters that agree: two show one quantity, one reads another's, one logs the readings."""
    accuracy = quantities.entry("accuracy, Lite0, run 6, test", RUN6.to_record(), "test", "Lite0", "")
    cost = quantities.entry("cost of 1/255", GAIN.to_record(), "val", "Lite0", "")
    column = {"id": "reported: runs, reported val", "kind": "reported", "value": ["0.74", "0.76"]}
    return {
        "06_fine_tuning_run1": [cost, _sentence("1/255 costs 5.6 points (2.1 to 9.1).")],
        "11_fine_tuning_run6": [
            accuracy,
            column | {"table": "fine_tuning"},
            _sentence("Run 6 reaches 70.0 % of test; reported: 0.74 on lot 59.533."),
            _sentence("**Start.** The loss is 60.7.", {"loss": 60.6812}),
        ],
        "01_baseline": [_read("#10 from scratch")],
        "14_results": [
            copy.deepcopy(accuracy),
            _read("Lite0, run 6"),
            {"id": "decision", "kind": "decision", "value": "Go on.", "because": "of 70.0 %", "instead_of": "none"},
            {"id": "readings of test", "kind": "result", "value": {"01_baseline": 1, "14_results": 1}},
        ],
    }


def _sentence(text: str, numbers: dict | None = None) -> dict:
    return {"id": text, "kind": "sentence", "value": text, "numbers": numbers}


def _read(*models: str, further: str = "") -> dict:
    about = {"choice": "its best epoch on val", "further": further}
    return {"id": "test read", "kind": "test read", "value": 427, "models": list(models), **about}


def check(entries: dict[str, list[dict]]) -> list[str]:
    return consistency.contradictions(entries, REPORTED)


def test_records_that_agree_give_no_sentence() -> None:
    assert check(agreeing()) == []


def test_one_quantity_with_two_intervals_is_named_with_both_chapters() -> None:
    entries = agreeing()
    entries["14_results"][0]["value"] = Accuracy(299, 427, "run 6, test").to_record()
    (sentence,) = check(entries)[:1]
    assert "'accuracy, Lite0, run 6, test' is 70.0 % (64.1 to 75.4, n = 427) in chapter 11" in sentence
    assert "70.0 % (65.5 to 74.2, n = 427) in chapter 14" in sentence


def test_accuracies_of_one_model_and_split_are_one_quantity_wherever_they_stand() -> None:
    other = {"id": "table", "kind": "result", "value": {"rows": [Accuracy(300, 427, "run 6, test").to_record()]}}
    entries = agreeing() | {"05_classification": [other]}
    assert any("'accuracy, run 6, test'" in sentence for sentence in check(entries))
    other["value"]["rows"][0]["of"] = "run 6, a part"  # says no split: it may be of anything
    assert check(entries) == []


def test_a_short_number_does_not_take_the_longer_one_that_another_row_shows() -> None:
    entries, table = agreeing(), [{"precision": "0.81"}, {"precision": "0.80"}]
    shown = {"id": "reported: priors", "kind": "reported", "value": [0.8, 0.81], "table": "report"}
    entries["14_results"].append(shown)
    assert consistency.contradictions(entries, REPORTED | {"report": table}) == []
    shown["value"] = [0.81, 0.81]
    assert "shows 0.81" in consistency.contradictions(entries, REPORTED | {"report": table})[0]


def test_a_reported_column_may_leave_rows_out_but_not_change_a_number() -> None:
    entries = agreeing()
    column = entries["11_fine_tuning_run6"][1]
    for cells in (["0.76", ""], ["74 %", None], [0.74, "not printed"]):
        column["value"] = cells
        assert check(entries) == []
    for cells, number in ((["0.75"], "0.75"), (["0.74", "0.74"], "0.74"), ([0.741], "0.741")):
        column["value"] = cells
        (sentence,) = check(entries)
        assert f"shows {number}, which data/reported/fine_tuning.csv doesn't hold" in sentence


@pytest.mark.parametrize(
    "text",
    [
        "The loss is 60.7, 60.68 or 60.681 nats.",
        "That is +5.6 points (2.1 to 9.1).",  # percent of a share
        "EfficientNet-Lite0.5, run6.1 and #10.2 are names.",
        "Its largest lot (Metropolitan Museum of Art 63.350, half of it) and lot 2002.494 are names.",
        "A whole number such as 1234 is not looked for.",
    ],
)
def test_numbers_of_records_and_names_may_stand_in_sentences(text: str) -> None:
    entries = agreeing()
    entries["11_fine_tuning_run6"].append(_sentence(text))
    assert check(entries) == []


@pytest.mark.parametrize(("text", "number"), [("It is 60.6 nats.", "60.6"), ("Of new lots: 88.0 % are right.", "88.0")])
def test_a_number_of_no_record_is_told_with_its_words(text: str, number: str) -> None:
    entries = agreeing()
    entries["11_fine_tuning_run6"].append(_sentence(text))
    (sentence,) = check(entries)
    assert sentence.startswith(f"Chapter 11 writes {number} in “") and "no record holds" in sentence


def test_a_number_of_a_chapter_that_is_not_needed_does_not_count() -> None:
    entries = agreeing()
    entries["06_fine_tuning_run1"].append(_sentence("The loss is 60.7."))  # chapter 11 needs 06, not the other way
    assert len(check(entries)) == 1


def test_a_model_is_read_again_only_with_a_reason() -> None:
    entries = agreeing()
    entries["14_results"][3]["value"]["14_results"] = 2
    entries["14_results"].append(_read("#10 from scratch", further="images without a relative in train"))
    assert check(entries) == []
    entries["14_results"][-1]["further"] = ""
    (sentence,) = check(entries)
    assert sentence.startswith("Chapter 14 reads #10 from scratch on test after chapter 01")


def test_readings_are_counted_by_model_and_compared_with_the_log() -> None:
    entries = agreeing()
    assert consistency.readings_by_chapter(entries) == {"01_baseline": 1, "14_results": 1}
    entries["01_baseline"].append(_read("#1 from scratch", "#2 from scratch"))
    (sentence,) = check(entries)
    assert "has 1 readings of test by chapter 01, whose records have 3" in sentence


# ---- contradictions of ten kinds, sown into records that agree ------------------------------------------------------
def _set(chapter: str, place: int, key: str, value):
    def sow(entries: dict[str, list[dict]]) -> None:
        record = entries[chapter][place]
        (record["value"] if isinstance(record["value"], dict) and key in record["value"] else record)[key] = value

    return sow


def _add(chapter: str, record: dict):
    return lambda entries: entries.setdefault(chapter, []).append(record)


SOWN = {
    "a quantity's value": _set("14_results", 0, "value", 0.701),
    "a quantity's interval": _set("14_results", 0, "low", 0.655),
    "a quantity's n": _set("14_results", 0, "n", 426),
    "a quantity of another sign elsewhere": _add(
        "15_further_improvements",
        quantities.entry("cost of 1/255", Difference(-0.004, -0.04, 0.03, 232).to_record(), "val", "Lite0", ""),
    ),
    "a reported number": _set("11_fine_tuning_run6", 1, "value", ["0.74", "0.77"]),
    "a reported table that isn't there": _set("11_fine_tuning_run6", 1, "table", "fine_tunings"),
    "a number in a sentence": _set("11_fine_tuning_run6", 2, "value", "Run 6 reaches 70.1 % of test."),
    "a number in a decision": _set("14_results", 2, "because", "of 71.0 %"),
    "a reading without a word": _add("13_grad_cam", _read("Lite0, run 6")),
    "a log that lacks a reading": _set("14_results", 3, "01_baseline", 0),
    "a number in a finding": _add(
        "11_fine_tuning_run6",
        {"id": "claim: x", "kind": "verdict", "value": {"sentence": "Run 6 is better by 3.3 points.", "here": ""}},
    ),
}


@pytest.mark.parametrize("kind", SOWN)
def test_contradictions_of_every_kind_are_found(kind: str) -> None:
    entries = agreeing()
    SOWN[kind](entries)
    assert check(entries), kind
