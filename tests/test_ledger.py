"""Ledger, errata, logs and conclusions on constructed records."""

import ast

import pandas as pd
import pytest

from lab_utils.claims import engine as claims
from lab_utils.claims import ledger, reported_arithmetic
from lab_utils.claims.original_claims import ORIGINAL_CLAIMS
from lab_utils.core import records, usage
from lab_utils.runner.state import code_cells
from lab_utils.stats.intervals import Accuracy, Estimate


def reported(name: str) -> pd.DataFrame:
    return pd.read_csv(records.PROJECT / "data" / "reported" / f"{name}.csv")


def verdict(id: str, word: str) -> claims.Verdict:
    one = claims.find(id)
    return claims.Verdict(id, word, f"Sentence of {id}.", {}, one.slide, one.wording, one.chapter, one.test)


@pytest.fixture
def entries() -> dict[str, list[dict]]:
    """Chapters 05 and 13 were run; 05 decided one claim, and both read test for the same model."""
    read = {"id": "test read: net", "kind": "test read", "model": "net", "choice": "on val", "value": 50}
    decision = {"id": "decision", "kind": "decision", "value": "this", "because": "that", "instead_of": "those"}
    decided = {"id": "claim: b0-worse", "kind": "verdict", "value": verdict("b0-worse", "tie").to_record()}
    return {"05_classification": [decided, read, decision], "13_grad_cam": [dict(read)]}


def test_every_claim_is_in_the_ledger_in_the_order_of_the_slides(entries) -> None:
    found = ledger.collect(entries, reported_arithmetic.verdicts(reported))
    assert {one.claim for one in found} >= {one.id for one in ORIGINAL_CLAIMS}
    slides = [one.slide for one in found]
    assert slides == sorted(slides)
    assert len(found) == len({one.claim for one in found})


def test_ledger_takes_recorded_verdicts_and_says_why_others_are_open(entries) -> None:
    found = {one.claim: one for one in ledger.collect(entries)}
    assert (found["b0-worse"].verdict, found["b0-worse"].sentence) == ("tie", "Sentence of b0-worse.")
    assert "chapter 04, which tests it, was not run" in found["three-groups-separable"].sentence
    assert "chapter 05 ran, but" in found["voting-best"].sentence
    assert found["voting-best"].verdict == "not testable"


def test_claims_that_a_chapter_added_itself_are_kept(entries) -> None:
    extra = claims.Verdict("extra", "supported", "Yes.", {}, 20, "Something else.", "05", "a test")
    entries["05_classification"].append({"id": "claim: extra", "kind": "verdict", "value": extra.to_record()})
    assert "extra" in {one.claim for one in ledger.collect(entries)}


def test_tables_have_a_row_for_each_claim_with_a_link_to_its_chapter(entries) -> None:
    found = ledger.collect(entries, reported_arithmetic.verdicts(reported))
    table = ledger.ledger_table(found)
    assert len(table) == len(found)
    assert table["chapter"].iloc[0].href.endswith(".ipynb")


def test_errata_hold_what_is_contradicted_and_leave_out_what_is_not(entries) -> None:
    found = ledger.collect(entries, [*reported_arithmetic.verdicts(reported), verdict("voting-best", "contradicted")])
    table = ledger.errata_table(found)
    assert set(table["verdict"]) == {"contradicted", "tie"}
    assert set(table["holds on"]) == {"any data", "this run"}
    assert table["our test, and what it finds"].str.endswith(". Sentence of voting-best.").sum() == 1
    wording = claims.find("report-accuracy-follows").wording
    assert table["claim, and their evidence"].str.startswith(f"{wording} Their evidence: ").sum() == 1
    assert "don't hold or are ties" in ledger.errata_words(found) and "could not be tested" in ledger.errata_words(
        found
    )
    cleared = [verdict("report-accuracy-follows", "supported")]
    assert ledger.errata_table(cleared).empty and "1 hold on this data after all" in ledger.errata_words(cleared)


KNOWN_ERRORS = {  # number of the known error, and the claims that test it: on printed numbers, on this run's data
    1: ("report-accuracy-follows", "report-macro-follows", "report-weighted-follows"),
    2: ("printed-vgg16-parameters",),
    3: ("rescaled-inputs-suffice",),
    4: ("printed-cv-scores-hold", "cv-scores-hold", "linear-svm-underfits", "difficult-to-separate"),
    5: ("printed-importances-ignore", "external-features-ignored"),
    6: ("printed-b0-worse", "printed-runs-differ", "voting-best"),
    7: ("extractors-differ",),
    8: ("printed-folds-agree", "unshuffled-folds-harmless"),
    9: ("slide-17-follows-figure", "slide-22-best-follows-figure"),
    10: ("clearer-separability",),
    11: ("low-precision-is-difficulty",),
    12: ("printed-9-regularised-too-much", "too-much-regularisation"),
    13: ("printed-features-beat-head",),
    14: ("diagonal-agrees-with-accuracy",),
}


@pytest.mark.parametrize("number", KNOWN_ERRORS)
def test_each_known_error_of_the_original_is_in_the_errata(number: int) -> None:
    assert [id for id in KNOWN_ERRORS[number] if id not in ledger.ERRATA] == []
    arithmetic = {one.claim: one.verdict for one in reported_arithmetic.verdicts(reported)}
    assert all(arithmetic.get(id, "contradicted") in ("contradicted", "tie") for id in KNOWN_ERRORS[number])


