from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from lab_utils.core import profiles
from lab_utils.core.errors import LabError
from lab_utils.training import loop, scratch
from lab_utils.training.scratch import Conv, Dense, Network

TINY = Network("tiny", "test", (Conv(4, 2),), (Dense(8, dropout=0.1),), epochs=2, learning_rate=0.01)


@pytest.fixture
def lab(tmp_path, monkeypatch):
    """A lab of 36 images of three colours, 12 pixels wide."""
    monkeypatch.setattr(loop, "cache_folder", lambda: tmp_path)
    rng = np.random.default_rng(0)
    images = pd.DataFrame({"label": np.tile([0, 1, 2], 12), "subset": np.repeat(["train", "val", "test"], 12)})
    pixels = rng.integers(0, 80, (36, 12, 12, 3), dtype=np.uint8)
    for row, label in enumerate(images["label"]):
        pixels[row, ..., label] += 150
    settings = profiles.Scratch.model_construct(**{**profiles.Scratch().model_dump(), "size": 12, "momentum": 0.8})
    made = SimpleNamespace(images=images, classes=["a", "b", "c"], settings=SimpleNamespace(scratch=settings))
    made.table, made.pixels = SimpleNamespace(data_hash="toy"), lambda size: pixels
    made.rows = lambda split: np.flatnonzero(images["subset"] == split)
    return made


def quiet(_):
    pass


def test_network_10_has_the_parameters_that_are_printed_of_it():
    model = scratch.build(10, 29, 256)
    trainable = sum(int(np.prod(one.shape)) for one in model.trainable_variables)
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


@pytest.mark.parametrize("number", [one for one in scratch.NUMBERS if one != "13"])
def test_parameters_at_256_pixels_by_hand(number):
    assert scratch.build(number, 29, 256).count_params() == BY_HAND[number]


def test_batches_and_rates_are_those_printed_of_the_networks():
    from lab_utils.core.records import PROJECT

    printed = pd.read_csv(PROJECT / "data" / "reported" / "scratch.csv", dtype={"network": str})
    printed = printed.dropna(subset=["batch", "learning_rate"]).set_index("network")
    assert set(printed.index) == set(scratch.NUMBERS) - {"13"}
    for number, row in printed.iterrows():
        one = scratch.network(number)
        assert (one.batch, one.learning_rate) == (row["batch"], pytest.approx(row["learning_rate"])), number


@pytest.mark.parametrize("number", [one for one in scratch.BY_NUMBER if one != "13"])
def test_every_network_builds_at_the_smallest_size_of_a_profile_and_takes_images_of_0_to_255(number):
    model = scratch.build(number, 5, 58)
    assert model.output_shape == (None, 5) and model.get_layer("rescaled").scale == pytest.approx(1 / 255)
    names = [layer.name for layer in model.layers]
    assert [name for name in names if name.endswith("_norm")] == [
        f"conv_{i}_norm" for i, conv in enumerate(scratch.network(number).convs, 1) if conv.norm
    ]


def test_there_are_thirteen_networks_and_the_last_averages_10_and_12():
    assert set(scratch.NUMBERS) <= set(scratch.BY_NUMBER) and scratch.network(13).members == ("10", "12")


def test_dropout_of_network_9_comes_before_batch_normalisation():
    names = [layer.name for layer in scratch.build(9, 5, 58).layers]
    for place in range(1, 5):
        dropped = names.index(f"conv_{place}_dropout")
        assert names[dropped - 1 : dropped + 2] == [f"conv_{place}_pool", f"conv_{place}_dropout", f"conv_{place}_norm"]


def test_ablations_of_9_differ_from_it_in_one_thing_each():
    names = ("8", "9", "9, dropout only", "9, dropout after BatchNorm", "9, penalties only")
    eight, nine, dropout, after, penalties = arms = [scratch.network(name) for name in names]
    assert [conv.dropout for conv in dropout.convs] == [conv.dropout for conv in nine.convs]
    assert [(conv.l1, conv.l2) for conv in dropout.convs] == [(conv.l1, conv.l2) for conv in eight.convs]
    assert tuple(replace(conv, drop_last=False) for conv in after.convs) == dropout.convs
    assert [(conv.l1, conv.l2) for conv in penalties.convs] == [(conv.l1, conv.l2) for conv in nine.convs]
    assert not any(conv.dropout for conv in penalties.convs)
    assert len({(one.batch, one.learning_rate, one.epochs) for one in arms}) == 1


def test_one_ablation_has_its_dropout_after_batch_normalisation():
    names = [layer.name for layer in scratch.build("9, dropout after BatchNorm", 5, 58).layers]
    for place in range(1, 5):
        dropped = names.index(f"conv_{place}_dropout")
        assert names[dropped - 2 : dropped + 1] == [f"conv_{place}_pool", f"conv_{place}_norm", f"conv_{place}_dropout"]
    assert "BN drop 0.3" in scratch.describe(scratch.network("9, dropout after BatchNorm"))


