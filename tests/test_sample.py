"""The generated sample: reproducible, shaped like MAMe, with the traps that make MAMe instructive."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from lab_utils.core.errors import LabError
from lab_utils.core.records import PROJECT
from lab_utils.data import mame, mame_facts
from lab_utils.sample import generator
from lab_utils.sample.render import render

HARD_PAIRS = {
    *("Engraving / Etching", "Silk and metal thread / Woven fabric"),
    *("Oil on canvas / Polychromed wood", "Limestone / Marble"),
}
ORIGINAL = os.environ.get("MAME_ROOT")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A small sample: 120 images of 8 mediums."""
    return generator.generate(tmp_path_factory.mktemp("sample"), images=120, long_side=64, classes=8, progress=str)


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    """The plan of the sample of full size, without its pictures."""
    rows = pd.DataFrame(vars(one) for one in generator.plan(1300, None, 0))
    return rows.assign(lot_key=rows.museum + rows.lot.where(rows.lot != "", rows.accession))


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_the_same_seed_gives_the_same_bytes_whatever_the_number_of_workers(folder, tmp_path):
    again = generator.generate(tmp_path, images=120, long_side=64, classes=8, progress=str, workers=1)
    assert bytes_of(again) == bytes_of(folder)


def test_another_seed_gives_other_pictures(folder, tmp_path):
    other = generator.generate(tmp_path, images=120, long_side=64, classes=8, seed=1, progress=str)
    assert not set(bytes_of(other).values()) & set(bytes_of(folder / "data_256").values())


def test_every_row_has_its_file_with_the_aspect_of_the_table(folder):
    rows = pd.read_csv(folder / "MAMe_dataset.csv")
    assert set(rows["Image file"]) == {path.name for path in (folder / "data_256").iterdir()}
    for row in rows.itertuples(index=False):
        with Image.open(folder / "data_256" / row[0]) as image:
            assert max(image.size) == 64
            assert abs(np.log(image.size[0] / image.size[1] / np.clip(row[8], 0.25, 4))) < 0.05


def test_the_reader_of_mame_accepts_it_with_lots_and_object_groups(folder):
    rows, classes = mame.read(folder)
    assert classes == sorted(generator.class_names(8))
    assert (rows["lot"] != "").mean() > 0.5
    assert set(rows["subset"]) == {"train", "val", "test"}


def test_woven_fabric_keeps_its_trailing_blank_in_the_table_but_not_in_the_labels(folder):
    assert "Woven fabric " in set(pd.read_csv(folder / "MAMe_dataset.csv")["Medium"])
    assert "Woven fabric" in set(pd.read_csv(folder / "MAMe_labels.csv", header=None)[1])


def test_full_size_has_29_mediums_and_an_imbalanced_test_set(table):
    counts = table.pivot_table(index="medium", columns="subset", values="file", aggfunc="size")
    assert len(counts) == 29
    assert abs(len(table) - 1300) <= 15
    assert counts["train"].nunique() == counts["val"].nunique() == 1
    assert counts["test"].idxmin() == "Silk and metal thread"
    assert counts["test"].max() > 5 * counts["test"].min()


def test_all_images_of_mame_are_planned_split_by_split_and_museum_by_museum():
    rows = pd.DataFrame(vars(one) for one in generator.plan("all", None, 0))
    counts = pd.crosstab(rows["medium"], rows["subset"])
    reported = pd.read_csv(PROJECT / "data" / "reported" / "mame_counts.csv", index_col="medium")
    for split in generator.SPLITS:
        assert (counts[split] == reported[split].reindex(counts.index)).all()
    assert len(rows) == 37_407 and rows["file"].is_unique
    by_museum = mame_facts.by_museum().set_index(["medium", "museum"])[[*generator.SPLITS]].sum(axis=1)
    assert (rows.groupby(["medium", "museum"]).size() == by_museum[by_museum > 0]).all()


def test_museums_have_the_proportions_of_the_facts(table):
    facts = mame_facts.by_museum().assign(images=lambda rows: rows.train + rows.val + rows.test)
    expected = facts.pivot(index="medium", columns="museum", values="images").fillna(0)
    found = table.pivot_table(index="medium", columns="museum", values="file", aggfunc="size").fillna(0)
    shares = [counts.div(counts.sum(axis=1), axis=0) for counts in (found, expected)]
    assert (shares[0] - shares[1]).abs().max().max() < 0.06


@pytest.mark.skipif(not ORIGINAL, reason="MAME_ROOT is not set: no real metadata to compare the facts with")
def test_the_facts_are_those_of_the_real_metadata():
    rows = pd.read_csv(Path(ORIGINAL) / "MAMe_dataset.csv")
    rows["Medium"] = rows["Medium"].str.strip()
    counts = rows.groupby(["Medium", "Museum", "Subset"]).size().unstack(fill_value=0)
    facts = mame_facts.by_museum().set_index(["medium", "museum"])
    assert (facts[["train", "val", "test"]].sort_index().to_numpy() == counts[["train", "val", "test"]]).all(axis=None)
    median = rows.groupby(["Medium", "Museum"])["Aspect ratio"].median()
    assert np.allclose(facts["aspect_50"].sort_index(), median, atol=0.001)
    lots = rows["Museum-based instance ID"].astype(str).str.split(".").str[:2].str.join(".")
    sizes = rows.groupby(["Medium", "Museum", lots]).size()
    assert all(sizes[one.medium, one.museum, one.lot] == one.images for one in mame_facts.big_lots().itertuples())


