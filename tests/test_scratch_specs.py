"""The thirteen networks as the original prints them: parameters by hand, order of layers, penalties, ablations."""

from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from notebook_cells import function_of

from lab_utils.core import profiles
from lab_utils.core.errors import LabError
from lab_utils.core.records import PROJECT
from lab_utils.networks import scratch_specs


def build(number, classes, size):
    """A network as notebook 01 builds it."""
    settings = profiles.Scratch(size=size)
    notebook = function_of("01_baseline", "build", here=settings, lab=SimpleNamespace(classes=range(classes)))
    return notebook(scratch_specs.spec_of(number))


def kind(layer):
    return type(layer).__name__


def blocks(model):
    """Kinds of the layers behind each convolution."""
    kinds = [kind(layer) for layer in model.layers]
    starts = [place for place, name in enumerate(kinds) if name == "Conv2D"]
    return [kinds[start + 1 : end] for start, end in pairwise([*starts, kinds.index("Flatten")])]


def test_network_10_has_the_parameters_that_are_printed_of_it():
    model = build(10, 29, 256)
    trainable = sum(int(np.prod(weight.shape)) for weight in model.trainable_variables)
    assert (model.count_params(), trainable) == (1_711_101, 1_710_589)


# side of the map after each convolution and pooling at 256 pixels, by hand: (256 - 2) // 4 = 63, (63 - 2) // 4 = 15, …
BY_HAND = {  # kernels, batch normalisations (4 a channel), dense layers; 29 classes
    "1": (3 * 9 + 1) + (63 * 63 * 1 + 1) * 64 + 65 * 29,
    "2": (27 + 1) * 16 + (63 * 63 * 16 + 1) * 64 + 65 * 29,
    "3": 28 * 16 + (16 * 9 + 1) * 32 + (15 * 15 * 32 + 1) * 64 + 65 * 29,
    "4": 28 * 16 + 4 * 16 + 145 * 32 + (15 * 15 * 32 + 1) * 64 + 65 * 29,
    "5": 448 + 64 + 4640 + 4 * 32 + (32 * 9 + 1) * 64 + (14 * 14 * 64 + 1) * 64 + 1885,  # 63, 30, 14
    "6": 448
    + 64
    + 4640
    + 128
    + 18496
    + 4 * 64
    + 577 * 128
    + 4 * 128
    + (14 * 14 * 128 + 1) * 64
    + 1885,  # 127, 62, 30, 14
    "10": 28 * 32 + 128 + 289 * 32 + 128 + 289 * 64 + 256 + 577 * 128 + 512 + (14 * 14 * 128 + 1) * 64 + 1885,
    "11": 896 + 128 + 18496 + 256 + 73856 + (3 * 3 * 128 + 1) * 512 + 513 * 64 + 1885,  # 63, 15, 3
    "12": 448 + 64 + 4640 + 128 + 18496 + 73856 + (14 * 14 * 128 + 1) * 512 + 513 * 64 + 1885,
}
BY_HAND |= dict.fromkeys(("7", "8", "9"), BY_HAND["6"])  # penalties and dropout have no parameters


@pytest.mark.parametrize("number", [number for number in scratch_specs.NUMBERS if number != "13"])
def test_parameters_at_256_pixels_by_hand(number):
    assert build(number, 29, 256).count_params() == BY_HAND[number]


def test_batches_and_rates_are_those_printed_of_the_networks():
    printed = pd.read_csv(PROJECT / "data" / "reported" / "scratch.csv", dtype={"network": str})
    printed = printed.dropna(subset=["batch", "learning_rate"]).set_index("network")
    assert set(printed.index) == set(scratch_specs.NUMBERS) - {"13"}
    for number, row in printed.iterrows():
        spec = scratch_specs.spec_of(number)
        assert (spec.batch, spec.learning_rate) == (row["batch"], pytest.approx(row["learning_rate"])), number


@pytest.mark.parametrize("number", [number for number in scratch_specs.BY_NUMBER if number != "13"])
def test_every_network_builds_at_the_smallest_size_of_a_profile_and_takes_images_of_0_to_255(number):
    model = build(number, 5, 58)
    (rescaling,) = [layer for layer in model.layers if kind(layer) == "Rescaling"]
    assert model.output_shape == (None, 5) and rescaling.scale == pytest.approx(1 / 255)
    spec = scratch_specs.spec_of(number)
    kinds = [kind(layer) for layer in model.layers]
    assert kinds.count("BatchNormalization") == sum(conv.norm for conv in spec.convs)
    assert kinds.count("RandomWarp") == spec.augment


def test_there_are_thirteen_networks_and_the_last_averages_10_and_12():
    assert set(scratch_specs.NUMBERS) <= set(scratch_specs.BY_NUMBER) and scratch_specs.spec_of(13).members == (
        "10",
        "12",
    )


def test_dropout_of_network_9_comes_before_batch_normalisation():
    assert blocks(build(9, 5, 58)) == [["MaxPooling2D", "Dropout", "BatchNormalization"]] * 4


def test_ablations_of_9_differ_from_it_in_one_thing_each():
    names = ("8", "9", "9, dropout only", "9, dropout after BatchNorm", "9, penalties only")
    eight, nine, dropout, after, penalties = arms = [scratch_specs.spec_of(name) for name in names]
    assert [conv.dropout for conv in dropout.convs] == [conv.dropout for conv in nine.convs]
    assert [(conv.l1, conv.l2) for conv in dropout.convs] == [(conv.l1, conv.l2) for conv in eight.convs]
    assert tuple(replace(conv, drop_last=False) for conv in after.convs) == dropout.convs
    assert [(conv.l1, conv.l2) for conv in penalties.convs] == [(conv.l1, conv.l2) for conv in nine.convs]
    assert not any(conv.dropout for conv in penalties.convs)
    assert len({(arm.batch, arm.learning_rate, arm.epochs) for arm in arms}) == 1


def test_one_ablation_has_its_dropout_after_batch_normalisation():
    after = blocks(build("9, dropout after BatchNorm", 5, 58))
    assert after == [["MaxPooling2D", "BatchNormalization", "Dropout"]] * 4
    assert "BN drop 0.3" in scratch_specs.describe(scratch_specs.spec_of("9, dropout after BatchNorm"))


def test_penalty_of_network_10_is_l1_and_l2_of_its_kernels():
    model = build(10, 5, 58)
    kernels = [np.array(model.get_layer(f"conv_{i}").kernel) for i in (1, 2, 3, 4)]
    kernels.append(np.array(next(layer for layer in model.layers if kind(layer) == "Dense").kernel))
    expected = sum(0.001 * (kernel**2).sum() for kernel in kernels)
    expected += sum(0.01 * np.abs(kernel).sum() for kernel in kernels[2:])
    assert float(sum(model.losses)) == pytest.approx(expected, rel=1e-4)


def test_unknown_number_lists_the_networks():
    with pytest.raises(LabError, match="no scratch network 14; there are 1, 2, 3"):
        scratch_specs.spec_of(14)