def test_penalty_of_network_10_is_l1_and_l2_of_its_kernels():
    model = scratch.build(10, 5, 58)
    kernels = [np.array(model.get_layer(f"conv_{i}").kernel) for i in (1, 2, 3, 4)]
    kernels.append(np.array(model.get_layer("dense_1").kernel))
    expected = sum(0.001 * (kernel**2).sum() for kernel in kernels)
    expected += sum(0.01 * np.abs(kernel).sum() for kernel in kernels[2:])
    assert float(sum(model.losses)) == pytest.approx(expected, rel=1e-4)


def test_unknown_number_lists_the_networks():
    with pytest.raises(LabError, match="no scratch network 14; there are 1, 2, 3"):
        scratch.network(14)


def test_an_image_too_small_for_the_layers_is_a_sentence():
    with pytest.raises(LabError, match=r"#6 has no pixels left at size 20: raise scratch.size"):
        scratch.build(6, 5, 20)


def test_plan_scales_epochs_rate_and_batch_as_said():
    settings = profiles.Scratch(epochs=0.1, max_epochs=5, batch=32, learning_rate=10, max_learning_rate=2e-3)
    seven, eleven, two = (scratch.plan(scratch.network(i), settings) for i in (7, 11, 2))
    assert (seven.epochs, seven.batch, seven.learning_rate) == (2, 32, pytest.approx(5e-4))
    assert eleven.epochs == 5 and two.learning_rate == 2e-3
    text = scratch.scaling(settings)
    assert "epochs × 0.1, 5 at most" in text and "× 10, 0.002 at most" in text and "windows cut" in text


def test_a_network_learns_three_colours_is_found_again_and_leaves_test_labels_alone(lab):
    lab.settings.scratch = lab.settings.scratch.model_copy(update={"learning_rate": 1, "max_learning_rate": 0.1})
    one = replace(TINY, epochs=12)
    trained = scratch.train(lab, one, quiet)
    probabilities = trained.probabilities("test")
    assert (probabilities.argmax(1) == lab.images["label"][24:]).mean() > 0.9
    assert scratch.train(lab, one, quiet) is trained
    del lab._scratch
    again = scratch.train(lab, one, quiet)
    assert again.fitted.loaded and np.array_equal(again.probabilities("test"), probabilities)
    assert not loop.labels_for(lab, "test", lab.rows("test")).any()


def test_ensemble_averages_the_probabilities_of_its_members_also_as_a_model(lab, monkeypatch):
    monkeypatch.setitem(scratch.BY_NUMBER, "10", TINY)
    monkeypatch.setitem(scratch.BY_NUMBER, "12", replace(TINY, number="moved", augment=True))
    trained = scratch.train(lab, 13, quiet)
    first, second = trained.members
    mean = (first.probabilities("val") + second.probabilities("val")) / 2
    np.testing.assert_allclose(trained.probabilities("val"), mean, atol=1e-6)
    images = lab.pixels(12)[lab.rows("val")].astype(np.float32)
    np.testing.assert_allclose(loop.softmax(trained.model()(images).numpy()), mean, atol=1e-5)
    assert trained.seconds == first.seconds + second.seconds


def test_augmented_training_differs_from_plain_and_repeats_itself(lab):
    plain, moved = scratch.train(lab, TINY, quiet), scratch.train(lab, replace(TINY, augment=True), quiet)
    assert not np.allclose(plain.probabilities("val"), moved.probabilities("val"))
    weights = [np.array(one) for one in moved.model().variables]
    for model in loop.cache_folder().rglob("model.npz"):
        model.unlink()
    del lab._scratch
    again = scratch.train(lab, replace(TINY, augment=True), quiet)
    assert not again.fitted.loaded
    assert all(np.array_equal(a, np.array(b)) for a, b in zip(weights, again.model().variables, strict=True))


def test_a_cap_draws_from_all_of_a_class_not_from_its_first_images(lab):
    rows, labels = loop.used_rows(lab, "train", 2), lab.images["label"].to_numpy()
    assert np.bincount(labels[rows]).tolist() == [2, 2, 2] and len(loop.used_rows(lab, "val", 2)) == 12
    assert rows.tolist() == sorted(rows) == loop.used_rows(lab, "train", 2).tolist()
    assert set(rows) <= set(lab.rows("train")) and rows.tolist() != [0, 1, 2, 3, 4, 5]  # the first of each class
    assert set(rows) < set(loop.used_rows(lab, "train", 3))


def test_table_names_what_the_original_does_not_print(lab):
    table = scratch.table([scratch.network(i) for i in (7, 13)], profiles.Scratch())
    assert table["not printed there"].tolist() == ["epochs, penalties, dropout", ""]
    assert table["layers"].tolist()[1] == "average of #10 and #12"
