"""The recommended classifier beats the plain probe on real photographs, and its probabilities hold (needs LAB_PHOTOS).

Its design was found by trials on such photographs, so what is tested is that it stays as good, not how good it is on
others; `benchmarks/small_data.py` sets it beside a choice that is made wholly inside.
"""

import os
from pathlib import Path

import numpy as np
import pytest

from lab_utils import predict
from lab_utils.analysis import small_data
from lab_utils.data import folder
from lab_utils.stats import metrics
from lab_utils.training import block_statistics

pytestmark = pytest.mark.skipif(
    not os.environ.get("LAB_PHOTOS"), reason="LAB_PHOTOS is not set: real photographs needed"
)


@pytest.fixture(scope="module")
def photos():
    """Features by block and labels of the photographs."""
    root = Path(os.environ["LAB_PHOTOS"])
    rows, _ = folder.list_images(root)
    features: dict[str, np.ndarray] = {}
    for network in predict.Recipe().networks:
        features |= block_statistics.extract(network, [str(root / file) for file in rows["file"]])
    return features, np.unique(rows["medium"].astype(str), return_inverse=True)[1]


def offered_blocks(features):
    return {name: block for name, block in features.items() if not name.endswith(" penultimate")}


def test_block_statistics_beat_the_last_layer_on_real_photographs(photos):
    features, labels = photos
    blocks = tuple(offered_blocks(features))
    tried = [small_data.Candidate(blocks, "ridge", strength) for strength in small_data.STRENGTHS]
    last = next(name for name in features if name.startswith("lite0@") and name.endswith(" penultimate"))
    plain = small_data.Candidate((last,), "svm", float(features[last].shape[1]))
    result = small_data.nested_cross_validation(features, labels, tried, plain, repeats=5)
    assert 0.25 < result.accuracy(plain=True).value < 0.42  # the probe is what it is known to be
    assert result.gain().value >= 0.10
    assert result.gain().low > 0


def test_calibrated_probabilities_hold_on_photographs_that_no_fit_saw(photos):
    features, labels = photos
    blocks, names = offered_blocks(features), [str(one) for one in np.unique(labels)]
    calibrated, plain = np.zeros((2, len(labels), len(names)))
    for train, held in small_data.stratified(labels, 3, seed=0):
        inside = {name: block[train] for name, block in blocks.items()}
        model = predict.fit_features(inside, labels[train], names, predict.Recipe())
        outside = {name: block[held] for name, block in blocks.items()}
        calibrated[held] = model.of_features(outside)
        model.temperature = 1.0
        plain[held] = model.of_features(outside)
    losses = [metrics.cross_entropy(np.log(chances), labels).mean() for chances in (calibrated, plain)]
    assert losses[0] < losses[1] - 0.3
    assert metrics.calibration_error(calibrated, labels) < 0.5 * metrics.calibration_error(plain, labels)
