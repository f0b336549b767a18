"""Chapter 15's comparisons, treatments and front on constructed data whose answer is known."""

from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import RidgeClassifier
from sklearn.preprocessing import StandardScaler, normalize

from lab_utils.chapters import improvements
from lab_utils.core import quantities
from lab_utils.core.errors import LabError
from lab_utils.stats.intervals import Difference


@pytest.fixture(scope="module")
def clusters():
    """Four classes of thirty points in ten dimensions; labels 0 and 1 of the first five of each are swapped."""
    rng = np.random.default_rng(0)
    truth = np.repeat(np.arange(4), 30)
    points = (4 * rng.normal(size=(4, 10))[truth] + rng.normal(size=(120, 10))).astype(np.float32)
    given = truth.copy()
    given[:5], given[30:35] = 1, 0
    return points, truth, given


def test_the_head_is_ridge_on_standardised_columns_of_unit_rows(clusters):
    points, truth, _ = clusters
    scaler = StandardScaler().fit(points[::2])
    expected = RidgeClassifier(alpha=0.1).fit(normalize(scaler.transform(points[::2])), truth[::2])
    found = improvements.head_predictions([points[::2]], truth[::2], [points[1::2]])
    assert np.array_equal(found, expected.predict(normalize(scaler.transform(points[1::2]))))


def test_joined_blocks_count_the_same_however_wide_and_large_they_are(clusters):
    """A block beside 100 columns of large noise, by hand: two unit vectors a row, twice the penalty."""
    points, truth, _ = clusters
    noise = 1000 * np.random.default_rng(1).normal(size=(120, 100)).astype(np.float32)
    rows = [normalize(StandardScaler().fit(block[::2]).transform(block)) for block in (points, noise)]
    joined = np.concatenate(rows, axis=1) / np.sqrt(2)
    expected = RidgeClassifier(alpha=0.1).fit(joined[::2], truth[::2])
    predicted = improvements.head_predictions([points[::2], noise[::2]], truth[::2], [points[1::2], noise[1::2]])
    assert np.array_equal(predicted, expected.predict(joined[1::2]))


def test_swapped_labels_are_replaced_and_left_out(clusters):
    points, truth, given = clusters
    found = improvements.treatments(points, given)
    wrong = np.flatnonzero(given != truth)
    labels, weights = found["doubted labels replaced"]
    assert (labels == truth).mean() > (given == truth).mean()
    assert (labels[wrong] == truth[wrong]).mean() > 0.7
    assert (weights == 1).all()
    assert found["doubted images left out"][1][wrong].mean() < 0.3
    assert set(found["doubted images at half weight"][1]) == {0.5, 1}


def test_outliers_are_the_far_points(clusters):
    points, truth, _ = clusters
    far = points.copy()
    far[[3, 70]] += 60
    weights = improvements.treatments(far, truth, share=2 / 120)["outliers left out"][1]
    assert set(np.flatnonzero(weights == 0)) == {3, 70}


def test_difficult_classes_weigh_more():
    rng = np.random.default_rng(1)
    labels = np.repeat([0, 1, 2], 40)
    centres = np.array([[0, 0], [0.3, 0], [20, 20]])  # the first two overlap
    weights = improvements.treatments((centres[labels] + rng.normal(size=(120, 2))).astype(np.float32), labels)
    weights = weights["difficult classes weighted"][1]
    assert weights[80:].max() < min(weights[0], weights[40])
    assert 1 <= weights.min() <= weights.max() <= 2


def test_a_class_with_one_image_does_not_keep_the_others_from_being_weighted():
    rng = np.random.default_rng(1)
    labels = np.array([*np.repeat([0, 1, 2], 40), 3])
    centres = np.array([[0, 0], [0.3, 0], [20, 20], [90, 0]])  # the first two overlap
    points = (centres[labels] + rng.normal(size=(121, 2))).astype(np.float32)
    weights = improvements._difficulty(points, labels, seed=0)
    assert weights[120] == 1
    assert weights[80:120].max() < min(weights[0], weights[40])


def test_few_images_are_drawn_and_not_the_first_of_a_sorted_table():
    labels = np.tile(np.arange(3), 40)
    rows = np.arange(30, 120)
    found = improvements.few_images(labels, rows, 5, seed=1)
    assert np.bincount(labels[found]).tolist() == [5, 5, 5]
    assert set(found) <= set(rows) and (np.diff(found) > 0).all()
    assert found.max() > 75  # the first five of each class end at row 44
    assert np.array_equal(found, improvements.few_images(labels, rows, 5, seed=1))
    assert not np.array_equal(found, improvements.few_images(labels, rows, 5, seed=2))
    assert 3 not in np.append(labels, 3)[improvements.few_images(np.append(labels, 3), np.arange(121), 5, least=2)]