def test_a_claim_that_nothing_can_decide_says_what_is_missing(entries) -> None:
    entries["07_fine_tuning_run2"] = []
    found = {one.claim: one for one in ledger.collect(entries)}
    assert "no run changes the width alone" in found["narrower-head-regularises"].sentence


def test_errata_and_themes_name_claims_that_exist() -> None:
    named = set(ledger.ERRATA) | {id for ids in ledger.THEMES.values() for id in ids}
    assert named <= set(claims.CLAIMS)


def read(models: list[str], choice: str = "on val", further: str = "") -> dict:
    about = {"model": ", ".join(models), "models": models, "choice": choice, "further": further}
    return {"id": f"test read: {models}{further}", "kind": "test read", "value": 50, **about}


def test_a_model_that_was_read_among_others_counts_as_read_again() -> None:
    entries = {
        "01_baseline": [read(["#1"]), read(["#10"])],
        "13_grad_cam": [read(["#10", "run 6"], "labels of mosaics")],
    }
    assert len(ledger.test_reads(entries)) == 3
    words = ledger.reads_words(entries)
    assert "opened 3 times, for 3 fitted models" in words and "read more than once: #10." in words
    assert "#10 (chapter 01: on val; chapter 13: labels of mosaics)" in words


def test_a_further_look_within_a_chapter_says_what_for() -> None:
    entries = {"01_baseline": [read(["#10"]), read(["#10"], further="related images")]}
    assert "#10 (chapter 01: on val; chapter 01: related images)" in ledger.reads_words(entries)
    assert ledger.test_reads(entries)["looked at again for"].tolist() == ["", "related images"]


def test_single_reads_and_none_are_said() -> None:
    assert ledger.reads_words({"01_baseline": [read(["#1"])]}).endswith("no model was read twice.")
    assert ledger.reads_words({"01_baseline": []}) == "No test labels were read."


def test_decisions_are_collected(entries) -> None:
    assert ledger.decision_log(entries)["decision"].tolist() == ["this"]


def test_missing_chapters_are_named(entries) -> None:
    assert "chapters 00, 01, 02, 03, 04, 06" in ledger.missing_words(entries)
    everything = {one.name: [] for one in ledger.CHAPTERS}
    assert "All chapters" in ledger.missing_words(everything)


def test_conclusions_follow_the_verdicts(entries) -> None:
    words = [ledger.conclusions([verdict("smarter-focused", word)])[0] for word in ("supported", "contradicted")]
    assert "**supported**" in words[0] and "**contradicted**" in words[1]
    assert "Not testable in this run" in ledger.conclusions([claims.untestable("smarter-focused", "no.")])[0]


def test_tally_counts_every_verdict() -> None:
    found = [verdict("b0-worse", "tie"), verdict("voting-best", "tie"), verdict("smarter-focused", "supported")]
    assert ledger.tally(found) == {"supported": 1, "contradicted": 0, "tie": 2, "not testable": 0}
    assert ledger.tally_words(found).startswith("Of 3 claims of the original 1 are supported, 0 contradicted, 2 ties")


def test_abstract_names_classifier_accuracy_and_a_contradicted_claim() -> None:
    found = [verdict("b0-worse", "contradicted"), verdict("voting-best", "tie")]
    balanced = Estimate(0.5, 0.4, 0.6, 100, scale=100, unit=" %", digits=1)
    text = ledger.abstract("Net", Accuracy(60, 100), balanced, {"lot not seen": Accuracy(5, 10)}, found, "ten drawings")
    for part in ("Net", "60.0 %", "50.0 %", "lot not seen", "ten drawings", "EfficientNetB0 performs worse"):
        assert part in text
    assert "contradicted:" not in ledger.abstract("Net", Accuracy(6, 10), balanced, {}, found[1:], "x")


def test_rubric_points_to_figures_and_tables_that_chapters_show() -> None:
    """By a notebook, or by a module that it imports."""
    sources = {}
    for path in sorted((records.PROJECT / "notebooks").glob("[0-9]*.ipynb")):
        cells = "\n".join(code_cells(path))
        paths = map(usage.source_path, usage.imported(ast.parse(cells)))
        modules = [path.read_text("utf-8") for path in paths if path]
        sources[path.stem[:2]] = "\n".join([cells, *modules])
    for criterion, number, *labels in ledger.RUBRIC:
        for label in filter(None, labels):
            assert f'label="{label}"' in sources[number], (criterion, label)


def test_rubric_links_to_what_was_shown_and_says_what_was_not() -> None:
    shown = [{"id": f"shown: {label}", "kind": "shown", "value": label} for label in ("curves", "counts", "lots")]
    table = ledger.rubric_table({"00_dataset": shown[1:], "06_fine_tuning_run1": shown[:1], "13_grad_cam": []})
    states = table.groupby(table["chapter"].map(str))["state"].unique().map(list)
    first = table.iloc[0]
    assert (first["figure"].href, first["table"].href, first["state"]) == ("#00-counts", "#00-lots", "met")
    assert states["06"] == ["met in part"] and states["13"] == ["not shown in this run"]
    assert states["05"] == ["chapter not run"]
    assert table.loc[table["chapter"].map(str) == "13", ["figure", "table"]].isna().all(axis=None)
