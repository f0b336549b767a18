"""Registry and deciders of claims: every branch on constructed evidence."""

import json

import pytest

from lab_utils.claims import engine as claims
from lab_utils.claims.original_claims import ORIGINAL_CLAIMS
from lab_utils.core import records
from lab_utils.core.errors import LabError
from lab_utils.stats.intervals import Accuracy, Difference, Estimate


def gap(value: float, half: float) -> Difference:
    return Difference(value, value - half, value + half, 100)


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(claims, "CLAIMS", dict(claims.CLAIMS))
    monkeypatch.setattr(claims, "_DECIDERS", dict(claims._DECIDERS))

    @claims.claim("toy", slide=9, wording="First beats second.", chapter="05")
    def _toy(difference: Difference) -> claims.Decision:
        if difference.n < 10:
            raise claims.NotTestable("fewer than ten images.")
        return claims.choose(claims.decide_difference(difference), "It does.", "It does not.", "No telling.")

    return "toy"


def test_every_claim_has_its_own_id_slide_and_chapter() -> None:
    ids = [one.id for one in ORIGINAL_CLAIMS]
    assert len(set(ids)) == len(ids) >= 30
    assert all(3 <= one.slide <= 34 for one in ORIGINAL_CLAIMS)
    assert {one.chapter for one in ORIGINAL_CLAIMS} <= {f"{number:02d}" for number in range(16)}
    assert all(one.wording.endswith(".") and one.test for one in ORIGINAL_CLAIMS)


@pytest.mark.parametrize(
    ("value", "verdict", "sentence"),
    [(0.1, "supported", "It does."), (-0.1, "contradicted", "It does not."), (0.01, "tie", "No telling.")],
)
def test_the_sentence_changes_with_the_data(toy: str, value: float, verdict: str, sentence: str) -> None:
    result = claims.check(toy, difference=gap(value, 0.05))
    assert (result.verdict, result.sentence) == (verdict, sentence)
    assert sentence in str(result) and "slide 9" in str(result)


def test_missing_or_thin_evidence_is_not_testable_and_says_why(toy: str) -> None:
    assert claims.check(toy, difference=None).verdict == "not testable"
    thin = claims.check(toy, difference=Difference(0.1, 0.05, 0.15, 3))
    assert thin.verdict == "not testable" and "ten images" in thin.sentence


def test_a_verdict_survives_json(toy: str) -> None:
    record = json.loads(json.dumps(records.plain(claims.check(toy, difference=gap(0.1, 0.05)))))
    assert record["claim"] == "toy" and record["evidence"]["difference"]["value"] == pytest.approx(0.1)


def test_unknown_undecided_and_twice_decided_claims_are_errors(toy: str) -> None:
    with pytest.raises(LabError, match="no claim 'nonsense'"):
        claims.check("nonsense")
    with pytest.raises(LabError, match="wording"):
        claims.claim("new-without-wording")
    with pytest.raises(LabError, match="two functions"):
        claims.claim(toy)(lambda: ("tie", ""))
    claims.CLAIMS["open"] = claims.CLAIMS[toy]._replace(id="open")
    with pytest.raises(LabError, match="No function decides"):
        claims.check("open")


@pytest.mark.parametrize(
    ("value", "half", "expect", "floor", "verdict"),
    [
        (0.04, 0.01, "higher", 0.0, "supported"),
        (0.04, 0.01, "lower", 0.0, "contradicted"),
        (-0.04, 0.01, "lower", 0.0, "supported"),
        (0.04, 0.05, "higher", 0.0, "tie"),
        (0.04, 0.01, "higher", 0.05, "tie"),
        (0.04, 0.05, "equal", 0.0, "supported"),
        (0.04, 0.01, "equal", 0.0, "contradicted"),
    ],
)
def test_difference_is_decided_as_claimed(value: float, half: float, expect: str, floor: float, verdict: str) -> None:
    assert claims.decide_difference(gap(value, half), expect, floor) == verdict


def test_equality_needs_an_interval_within_the_margin() -> None:
    assert claims.decide_equal(gap(0.01, 0.03)) == "supported"
    assert claims.decide_equal(gap(0.01, 0.3)) == "tie"
    assert claims.decide_equal(gap(0.2, 0.1)) == "contradicted"


def test_values_are_compared_with_a_reference_by_their_interval() -> None:
    ninety = Accuracy(90, 100)
    assert claims.decide_against(ninety, 0.5) == "supported"
    assert claims.decide_against(ninety, 0.5, expect="lower") == "contradicted"
    assert claims.decide_against(ninety, 0.89) == "tie"
    assert claims.decide_against(Estimate(0.3, 0.2, 0.4, 50), 0.5) == "contradicted"


def test_rounding_ranks_and_conjunctions() -> None:
    assert claims.decide_printed(0.7851, 0.79) == "supported"
    assert claims.decide_printed(0.778, 0.79) == "contradicted"
    assert [claims.decide_rank(rank, 2) for rank in (2, 3)] == ["supported", "contradicted"]
    assert claims.decide_all(["supported", "supported"]) == "supported"
    assert claims.decide_all(["supported", "tie"]) == "tie"
    assert claims.decide_all(["supported", "contradicted"]) == "contradicted"
    with pytest.raises(claims.NotTestable):
        claims.decide_all([])
