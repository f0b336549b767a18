"""The recommended classifier beats the plain probe on real photographs, in the same folds (needs LAB_PHOTOS)."""

import os
from pathlib import Path

import numpy as np
import pytest

from lab_utils import folder, predict, small_data
from lab_utils.moments import moments


@pytest.mark.skipif(not os.environ.get("LAB_PHOTOS"), reason="LAB_PHOTOS is not set: real photographs needed")
def test_block_moments_beat_the_last_layer_on_real_photographs():
    root = Path(os.environ["LAB_PHOTOS"])
    rows, _ = folder.list_images(root)
    labels = np.unique(rows["medium"].astype(str), return_inverse=True)[1]
    features: dict[str, np.ndarray] = {}
    for network in predict.Recipe().networks:
        features |= moments(network, [str(root / file) for file in rows["file"]])
    blocks = tuple(name for name in features if not name.endswith(" penultimate"))
    tried = [small_data.Candidate(blocks, "ridge", strength) for strength in small_data.STRENGTHS]
    last = next(name for name in features if name.startswith("lite0@") and name.endswith(" penultimate"))
    plain = small_data.Candidate((last,), "svm", float(features[last].shape[1]))
    result = small_data.nested_cross_validation(features, labels, tried, plain, repeats=5)
    assert 0.25 < result.accuracy(plain=True).value < 0.42  # the probe is what it is known to be
    assert result.gain().value >= 0.10
    assert result.gain().low > 0