def test_class_folders_hold_links_to_the_images_of_each_class(tmp_path):
    (tmp_path / "a.png").write_bytes(b"one")
    (tmp_path / "b.png").write_bytes(b"two")
    images = pd.DataFrame({"path": [str(tmp_path / "a.png"), str(tmp_path / "b.png")] * 2, "label": [0, 1, 1, 0]})
    settings = SimpleNamespace(run_folder=tmp_path / "run")
    lab = SimpleNamespace(settings=settings, images=images, classes=["Oil on canvas", "Bronze"])
    for _ in range(2):  # made anew
        root = improvements.class_folders(lab, np.array([0, 1, 2]))
        found = {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*.png")}
        assert found == {"Oil on canvas/0.png": b"one", "Bronze/1.png": b"two", "Bronze/2.png": b"one"}


def test_intervals_widen_with_the_number_of_gains_to_pick_from():
    rng = np.random.default_rng(0)
    truth = np.zeros(200, int)
    answers = {"a": rng.integers(0, 2, 200), "b": rng.integers(0, 2, 200)}
    one, five = (improvements.compare(truth, answers, "a", comparisons=k)["gain"][1] for k in (1, 5))
    assert one.value == five.value
    wider = (five.high - five.low) / (one.high - one.low)
    assert wider == pytest.approx(2.576 / 1.960, rel=0.12)  # normal quantiles of 0.5 % and 2.5 %


def test_rates_of_classes_by_hand():
    rates = improvements.rates_of_classes(np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1]), 3)
    assert rates.tolist() == [0.5, 1, 1]


def test_a_comparison_pairs_with_the_reference_and_a_staircase_with_the_row_before():
    truth = np.zeros(10, int)
    answers = {"a": np.repeat([0, 1], 5), "b": np.repeat([0, 1], [7, 3]), "c": np.repeat([0, 1], [6, 4])}
    table = improvements.compare(truth, answers, "a")
    assert table["gain"][0] is None
    assert [round(one.value, 2) for one in table["gain"][1:]] == [0.2, 0.1]
    assert improvements.best_of(truth, answers) == "b"
    assert improvements.best_gain(table).of == "b minus a"
    steps = improvements.staircase(truth, answers, {"a": 1, "b": 2, "c": 3})
    assert [round(one.value, 2) for one in steps["gain"][1:]] == [0.2, -0.1]


def test_the_mean_of_members_outvotes_the_unsure_one():
    members = {"sure": np.array([[0.9, 0.1]]), "unsure": np.array([[0.4, 0.6]])}
    assert improvements.averaged(members).tolist() == [0]


def test_modern_steps_change_one_thing_at_a_time():
    from lab_utils.training.recipes import changed

    steps = [one for one in improvements.modern_steps(20, 1e-4) if one.name != "linear probe"]
    differences = [changed(before, after) for before, after in pairwise(steps)]
    assert differences == [["preprocessing"], [], ["schedule", "warmup"], ["label_smoothing"], ["augment", "crop"]]
    assert steps[2].start.frozen == 5
    assert steps[1].start is None


@pytest.mark.parametrize("profile", ["sample", "photos", "mame"])
def test_modern_steps_are_one_small_layer_in_every_profile(profile):
    """Also where the original's runs flatten; the probe's rate stays above fine-tuning's and below what Adam bears."""
    from lab_utils.core import profiles
    from lab_utils.training import recipes

    settings = profiles.resolve(profile)
    steps = improvements.modern_steps(settings.improvements.epochs, settings.improvements.learning_rate)
    scaled = [recipes.scaled(one, settings.fine_tuning) for one in steps]
    assert {one.pooling for one in scaled} == {"average"}
    assert [one.name for one in scaled] == [one.name for one in steps]
    assert all(one.start is None or one.start.pooling == "average" for one in scaled)
    assert scaled[1].learning_rate < scaled[0].learning_rate < 0.01
    assert recipes.scaled(recipes.recipe("run 1"), settings.fine_tuning).pooling == settings.fine_tuning.pooling


def test_a_crop_counts_as_a_setting_only_where_images_are_augmented():
    from dataclasses import replace

    last = improvements.modern_steps(20, 1e-4)[-1]
    assert last.identity()["crop"] == improvements.CROP
    assert "crop" not in replace(last, crop=1.0).identity()
    assert "crop" not in replace(last, augment=False).identity()


def test_a_staged_fit_costs_its_first_stage_too():
    probe, *_, last = improvements.modern_steps(20, 1e-4)
    runs = {one.name: SimpleNamespace(recipe=one, seconds=2.0) for one in (probe, last)}
    assert improvements.total_seconds(runs) == {probe.name: 2.0, last.name: 4.0}


def test_what_the_preprocessing_costs_here_stands_beside_the_other_chapters_quantity():
    stairs = pd.DataFrame(
        {"step": ["1/255", "+ right preprocessing"], "gain": [None, Difference(-0.004, -0.03, 0.02, 9)]}
    )
    there = quantities.Quantity("cost", 0.056, 0.021, 0.091, 232, chapter="06_fine_tuning_run1", text="better by 5.6")
    words = improvements.preprocessing_words(stairs, there)
    assert (
        "a tie (-0.4 points" in words and "in chapter 06, run 1, better by 5.6" in words and "differ in head" in words
    )
    agreeing = quantities.Quantity("cost", -0.01, -0.04, 0.02, 232, chapter="06_fine_tuning_run1", text="a tie")
    assert "differ in head" not in improvements.preprocessing_words(stairs, agreeing)


