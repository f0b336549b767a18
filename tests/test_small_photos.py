"""What the photo classifier claims of real photographs (needs LAB_PHOTOS): accuracy, calibration, no cheating."""

import os
from pathlib import Path

import numpy as np
import pytest

from lab_utils import predict
from lab_utils.analysis import small_data
from lab_utils.data import folder
from lab_utils.stats import metrics

pytestmark = pytest.mark.skipif(
    not os.environ.get("LAB_PHOTOS"), reason="LAB_PHOTOS is not set: real photographs needed"
)


@pytest.fixture(scope="module")
def photos():
    """Last features and labels of the photographs."""
    root = Path(os.environ["LAB_PHOTOS"])
    rows, _ = folder.list_images(root)
    X = predict.Network().features([str(root / file) for file in rows["file"]])
    return X, np.unique(rows["medium"].astype(str), return_inverse=True)[1]


def test_the_claim_is_that_of_a_plain_probe_and_no_more(photos):
    X, labels = photos
    claims = [(small_data.nested_predictions(X, labels, np.arange(len(X)), seed) == labels).mean() for seed in range(3)]
    assert 0.25 < np.mean(claims) < 0.42


def test_real_photos_saved_twice_with_random_labels_stay_near_chance(photos):
    X, labels = photos
    random = np.random.default_rng(0).permutation(labels)
    twice, both, copies = np.concatenate([X, X]), np.tile(random, 2), np.tile(np.arange(len(X)), 2)
    assert (small_data.nested_predictions(twice, both, copies) == both).mean() < 0.15
    assert (small_data.nested_predictions(twice, both, np.arange(2 * len(X))) == both).mean() > 0.7


def test_calibrated_probabilities_hold_on_photographs_that_no_fit_saw(photos):
    X, labels = photos
    groups, names = np.arange(len(X)), [str(label) for label in np.unique(labels)]
    calibrated, plain = np.zeros((2, len(labels), len(names)))
    for train, held in small_data.folds(labels, groups):
        model = predict.fit_features(X[train], labels[train], groups[train], names, predict.Network())
        calibrated[held] = model.probabilities(X[held])
        model.temperature = 1.0
        plain[held] = model.probabilities(X[held])
    losses = [-np.log(chances[groups, labels]).mean() for chances in (calibrated, plain)]
    assert losses[0] < losses[1] - 0.3
    errors = [metrics.calibration_error(chances, labels)[0].value for chances in (calibrated, plain)]
    assert errors[0] < 0.5 * errors[1]
