"""Verdicts of chapter 15 on constructed evidence: every branch."""

import pytest

from lab_utils.claims import engine as claims
from lab_utils.stats.intervals import Difference

BRANCHES = [(0.1, "supported", "better"), (-0.1, "contradicted", "worse"), (0.01, "tie", "a tie")]


def gap(value: float) -> Difference:
    return Difference(value, value - 0.05, value + 0.05, 100)


@pytest.mark.parametrize(("value", "verdict", "words"), BRANCHES)
def test_a_treatment_of_outliers_must_beat_the_images_as_they_are(value, verdict, words):
    found = claims.check("improve-outliers", difference=gap(value), treatment="outliers left out", tried=5)
    assert (found.verdict, "outliers left out" in found.sentence, words in found.sentence) == (verdict, True, True)
    assert "the best of 5 on the same val images" in found.sentence


@pytest.mark.parametrize(("value", "verdict", "words"), BRANCHES)
def test_joined_networks_must_beat_the_best_one(value, verdict, words):
    found = claims.check("improve-more-networks", difference=gap(value), networks=2, single="run 1")
    assert (found.verdict, words in found.sentence) == (verdict, True)


@pytest.mark.parametrize(("value", "verdict", "words"), BRANCHES)
def test_an_ensemble_must_beat_its_best_member(value, verdict, words):
    found = claims.check("improve-ensembles", difference=gap(value), members=7, best="run 2")
    assert (found.verdict, words in found.sentence) == (verdict, True)


def test_one_network_decides_nothing():
    one = {"difference": gap(0.1), "networks": 1, "single": "run 1"}
    assert claims.check("improve-more-networks", **one).verdict == "not testable"
    alone = {"difference": gap(0.1), "members": 1, "best": "run 1"}
    assert claims.check("improve-ensembles", **alone).verdict == "not testable"
