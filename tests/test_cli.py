"""Options of `run_all.sh`: each mistake is one sentence that lists what is valid; two image folders never mix."""

import os

import pytest

from lab_utils.core import profiles
from lab_utils.core.chapters import CHAPTERS
from lab_utils.core.errors import LabError
from lab_utils.runner import cli
from lab_utils.runner import state as run_state
from lab_utils.runner.state import RunState


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Runs are kept in a folder of the test's own."""
    profiles_folder = profiles.PROJECT / "profiles"
    (tmp_path / "profiles").symlink_to(profiles_folder)
    monkeypatch.setattr(profiles, "PROJECT", tmp_path)
    return tmp_path


def settings(*options):
    return cli.settings_of(cli.parser().parse_args([str(one) for one in options]))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--foo"], ["--foo", "--profile", "--images", "--jobs"]),
        (["--onl", "5"], ["--onl", "--only"]),
        (["--profile", "nix"], ["'nix'", "mame-toy", "tiny"]),
        (["--only", "99"], ["'99'", "00, 01", "15"]),
        (["--from", "x"], ["'x'", "00, 01"]),
        (["--jobs", "0"], ["--jobs 0", "whole number"]),
        (["--jobs", "two"], ["--jobs two", "whole number"]),
        (["--images", "/no/such/folder"], ["/no/such/folder", "no folder"]),
        (["--name", "a/b"], ["'a/b'", "letters"]),
        (["--name", "mame"], ["'mame'", "--name"]),
        (["--profile", "photos"], ["photos", "--images"]),
        (["--partial"], ["--partial", "mame"]),
        (["--class-level", "3"], ["--class-level", "3"]),
        (["--jobs", "²"], ["--jobs"]),
        (["--images", "/no/caf\udce9"], [r"/no/caf\xe9", "no folder"]),
        (["--student", "Caf\udce9"], [r"Caf\xe9", "no UTF-8 text"]),
    ],
)
def test_a_wrong_option_is_one_sentence(project, capsys, monkeypatch, options, words):
    monkeypatch.setattr(cli, "notebook_path", lambda name: project / "profiles" / "tiny.yaml")
    assert cli.main(options) == 2
    told = capsys.readouterr().err
    assert len(told.splitlines()) == 1 and all(word in told for word in words), told


@pytest.mark.parametrize("name", [b"caf\xe9", b"two\nlines", b"bell\x07"])
def test_a_folder_whose_name_can_not_be_stored_is_named_before_anything_is_written(project, capsys, name):
    folder = os.path.join(os.fsencode(project), name)  # noqa: PTH118 (bytes)
    try:
        os.mkdir(folder)  # noqa: PTH102
    except OSError:
        pytest.skip("this file system has no such names")
    for options in (["--images", os.fsdecode(folder)], ["--profile", "mame", "--data", os.fsdecode(folder)]):
        assert cli.main(options) == 2
        told = capsys.readouterr().err
        assert "(rename it)" in told and len(told.splitlines()) == 1
    assert not (project / "data").exists()


def test_a_folder_of_images_gives_the_run_its_name_and_the_photos_profile(project):
    (project / "My photos (1)").mkdir()
    made = settings("--images", project / "My photos (1)")
    assert (made.name, made.profile, made.data.source) == ("My-photos-1", "photos", "folder")
    assert made.data.path == project / "My photos (1)"


def test_settings_that_an_older_lab_wrote_do_not_stop_the_next_run(project):
    path = profiles.save_settings(settings("--name", "mine"))
    path.write_text(path.read_text().replace("  grid:", "  min_epochs:"))
    with pytest.raises(LabError, match=r"min_epochs.*run_all.sh writes this file anew"):
        profiles.load_settings("mine")
    assert settings("--name", "mine").fine_tuning.frozen == 4
    with pytest.raises(LabError, match="was made with profile sample"):
        settings("--profile", "tiny", "--name", "mine")


