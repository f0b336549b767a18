import itertools
import math
from dataclasses import replace

import numpy as np
import pytest

from lab_utils.core import profiles
from lab_utils.core.errors import LabError
from lab_utils.core.profiles import FineTuning
from lab_utils.training import recipes
from lab_utils.training.recipes import RUN1, RUN3, RUN5, RUNS, recipe


def test_the_six_runs_are_as_the_slides_print_them():
    import csv

    from lab_utils.core.records import PROJECT

    rows = list(csv.DictReader((PROJECT / "data" / "reported" / "fine_tuning.csv").open(encoding="utf-8")))
    for one, row in zip(RUNS, rows, strict=False):
        assert one.name == f"run {row['run']}"
        assert one.head == tuple(int(width) for width in row["head"].split(","))
        assert one.learning_rate == pytest.approx(float(row["learning_rate"]))
        assert (one.batch, one.epochs) == (int(row["batch"]), int(row["epochs"]))
        assert one.l2 == float(row["l2"] or 0) and one.dropout == float(row["dropout"] or 0)
        assert (one.network, one.frozen, one.size, one.augment) == ("vgg16", 3, 256, False)


def test_full_size_settings_leave_a_run_as_printed():
    settings = FineTuning(networks=("vgg16",), size=256, pooling="flatten")
    assert recipes.scaled(RUN5, settings) == RUN5
    assert recipes.scaling(settings).endswith("with vgg16 at 256 pixels.")


def test_scaling_changes_what_the_sentence_says_and_nothing_else():
    settings = FineTuning(
        networks=("lite0", "lite1"), size=96, frozen=4, epochs=8, batch=30, learning_rate=8e-4, spread=0.5
    )
    one = recipes.scaled(RUN5, settings)
    assert (one.network, one.size, one.frozen, one.pooling) == ("lite0", 96, 4, "average")
    # by hand: 8 · √(50/80) = 6.3; 300 · 30/300; 8e-4 · √(3e-6/1e-4) = 1.386e-4
    assert (one.epochs, one.batch, one.learning_rate) == (6, 30, pytest.approx(1.386e-4, rel=5e-3))
    assert (one.l2, one.dropout, one.head) == (RUN5.l2, RUN5.dropout, RUN5.head)
    assert recipes.scaled(RUN3, settings).batch == 25 and recipes.scaled(recipes.RUN6, settings).epochs == 8
    text = recipes.scaling(settings)
    for words in ("lite0 at 96 pixels", "4 of 5 blocks", "8 epochs", "batches × 0.1", "0.0008 for run 1", "power 0.5"):
        assert words in text


@pytest.mark.parametrize("profile", profiles.profile_names())
def test_every_run_is_long_enough_for_a_trend(profile, tmp_path):
    from lab_utils.stats import curves

    settings = profiles.resolve(profile, path=tmp_path).fine_tuning
    for one in recipes.RUNS:
        epochs = recipes.scaled(one, settings).epochs
        assert curves.trend(np.arange(epochs, dtype=float)).value == pytest.approx(1)


@pytest.mark.parametrize("profile", ["sample", "photos"])
def test_scaling_keeps_the_order_of_rates_batches_and_epochs(profile, tmp_path):
    settings = profiles.resolve(profile, path=tmp_path).fine_tuning
    made = [recipes.scaled(one, settings) for one in recipes.RUNS]
    for a, b in itertools.combinations(range(6), 2):
        first, second = recipes.RUNS[a], recipes.RUNS[b]
        assert (made[a].learning_rate < made[b].learning_rate) == (first.learning_rate < second.learning_rate)
        assert (made[a].batch < made[b].batch) == (first.batch < second.batch)
        assert first.epochs > second.epochs or made[a].epochs <= made[b].epochs


SAMPLE = FineTuning(networks=("lite0",), size=96, frozen=4, epochs=8, batch=18, learning_rate=8e-4, spread=0.5)


