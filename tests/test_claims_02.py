"""Claims of chapter 02, each verdict on constructed evidence."""

import pytest

from lab_utils.claims import engine as claims
from lab_utils.stats.intervals import Difference


def gap(value: float, half: float = 0.01) -> Difference:
    return Difference(value, value - half, value + half, 1000)


@pytest.mark.parametrize("value, verdict", [(0.03, "supported"), (-0.03, "contradicted"), (0.005, "tie")])
def test_b3_is_best_only_if_it_leads_beyond_the_interval(value, verdict):
    got = claims.check("b3-best-of-paper", difference=gap(value), rival="VGG16")
    assert got.verdict == verdict and "VGG16" in got.sentence and str(gap(value)) in got.sentence
    assert got.chapter == "02" and got.slide == 4


@pytest.mark.parametrize(
    "values, verdict",
    [
        ([0.03], "contradicted"),
        ([-0.03], "supported"),
        ([0.0], "tie"),
        ([0.03, 0.03, -0.03], "contradicted"),
        ([0.03, 0.0, -0.03], "tie"),
        ([0.03, 0.03, -0.03, 0.0, 0.0], "tie"),
        ([0.03, -0.03, -0.03, 0.0, 0.0], "supported"),
        ([0.03, 0.0], "tie"),
        ([], "not testable"),
    ],
)
def test_variable_shape_is_judged_by_most_of_the_architectures(values, verdict):
    differences = {f"network {i}": gap(value) for i, value in enumerate(values)}
    got = claims.check("variable-shape-no-better", differences=differences)
    assert got.verdict == verdict
    assert all(name in got.sentence for name in differences)
    assert "One seed" in got.sentence or not values


def test_a_stand_in_alone_is_said_to_be_alone():
    evidence = {"differences": {"Lite0 (stand-in)": gap(0.03)}}
    assert "none of the paper's" in claims.check("variable-shape-no-better", **evidence, stand_in_only=True).sentence
    assert "none of the paper's" not in claims.check("variable-shape-no-better", **evidence).sentence
