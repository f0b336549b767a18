"""Ledger, errata, logs and conclusions on constructed records."""

import re
import subprocess
import sys

import pandas as pd
import pytest

from lab_utils.claims import ledger, schema
from lab_utils.claims.engine import Verdict, find
from lab_utils.core import records
from lab_utils.core.errors import LabError
from lab_utils.stats.intervals import Accuracy, Estimate


def reported(name: str) -> pd.DataFrame:
    return pd.read_csv(records.PROJECT / "data" / "reported" / f"{name}.csv")


def verdict(id: str, word: str) -> Verdict:
    claim = find(id)
    about = {"slide": claim.slide, "said": claim.said, "chapter": claim.chapter, "test": claim.test}
    return Verdict(id, word, f"Sentence of {id}.", "met: photographs", 9, (0.1, 0.2), **about)


def open_verdict(id: str, here: str = "") -> Verdict:
    claim = find(id)
    about = {"slide": claim.slide, "said": claim.said, "chapter": claim.chapter, "test": claim.test}
    return Verdict(id, "not testable", "these are drawings.", "not met: drawings", here=here, **about)


@pytest.fixture
def entries() -> dict[str, list[dict]]:
    """Chapters 05 and 13 were run; 05 decided one claim, and both read test for the same model."""
    read = {"id": "test read: net", "kind": "test read", "model": "net", "choice": "on val", "value": 50}
    decision = {"id": "decision", "kind": "decision", "value": "this", "because": "that", "instead_of": "those"}
    stored = records.plain(verdict("b0-worse", "tie"))
    decided = {"id": "claim: b0-worse", "kind": "verdict", "value": stored}
    return {"05_classification": [decided, read, decision], "13_grad_cam": [dict(read)]}


def test_every_claim_is_in_the_ledger_once_in_the_order_of_the_slides(entries) -> None:
    verdicts = ledger.collect(entries, ledger.arithmetic(reported))
    assert sorted(verdict.claim for verdict in verdicts) == sorted(schema.claims())
    slides = [verdict.slide for verdict in verdicts]
    assert slides == sorted(slides)


def test_ledger_takes_recorded_verdicts_and_says_why_others_are_open(entries) -> None:
    verdicts = {verdict.claim: verdict for verdict in ledger.collect(entries)}
    assert (verdicts["b0-worse"].verdict, verdicts["b0-worse"].sentence) == ("tie", "Sentence of b0-worse.")
    assert "chapter 04, which tests it, was not run" in verdicts["three-groups-separable"].sentence
    assert "chapter 05 ran, but" in verdicts["voting-best"].sentence
    assert verdicts["voting-best"].verdict == "not testable" and verdicts["voting-best"].precondition


def test_a_verdict_of_another_version_is_an_error_that_says_what_to_run(entries) -> None:
    entries["05_classification"][0]["value"].pop("precondition")
    with pytest.raises(LabError, match=r"b0-worse is of another version.* run chapter 05 again"):
        ledger.collect(entries)


def test_a_claim_that_nothing_can_decide_says_what_is_missing(entries) -> None:
    entries["07_fine_tuning_run2"] = []
    verdicts = {verdict.claim: verdict for verdict in ledger.collect(entries)}
    assert "no run changes the width alone" in verdicts["narrower-head-regularises"].sentence


def test_the_ledger_has_a_row_for_each_claim_with_a_link_to_its_chapter(entries) -> None:
    verdicts = ledger.collect(entries, ledger.arithmetic(reported))
    table = ledger.ledger_table(verdicts)
    assert len(table) == len(verdicts)
    assert table["chapter"].iloc[0].href.endswith(".ipynb")
    row = ledger.ledger_table([open_verdict("voting-best", "Voting is better.")]).iloc[0]
    assert row["finding"] == "These are drawings. What the method shows here: Voting is better."


def test_errata_hold_what_is_contradicted_and_neither_ties_nor_what_holds(entries) -> None:
    own = [*ledger.arithmetic(reported), verdict("voting-best", "contradicted"), verdict("clearer-separability", "tie")]
    verdicts = ledger.collect(entries, own)
    table = ledger.errata_table(verdicts)
    by = table.groupby("contradicted by")["what we find"].apply(list)
    assert by["this run"] == ["Sentence of voting-best."] and len(by["its own numbers"]) >= 15
    assert (
        table["the slide, and its evidence"].str.contains("Its evidence: accuracy under the classification").sum() == 1
    )
    words = ledger.errata_words(verdicts)
    assert re.search(r"1[5-9] are contradicted by the original's own numbers and 1 by this run", words)
    assert re.search(r"Not shown to be wrong: \d+ ties, 0 supported, \d+ not testable", words)
    assert ledger.errata_table([verdict("report-accuracy-follows", "supported")]).empty


