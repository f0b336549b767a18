"""Claims of chapter 02, each verdict on constructed evidence."""

import pytest

from lab_utils import claims
from lab_utils.quantities import Difference


def gap(value: float, half: float = 0.01) -> Difference:
    return Difference(value, value - half, value + half, 1000)


@pytest.mark.parametrize(
    "difference, first, verdict",
    [
        (gap(0.03), "EfficientNet-B3", "supported"),
        (gap(0.03), "ResNet50", "contradicted"),
        (gap(0.005), "EfficientNet-B3", "tie"),
        (gap(0.005), "ResNet50", "tie"),
    ],
)
def test_b3_is_best_only_if_it_leads_beyond_the_interval(difference, first, verdict):
    got = claims.check("b3-best-of-paper", difference=difference, first=first, second="VGG16")
    assert got.verdict == verdict and first in got.sentence and str(difference) in got.sentence
    assert got.chapter == "02" and got.slide == 4


@pytest.mark.parametrize(
    "values, verdict",
    [
        ([0.03], "contradicted"),
        ([-0.03], "supported"),
        ([0.0], "tie"),
        ([0.03, 0.03, -0.03], "contradicted"),
        ([0.03, 0.0, -0.03], "supported"),
        ([0.03, 0.0], "tie"),
        ([], "not testable"),
    ],
)
def test_variable_shape_is_judged_by_most_of_the_architectures(values, verdict):
    differences = {f"network {i}": gap(value) for i, value in enumerate(values)}
    got = claims.check("variable-shape-no-better", differences=differences)
    assert got.verdict == verdict
    assert all(name in got.sentence for name in differences)