def test_two_folders_of_one_name_never_share_a_run(project):
    for parent in ("a", "b"):
        (project / parent / "pictures").mkdir(parents=True)
    profiles.save_settings(settings("--images", project / "a" / "pictures"))
    assert settings("--images", project / "a" / "pictures").name == "pictures"
    with pytest.raises(LabError, match=r"Run 'pictures' holds the images of .*a/pictures: choose another --name"):
        settings("--images", project / "b" / "pictures")
    assert settings("--images", project / "b" / "pictures", "--name", "second").name == "second"


def test_a_folder_named_like_a_profile_does_not_take_its_run(project):
    (project / "sample").mkdir()
    assert settings("--images", project / "sample").name == "sample-images"


def test_one_run_is_of_one_profile(project):
    profiles.save_settings(settings("--profile", "tiny", "--name", "mine"))
    with pytest.raises(LabError, match=r"made with profile tiny"):
        settings("--profile", "sample", "--name", "mine")


def test_images_with_the_tests_profile_say_that_they_are_no_sample(project):
    (project / "pictures").mkdir()
    made = settings("--profile", "tiny", "--images", project / "pictures")
    assert made.data.source == "folder" and "sample" not in made.title


def test_options_of_the_real_data_reach_the_settings(project):
    made = settings("--profile", "mame", "--data", project, "--partial")
    assert made.data.path == project and made.data.partial


def test_options_of_a_folder_of_images_reach_the_settings(project):
    (project / "pictures").mkdir()
    data = settings("--images", project / "pictures", "--skip-bad", "--class-level", "2").data
    assert data.skip_bad and data.class_level == 2
    assert settings("--images", project / "pictures").data.class_level is None


@pytest.fixture
def state(project, monkeypatch):
    """A state in which every chapter of the table has a notebook."""
    monkeypatch.setattr(run_state, "notebook_path", lambda name: project / "profiles" / "tiny.yaml")
    return RunState(settings("--profile", "tiny"))


def targets(state, *options):
    return cli.selected(state, cli.parser().parse_args(options))


def test_only_and_from_choose_chapters_and_bring_what_they_need(state):
    assert targets(state) == ["data", *(one.name for one in CHAPTERS)]
    assert targets(state, "--only", "5") == ["05_classification"]
    assert targets(state, "--from", "15") == ["15_further_improvements", "14_results"]
    needs = cli.with_needs(state, ["05_classification"])
    assert needs == {"data", "00_dataset", "01_baseline", "03_task_similarity", "05_classification"}


def test_force_takes_one_chapter_or_all_that_were_asked_for(state):
    def forced(*options):
        return cli.plan(state, cli.parser().parse_args(options)).forced

    assert forced("--only", "04", "05", "--force") == ["04_projections", "05_classification"]
    assert forced("--force", "7") == ["07_fine_tuning_run2"]
    assert forced() == []
    work = cli.plan(state, cli.parser().parse_args(["--only", "00", "--force", "1"]))
    assert work.wanted == {"data", "00_dataset", "01_baseline"}, "what is forced is asked for"
    assert work.todo["01_baseline"] == ["forced"]


def test_dry_run_and_list_write_nothing(project, capsys):
    assert cli.main(["--profile", "tiny", "--dry-run"]) == 0
    assert cli.main(["--profile", "tiny", "--list"]) == 0
    assert "steps would run" in capsys.readouterr().out
    assert not (project / "data").exists()


def test_what_waits_for_a_failed_chapter_is_marked_and_the_rest_is_left(project, monkeypatch, state):
    names = {step.name: step for step in state.steps}
    monkeypatch.setattr(state, "source", lambda step: {})
    state.start(names["01_baseline"])
    state.finish(names["01_baseline"], "failed", 1.0, {"name": "ValueError", "message": "x"}, used={})
    state.finish(names["02_paper_baselines"], "ok", 1.0)
    assert cli.settle(state, cli.RunPlan(set(names), [], {"01_baseline": ["failed before"]})) == ["01_baseline"]
    assert state.status("05_classification")["state"] == "waiting"
    assert "01_baseline" in state.status("05_classification")["error"]["message"]
    assert state.status("02_paper_baselines")["state"] == "ok" and not state.status("06_fine_tuning_run1")