def test_rows_come_by_split_then_medium_then_museum_so_that_unshuffled_folds_shift_museums(table):
    train = table[table.subset == "train"]
    blocks = (train.medium + train.museum).ne((train.medium + train.museum).shift()).sum()
    assert blocks == train.groupby(["medium", "museum"]).ngroups


def test_a_few_lots_dominate_and_predict_the_medium_on_test(table):
    albumen = table[table.medium == "Albumen photograph"]
    assert 0.35 < (albumen.lot == "63.350").mean() < 0.7
    train, test = table[table.subset == "train"], table[table.subset == "test"]
    seen = test[test.lot_key.isin(train.lot_key)]
    assert 0.45 < len(seen) / len(test) < 0.75
    commonest = train.groupby("lot_key").medium.agg(lambda names: names.mode().iloc[0])
    assert 0.3 < (seen.lot_key.map(commonest) == seen.medium).sum() / len(test) < 0.6


def test_siblings_are_parts_of_one_object_and_some_cross_the_splits(table):
    parts = table[table.accession.str.contains(r"[ab]$")]
    pairs = parts.groupby(parts.accession.str[:-1])
    assert (pairs.size() == 2).all()
    assert (pairs.medium.nunique() == 1).all()
    assert pairs.subset.nunique().max() == 2
    assert 0.02 < len(parts) / len(table) < 0.05
    assert table.file.is_unique and table.accession.is_unique


def test_siblings_look_alike():
    def picture(own: int, style: int) -> np.ndarray:
        rngs = np.random.default_rng(own), np.random.default_rng(style)
        return render("Gold", rngs[0], 64, 1.0, "Metropolitan Museum of Art", "", rngs[1]).astype(float)

    alike = [np.abs(picture(k, k) - picture(k + 50, k)).mean() for k in range(6)]
    strange = [np.abs(picture(k, k) - picture(k + 50, k + 1)).mean() for k in range(6)]
    assert np.mean(alike) < 0.8 * np.mean(strange)


def test_a_smaller_sample_keeps_confusable_pairs():
    names = generator.class_names(8)
    assert {"Engraving", "Etching", "Woven fabric", "Silk and metal thread"} <= set(names)
    assert len(set(generator.class_names())) == 29


@pytest.mark.parametrize("medium", generator.class_names())
def test_every_medium_is_drawn_at_any_aspect(medium):
    for aspect in (0.1, 1.0, 9.0):
        image = render(medium, np.random.default_rng(0), 48, aspect, "The Cleveland Museum of Art", "")
        assert image.dtype == np.uint8 and max(image.shape) == 48 and image.std() > 3


@pytest.mark.parametrize("kind", ["ruler", "number", "stand", "caption", "mount"])
def test_a_give_away_marks_the_border_and_leaves_the_middle(kind):
    plain, marked = (
        render("Bronze", np.random.default_rng(3), 96, 1.0, "Metropolitan Museum of Art", one).astype(int)
        for one in ("", kind)
    )
    changed = np.abs(plain - marked).max(-1) > 8
    assert changed.any() and not changed[20:76, 20:76].any()


@pytest.mark.parametrize("wrong", [{"classes": 1}, {"classes": 30}, {"images": 100, "classes": 20}])
def test_impossible_sizes_are_refused_in_one_sentence(tmp_path, wrong):
    with pytest.raises(LabError, match=r"data\.(classes|images) is"):
        generator.generate(tmp_path, progress=str, **wrong)


def test_an_unknown_medium_is_refused():
    with pytest.raises(LabError, match="Fresco"):
        render("Fresco", np.random.default_rng(0), 48, 1.0, "")


def test_apportion_gives_whole_numbers_that_sum_up():
    assert generator.apportion(np.array([1, 1, 1]), 10).tolist() == [4, 3, 3]
    assert generator.apportion(np.array([700, 95, 0]), 8).tolist() == [7, 1, 0]


@pytest.mark.slow
def test_a_linear_probe_on_lite0_is_neither_lost_nor_perfect_and_the_hard_pairs_stay_hard(tmp_path):
    from sklearn.linear_model import RidgeClassifierCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from lab_utils.training import features

    folder = generator.generate(tmp_path / "sample", images=1300, progress=str)
    rows, _ = mame.read(folder)
    paths = [mame.image_folder(folder) / file for file in rows["file"]]
    X = features.extract("lite0", paths, data_hash="sample", layers=["penultimate"], folder=tmp_path)["penultimate"]
    label, train = rows["medium"].to_numpy(), (rows["subset"] == "train").to_numpy()
    probe = make_pipeline(StandardScaler(), RidgeClassifierCV(np.logspace(1, 5, 5))).fit(X[train], label[train])
    truth, guess = label[~train], probe.predict(X[~train])
    assert 0.30 < (guess == truth).mean() < 0.90
    wrong = pd.Series([" / ".join(sorted(pair)) for pair in zip(truth, guess, strict=True) if len(set(pair)) > 1])
    assert set(wrong.value_counts().index[:10]) >= HARD_PAIRS