def test_the_name_of_a_varied_run_says_what_is_run():
    one = recipes.scaled(recipe(3, learning_rate=1e-5, batch=150, epochs=20, l2=0.5), SAMPLE)
    # by hand: 8e-4 · √(1e-5/1e-4); 150 · 18/300; 8 · √(20/80)
    assert (one.learning_rate, one.batch, one.epochs) == (pytest.approx(2.53e-4, rel=2e-3), 9, 4)
    assert one.name == "run 3, learning rate 0.000253, batch 9, epochs 4, L2 0.5"
    assert recipes.scaled(replace(recipe(3, l2=0.5), name="mine"), SAMPLE).name == "mine"
    assert recipes.scaled(recipe(recipe(3, l2=0.5), l2=0.2), SAMPLE).name == "run 3, L2 0.2"


def test_what_is_asked_for_is_not_overridden_by_the_profile():
    asked = recipe(3, frozen=2, size=128, pooling="flatten", preprocessing="1/255")
    one = recipes.scaled(asked, SAMPLE)
    assert (one.frozen, one.size, one.pooling, one.network) == (2, 128, "flatten", "lite0")
    assert one.name == "run 3, frozen blocks 2, input size 128, pooling flatten, preprocessing 1/255"
    assert recipes.scaled(recipe(3, l2=0.5), SAMPLE).frozen == 4
    assert "is kept as asked for" in recipes.scaling(SAMPLE)


@pytest.mark.parametrize(
    "setting, value, words",
    [
        ("preprocessing", "rihgt", "'right' or '1/255'"),
        ("learning_rate", -1, "greater than 0"),
        ("learning_rate", "fast", "valid number"),
        ("learning_rate", math.nan, "less than or equal to 1"),
        ("batch", 0, "greater than 0"),
        ("batch", 2.5, "valid integer"),
        ("frozen", 6, "less than or equal to 5"),
        ("dropout", 1.5, "less than 1"),
        ("l2", math.inf, "finite"),
        ("head", (512, 0), "greater than 0"),
        ("head", 512, "valid tuple"),
        ("size", 16, "greater than or equal to 32"),
        ("augment", "yes", "valid boolean"),
    ],
)
def test_a_setting_out_of_its_range_is_a_sentence(setting, value, words):
    with pytest.raises(LabError, match=rf"run 3: {setting} is .*: input should be .*{words}"):
        recipe(3, **{setting: value})


def test_a_head_may_be_a_list():
    assert recipe(3, head=[512]) == recipe(3, head=(512,))


def test_an_earlier_stage_is_scaled_with_its_recipe():
    stage = replace(RUN1, frozen=5, name="probe")
    one = recipes.scaled(replace(RUN5, start=stage), FineTuning(size=64), network="lite1")
    assert (one.start.network, one.start.size, one.start.frozen) == ("lite1", 64, 5)


def test_changes_get_a_name_and_unknown_ones_are_listed():
    assert recipe(3, l2=0.5).name == "run 3, L2 0.5"
    assert recipe("run 3", head=(1024, 512)).head == (1024, 512)
    with pytest.raises(LabError, match="no recipe 9; the recipes are run 1"):
        recipe(9)
    with pytest.raises(LabError, match=r"no setting 'rate'; the settings are .*learning_rate"):
        recipe(3, rate=1)


def test_a_grid_changes_one_setting_at_a_time():
    grid = recipes.one_at_a_time(RUN3, learning_rate=(5e-5, 1e-4), l2=(0.0, 0.1, 0.5), head=((512, 256), (1024, 512)))
    assert grid[0] == RUN3 and len(grid) == 5
    assert all(len(recipes.changed(RUN3, one)) == 1 for one in grid[1:])


def test_table_shows_the_settings_that_differ():
    table = recipes.table(recipes.RUN2, RUN3)
    assert table["setting"].tolist() == ["batch", "epochs", "L2", "dropout"]
    assert table["run 3"].tolist() == ["250", "9", "0.1", "0.5"]
    assert len(recipes.table(RUN3)) == len(recipes.SHOWN)


def test_a_first_dense_layer_of_vgg_width_starts_near_the_penalty_that_run_5_prints():
    # Glorot: variance 2 / (fan in + fan out); 8 × 8 × 512 features into 512
    squares = 8 * 8 * 512 * 512 * 2 / (8 * 8 * 512 + 512)
    assert math.isclose(RUN5.l2 * squares, 101, abs_tol=1)