# ---- fine-tuned networks ---------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def tuned():
    """A stand-in for a fine-tuned run on Lite0 at 32 pixels with one linear layer, and its lab of 6 val images."""
    pytest.importorskip("keras")
    from lab_utils.training import fine_tuning
    from lab_utils.training.recipes import FineTuningRecipe

    one = FineTuningRecipe("m", "test", 1e-3, 8, 1, network="lite0", frozen=4, head=(), pooling="average", size=32)
    model = fine_tuning.network(one, 3)
    rng = np.random.default_rng(0)
    model.get_layer("logits").set_weights([0.1 * rng.normal(size=(1280, 3)), rng.normal(size=3)])
    pixels = {size: rng.integers(0, 256, (8, size, size, 3), dtype=np.uint8) for size in (32, 64)}
    run = SimpleNamespace(recipe=one, model=lambda: model, rows=lambda split: np.arange(2, 8))
    run.preprocess = lambda images: fine_tuning.prepare(one, images)
    settings = SimpleNamespace(networks=SimpleNamespace(weights="imagenet"))
    return SimpleNamespace(pixels=pixels.get, classes=list("abc"), settings=settings), run


def softmax_of(scores):
    raised = np.exp(scores - scores.max(1, keepdims=True))
    return raised / raised.sum(1, keepdims=True)


def test_at_test_time_without_a_change_is_the_networks_own_answer(tuned):
    lab, run = tuned
    images = lab.pixels(32)[2:]
    plain = softmax_of(run.model().predict(run.preprocess(images), verbose=0))
    assert improvements.at_test_time(lab, run) == pytest.approx(plain, abs=1e-4)
    mirrored = softmax_of(run.model().predict(run.preprocess(np.flip(images, axis=2)), verbose=0))
    assert improvements.at_test_time(lab, run, flips=True) == pytest.approx((plain + mirrored) / 2, abs=1e-4)
    assert np.abs(plain - mirrored).max() > 0.01


def test_a_larger_input_keeps_the_weights(tuned):
    """By another way: the backbone at 64 pixels, averaged over places, times the trained kernel."""
    from lab_utils.networks import backbones

    lab, run = tuned
    base = backbones.frozen_base("lite0", 4, weights="imagenet", size=64)
    maps = base.predict(backbones.preprocess("lite0", lab.pixels(64)[2:]), verbose=0)
    kernel, bias = run.model().get_layer("logits").get_weights()
    wanted = softmax_of(maps.mean(axis=(1, 2)) @ kernel + bias)
    assert improvements.at_test_time(lab, run, 64) == pytest.approx(wanted, abs=1e-4)


def test_another_size_with_a_flattened_map_is_refused(tuned):
    from dataclasses import replace

    lab, run = tuned
    flat = SimpleNamespace(**{**vars(run), "recipe": replace(run.recipe, pooling="flatten")})
    with pytest.raises(LabError, match="fixes the input size"):
        improvements.at_test_time(lab, flat, 64)


def test_joined_features_are_read_by_split_and_block(clusters):
    """Each of two networks holds half of the columns; the rows of train and val are not mixed."""
    points, truth, _ = clusters
    halves = {"one": points[:, :5], "two": points[:, 5:]}
    rows = {"train": np.arange(0, 120, 2), "val": np.arange(1, 120, 2)}
    runs = {name: SimpleNamespace(features=lambda split, half=half: half[rows[split]]) for name, half in halves.items()}
    found = improvements.joined_features(runs, truth[rows["train"]])
    assert list(found) == ["one", "two", "joined"]
    direct = improvements.head_predictions(
        [half[rows["train"]] for half in halves.values()],
        truth[rows["train"]],
        [half[rows["val"]] for half in halves.values()],
    )
    assert np.array_equal(found["joined"], direct)
    assert (found["joined"] == truth[rows["val"]]).mean() > 0.9
    assert list(improvements.joined_features({"one": runs["one"]}, truth[rows["train"]])) == ["one"]


def test_members_are_the_six_runs_and_run_1_on_the_other_networks():
    asked = []
    settings = SimpleNamespace(fine_tuning=SimpleNamespace(networks=["vgg16", "b3"]))
    lab = SimpleNamespace(settings=settings, entries=asked.append, title=str.upper)
    lab.fine_tune = lambda number, network=None: (number, network)
    found = improvements.members(lab)
    assert asked == ["11"]  # stops where chapter 11 was not run
    assert found == {f"run {k}": (k, None) for k in range(1, 7)} | {"run 1 on B3": (1, "b3")}