KNOWN_ERRORS = {  # number of the known error, and the claims that test it: on printed numbers, on this run's data
    1: ("report-accuracy-follows", "report-macro-follows", "report-weighted-follows"),
    2: ("printed-vgg16-parameters",),
    3: ("rescaled-inputs-suffice",),
    4: ("printed-cv-scores-hold", "cv-scores-hold", "linear-svm-underfits", "difficult-to-separate"),
    5: ("printed-importances-ignore", "external-features-ignored"),
    6: ("printed-b0-worse", "voting-best"),
    7: ("extractors-differ",),
    8: ("printed-folds-agree", "unshuffled-folds-harmless"),
    9: ("slide-17-follows-figure", "slide-22-best-follows-figure"),
    10: ("clearer-separability",),
    11: ("low-precision-is-difficulty",),
    12: ("printed-9-regularised-too-much", "too-much-regularisation"),
    13: ("printed-features-beat-head",),
    14: ("diagonal-agrees-with-accuracy",),
}


def test_each_known_error_of_the_original_can_become_an_erratum() -> None:
    assert [id for ids in KNOWN_ERRORS.values() for id in ids if not find(id).erratum] == []
    arithmetic = {verdict.claim: verdict.verdict for verdict in ledger.arithmetic(reported)}
    assert {arithmetic.get(id, "contradicted") for ids in KNOWN_ERRORS.values() for id in ids} == {
        "contradicted",
        "tie",
    }


def test_themes_name_claims_that_exist() -> None:
    assert {id for ids in schema.ledger()["themes"].values() for id in ids} <= set(schema.claims())


def test_the_ledger_loads_no_networks() -> None:
    """The report's first page needs it, and must not wait for them."""
    code = (
        "import sys; from lab_utils.claims import ledger; print([name for name in sys.modules if 'networks' in name])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=records.PROJECT, capture_output=True, text=True, check=True)
    assert "lab_utils.networks" not in done.stdout


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
    assert "3 fitted models were read on test, 4 readings in all" in words and "read more than once: #10." in words
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
    everything = {step.name: [] for step in ledger.CHAPTERS}
    assert ledger.missing_words(everything) == ""


def test_conclusions_follow_the_verdicts() -> None:
    words = [ledger.conclusions([verdict("smarter-focused", word)])[0] for word in ("supported", "contradicted")]
    assert "**Supported**" in words[0] and "**Contradicted**" in words[1]
    lines = ledger.conclusions([open_verdict("smarter-focused", "It is."), verdict("focuses-on-content", "tie")])[0]
    assert lines.index("**Tie**") < lines.index(
        "**Not testable** here: these are drawings. What the method shows here: It"
    )


def test_tally_counts_every_verdict_and_agrees_with_its_numbers() -> None:
    ties = [verdict("b0-worse", "tie"), verdict("voting-best", "tie"), verdict("smarter-focused", "supported")]
    assert ledger.tally(ties) == {"supported": 1, "contradicted": 0, "tie": 2, "not testable": 0}
    assert ledger.tally_words(ties).startswith("Of 3 claims of the original 1 ")
    assert "2 are ties" in ledger.tally_words(ties) and "1 is a tie" in ledger.tally_words(ties[1:])


def test_abstract_names_classifier_accuracy_and_a_finding() -> None:
    verdicts = [verdict("b0-worse", "contradicted"), verdict("voting-best", "tie")]
    balanced = Estimate(0.5, 0.4, 0.6, 100, scale=100, unit=" %", digits=1)
    lots = {"lot not seen": Accuracy(5, 10)}
    text = ledger.abstract("Net", Accuracy(60, 100), balanced, lots, verdicts, "ten drawings")
    parts = (
        "Net",
        "60.0 %",
        "50.0 %",
        "of lots that train has not",
        "ten drawings",
        "For instance: Sentence of b0-worse.",
    )
    assert [part for part in parts if part not in text] == []
    assert "For instance" not in ledger.abstract("Net", Accuracy(6, 10), balanced, {}, verdicts[1:], "x")


def test_rubric_points_to_figures_and_tables_that_chapters_show() -> None:
    """By a notebook, or by a module that it imports."""
    sources = {}
    for path in sorted((records.PROJECT / "notebooks").glob("[0-9]*.ipynb")):
        text = path.read_text("utf-8").replace('\\"', '"')
        modules = (records.PROJECT / "lab_utils" / "chapters" / f"{name}.py" for name in re.findall(r"\w+", text))
        sources[path.stem[:2]] = text + "".join(
            module.read_text("utf-8") for module in set(modules) if module.is_file()
        )
    for criterion, number, *labels in schema.ledger()["rubric"]:
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
