"""`--check`: what is said to be here, missing, downloaded and how long it takes, on constructed machines and runs."""

from types import SimpleNamespace

import pytest
from PIL import Image

from lab_utils.core import profiles, records
from lab_utils.core.card import Answer
from lab_utils.core.chapters import CHAPTERS
from lab_utils.data import download
from lab_utils.networks import backbones, registry
from lab_utils.runner import check, cli
from lab_utils.runner import state as run_state
from lab_utils.runner.check import Amounts, Recorded
from lab_utils.runner.state import RunState


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Runs are kept in a folder of the test's own; every chapter has a notebook; no server is reached."""
    (tmp_path / "profiles").symlink_to(records.PROJECT / "profiles")
    (tmp_path / "data").mkdir()
    for module in (profiles, check):
        monkeypatch.setattr(module, "PROJECT", tmp_path)
    monkeypatch.setattr(run_state, "notebook_path", lambda name: tmp_path / "profiles" / "tiny.yaml")
    monkeypatch.setattr(download, "size_at", lambda url: None)
    monkeypatch.setattr(backbones, "WEIGHTS_FOLDER", tmp_path / "data" / "weights")
    monkeypatch.setattr(check.shutil, "disk_usage", lambda _: SimpleNamespace(free=1e12))  # not this machine's
    return tmp_path


def told(capsys, *options):
    code = cli.main(["--check", *options])
    return code, capsys.readouterr().out


def timed(project, name, seconds, images, profile="tiny", leave=()):
    """A run with these seconds for each chapter, and images by split."""
    settings = profiles.resolve(profile, name)
    profiles.save_settings(settings)
    records.write_json(settings.run_folder / "data.json", {"images": images, "classes": ["a", "b"]})
    for step in CHAPTERS:
        if step.number not in leave:
            path = RunState(settings).status_path(step.name)
            records.write_json(path, {"state": "ok", "seconds": seconds})
    return settings


def test_the_sample_needs_nothing_and_nothing_is_run_or_written(project, capsys, monkeypatch):
    monkeypatch.setattr(backbones, "missing", lambda *_: "")
    code, text = told(capsys)
    assert code == 0 and "drawn here without a download" in text and text.endswith("Nothing is missing.\n")
    assert not list((project / "data").iterdir())


def test_downloads_are_told_with_their_sizes_and_what_is_out_of_reach_is_missing(project, capsys, monkeypatch):
    code, text = told(capsys, "--profile", "mame")
    assert code == 1 and "mame-dataset can't be reached; --data DIR takes files" in text
    assert "keras-applications can't be reached: put the files into data/weights/" in text
    monkeypatch.setattr(download, "size_at", lambda url: 1_500_000_000)
    code, text = told(capsys, "--profile", "mame")
    assert "MAMe_data_256.zip (1.5 GB)" in text and "VGG16 (553.4 MB)" in text and code == 0
    assert "left out in chapter 02: VGG11 needs KerasHub" in text or not backbones.missing("vgg11")


@pytest.mark.parametrize(  # parameters as Keras prints them
    ("name", "top", "parameters"),
    [("vgg16", True, 138_357_544), ("resnet50", True, 25_636_712), ("densenet121", False, 7_037_504)],
)
def test_sizes_of_weights_are_four_bytes_a_parameter(name, top, parameters):
    assert check._bytes(registry.backbone(name), top) == 4 * parameters


def test_weights_that_are_here_are_not_downloaded(project, capsys):
    for folder, file in (("data/weights", "vgg16" + registry._TF), ("data/keras/models", "efficientnetb3_notop.h5")):
        (project / folder).mkdir(parents=True)
        (project / folder / file).touch()
    text = told(capsys, "--profile", "mame")[1]
    assert "here: VGG16, EfficientNetB3\n" in text
    assert "VGG16 (553" not in text and "EfficientNetB3 without" not in text and "EfficientNetB3 (" in text


