"""The one table: the same for all sources, remade when the settings change, honest about missing images."""

import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from lab_utils.core import profiles
from lab_utils.core.errors import LabError
from lab_utils.core.profiles import Data, Settings
from lab_utils.data import image_table, mame
from lab_utils.sample import sources

real = pytest.mark.skipif("MAME_ROOT" not in os.environ, reason="MAME_ROOT is not set")


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project folder of the test's own: nothing is written into this one's data/."""
    home = tmp_path / "project"
    shutil.copytree(profiles.PROJECT / "data" / "reported", home / "data" / "reported")
    for module in (image_table.records, mame, profiles):
        monkeypatch.setattr(module, "PROJECT", home)
    return home


def pictures(root, classes=("bronze", "glass"), each=6):
    rng = np.random.default_rng(0)
    for name in classes:
        (root / name).mkdir(parents=True)
        for index in range(each):
            small = Image.fromarray(rng.integers(0, 255, (6, 8, 3), np.uint8))
            small.resize((40, 30)).save(root / name / f"{index}.png")
    return root


def folder_run(root, **data):
    return Settings(name="mine", profile="photos", data=Data(source="folder", path=root, **data))


def quiet(_):
    pass


def test_table_has_the_columns_and_opens_as_it_was_made(project, tmp_path):
    settings = folder_run(pictures(tmp_path / "photos"))
    made = sources.prepare(settings, quiet)
    assert list(made.rows.columns) == image_table.COLUMNS
    again = sources.opened(settings)
    pd.testing.assert_frame_equal(again.rows, made.rows)
    assert (again.classes, again.data_hash, again.source) == (["bronze", "glass"], made.data_hash, "folder")
    assert all(Path(path).is_file() for path in made.rows["path"]) and made.rows["has_image"].all()


def test_open_makes_the_table_where_it_is_missing_or_settings_changed(project, tmp_path):
    root = pictures(tmp_path / "photos")
    assert len(sources.opened(folder_run(root), quiet).rows) == 12
    assert len(sources.opened(folder_run(root, cap=1), quiet).rows) == 6


def test_data_hash_changes_with_one_pixel_and_not_with_file_times(project, tmp_path):
    root = pictures(tmp_path / "photos")
    first = sources.prepare(folder_run(root), quiet).data_hash
    path = root / "glass" / "3.png"
    os.utime(path, (1, 1))
    assert sources.prepare(folder_run(root), quiet).data_hash == first
    image = Image.open(path)
    image.putpixel((0, 0), (1, 2, 3))
    image.save(path)
    assert sources.prepare(folder_run(root), quiet).data_hash != first


def test_odd_but_good_names_come_back_as_they_were(project, tmp_path):
    root = pictures(tmp_path / "photos", ('a,"b"', "NA", " 7 ", "#Caf\u00e9 \u732b"), each=3)
    for path in list(root.glob("NA/*")):
        path.rename(path.with_name(f" '{path.stem}', \"x\" .PNG"))
    table = sources.prepare(folder_run(root), quiet)
    again = sources.opened(folder_run(root))
    pd.testing.assert_frame_equal(again.rows, table.rows)
    assert again.classes == sorted(['a,"b"', "NA", "7", "#Caf\u00e9 \u732b"]) and again.rows["has_image"].all()


def test_bad_images_are_skipped_on_request_and_the_notes_say_how_many(project, tmp_path):
    root = pictures(tmp_path / "photos")
    (root / "glass" / "3.png").write_bytes(b"")
    with pytest.raises(LabError, match=r"1 image .* can't be used, .* --skip-bad: glass/3.png is an empty file"):
        sources.prepare(folder_run(root), quiet)
    table = sources.prepare(folder_run(root, skip_bad=True), quiet)
    assert len(table.rows) == 11 and table.notes[0].startswith("1 of 12 images can't be read and were left out")
    assert sources.opened(folder_run(root, skip_bad=True)).notes == table.notes


def sample_stub(folder, *, images, long_side, classes, seed, progress):
    """Stands in for the generator: 6 rows, with the trailing blank of the published files."""
    (folder / "data_256").mkdir(parents=True)
    rows = []
    for number, subset in enumerate(["train", "val", "test"] * 2):
        medium = "Bronze" if number < 3 else "Woven fabric "
        Image.new("RGB", (long_side, long_side // 2), (40 * number, seed, 0)).save(folder / f"data_256/{number}.png")
        rows.append(f"{number}.png,{medium},Met,59.533.{number},{subset},640,320,204800,2.0")
    (folder / mame.DATASET).write_text("\n".join([",".join(mame.COLUMNS), *rows]))
    (folder / mame.LABELS).write_text("0,Bronze\n1,Woven fabric\n")
    return folder


def test_sample_is_generated_once_and_read_like_mame(project, monkeypatch, tmp_path):

    (tmp_path / "sample.py").write_text("")
    calls = []

    def generate(folder, **how):
        calls.append(how)
        return sample_stub(folder, **how)

    monkeypatch.setattr(sources.generator, "generate", generate)
    monkeypatch.setattr(sources, "generator_files", lambda: [tmp_path / "drawing.py"])
    (tmp_path / "drawing.py").write_text("# first")
    settings = Settings(name="s", profile="sample", data=Data(source="sample", images=100, long_side=64))
    table = sources.prepare(settings, quiet)
    assert len(calls) == 1 and table.classes == ["Bronze", "Woven fabric"] and len(table.rows) == 6
    assert set(table.rows["lot"]) == {"59.533"} and set(table.rows["width"]) == {640}
    sources.prepare(settings, quiet)
    assert len(calls) == 1
    (tmp_path / "drawing.py").write_text("# changed")
    sources.prepare(settings, quiet)
    assert len(calls) == 2


def mame_run(root, **data):
    return Settings(name="mame", profile="mame", data=Data(source="mame", path=root, **data))


@pytest.fixture
def partial_mame(tmp_path):
    root = tmp_path / "mame"
    root.mkdir()
    for path in Path(os.environ["MAME_ROOT"]).glob("*.csv"):
        (root / path.name).symlink_to(path)
    return root


@real
def test_missing_images_stop_the_run_with_number_and_first_ten(project, partial_mame):
    with pytest.raises(LabError, match=r"37,407 of 37,407 images are missing.*--partial") as caught:
        sources.prepare(mame_run(partial_mame), quiet)
    assert str(caught.value).count(".jpg") == 10 and "436018.jpg" in str(caught.value)


@real
@pytest.mark.skipif("MAME_PARTIAL" not in os.environ, reason="MAME_PARTIAL is not set")
def test_partial_keeps_all_rows_and_marks_those_with_an_image(project, partial_mame):
    (partial_mame / "data_256").symlink_to(Path(os.environ["MAME_PARTIAL"]) / "data_256")
    table = sources.prepare(mame_run(partial_mame, partial=True), quiet)
    assert len(table.rows) == 37407 and table.rows["has_image"].sum() == 29
    assert table.notes[0].startswith("37,378 of 37,407 images are missing")
    pd.testing.assert_frame_equal(sources.opened(mame_run(partial_mame, partial=True)).rows, table.rows)
    source = pd.read_csv(partial_mame / mame.DATASET)
    assert table.rows["file"].tolist() == source["Image file"].tolist()  # the order of the file is kept


@real
def test_changed_metadata_are_refused(project, partial_mame):
    path = partial_mame / mame.DATASET
    text = path.read_text().replace("436018.jpg,Oil on canvas,", "436018.jpg,Bronze,")
    path.unlink()
    path.write_text(text)
    with pytest.raises(LabError, match="701 train images of 'Bronze' where the published data set has 700"):
        sources.prepare(mame_run(partial_mame, partial=True), quiet)


def test_folders_that_are_not_there_are_named(project, tmp_path):
    for settings in (mame_run(tmp_path / "absent"), folder_run(tmp_path / "absent")):
        with pytest.raises(LabError, match=r"There is no folder .*absent"):
            sources.prepare(settings, quiet)
    with pytest.raises(LabError, match="--images DIR"):
        sources.prepare(folder_run(None), quiet)