@pytest.mark.parametrize(("classes", "code", "words"), [(2, 0, "6 images of 2 classes"), (1, 1, "two are needed")])
def test_a_folder_is_looked_through_and_not_opened(project, capsys, monkeypatch, classes, code, words):
    monkeypatch.setattr(backbones, "missing", lambda *_: "")
    for number in range(classes):
        (project / "photos" / f"{number}").mkdir(parents=True)
        for image in range(3):
            Image.new("RGB", (8, 8)).save(project / "photos" / f"{number}" / f"{image}.png")
    (project / "photos" / "notes.txt").touch()
    found, text = told(capsys, "--images", str(project / "photos"))
    assert found == code and words in text and "Left out, files that are no pictures: 1 (notes.txt)" in text


def test_what_the_machine_lacks_is_told(project, capsys, monkeypatch):
    monkeypatch.setattr(backbones, "missing", lambda *_: "")
    monkeypatch.setattr(check.shutil, "disk_usage", lambda _: SimpleNamespace(free=1e6))
    monkeypatch.setattr(check.psutil, "virtual_memory", lambda: SimpleNamespace(total=2e9))
    code, text = told(capsys, "--jobs", "2")
    assert code == 1 and "of space" in text and "of memory (or --jobs 1)" in text
    assert text.endswith("Missing: disk, memory.\n")


def test_a_card_that_can_not_be_used_is_told_and_nothing_is_missing(project, capsys, monkeypatch):
    monkeypatch.setattr(backbones, "missing", lambda *_: "")
    answers = [Answer(reason="TensorFlow 2.21.0 can't open libcudnn.so.9"), Answer(({"name": "NVIDIA L4"},))]
    monkeypatch.setattr(check.card, "look", lambda fresh: answers.pop(0))
    code, text = told(capsys)
    assert code == 0 and "The NVIDIA card is not used: TensorFlow 2.21.0 can't open libcudnn.so.9." in text
    assert "cores, NVIDIA L4, TensorFlow" in told(capsys)[1]


def test_a_run_that_was_timed_is_told_by_its_own_seconds(project, capsys):
    settings = timed(project, "mine", 90, {"train": 60, "val": 20, "test": 20})
    line = check._time(RunState(settings), Amounts(100, 60, 2))
    assert line.present == f"{check._clock(90 * len(CHAPTERS))} by the seconds that this run has recorded"


def test_twice_the_images_take_twice_the_time_beyond_the_start(project):
    """Of chapters that look at all images; others have their limits."""
    timed(project, "before", check.OVERHEAD + 600, {"train": 60, "val": 20, "test": 20})
    every = {step.number for step in CHAPTERS}
    state = RunState(timed(project, "after", 1, {"train": 120, "val": 40, "test": 40}, leave=every))
    state.steps = [step for step in state.steps if step.number in ("01", "05")]
    line = check._time(state, Amounts(200, 120, 2))
    assert line.present.startswith(f"about {check._clock(2 * (check.OVERHEAD + 1200))}, one notebook at a time")


def test_what_is_far_from_anything_timed_is_not_guessed(project):
    timed(project, "before", 60, {"train": 60, "val": 20, "test": 20})
    state = RunState(profiles.resolve("mame"))
    line = check._time(state, Amounts(37_407, 20_300, 29))
    assert "can't be told for chapters" in line.present and " 11" in line.present
    assert check._time(RunState(profiles.resolve("tiny")), Amounts(100, 60, 2)).present.startswith(
        f"about {len(CHAPTERS)} minutes"
    )


def test_the_recorded_chapter_of_its_kind_whose_work_is_nearest_is_taken():
    ones = [Recorded("a", "06_fine_tuning_run1", 10, 1), Recorded("b", "11_fine_tuning_run6", 99, 50)]
    ones += [Recorded("c", "01_baseline", 5, 49)]
    assert check.nearest("07_fine_tuning_run2", 40, ones).run == "b"
    assert check.nearest("12_fine_tuned_features", 2, ones).run == "a"
    assert check.nearest("04_projections", 2, ones) is None


@pytest.mark.parametrize("name", profiles.profile_names())
def test_every_profile_has_work_for_every_chapter(name):
    settings = profiles.validate(profiles.read_profile(name) | {"name": name, "profile": name}, name)
    amounts = check.work(settings, Amounts(1000, 600, 10))
    assert set(amounts) == {step.name for step in CHAPTERS} and min(amounts.values()) > 0
    assert set(registry.REGISTRY) == set(check.BILLIONS)
