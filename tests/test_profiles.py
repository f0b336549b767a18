"""Profiles and settings: strict, and errors that list what is valid."""

import pytest

from lab_utils.core import profiles
from lab_utils.core.errors import LabError


@pytest.mark.parametrize("name", profiles.profile_names())
def test_every_profile_is_valid_and_survives_writing_and_reading(name, tmp_path, monkeypatch):
    monkeypatch.setattr(profiles, "PROJECT", tmp_path)
    monkeypatch.setattr(profiles, "read_profile", lambda _: values)
    values = profiles._read_yaml(_profile_path(name))
    settings = profiles.resolve(name)
    profiles.save_settings(settings)
    assert profiles.load_settings(name) == settings


def _profile_path(name):
    from lab_utils.core.records import PROJECT

    return PROJECT / "profiles" / f"{name}.yaml"


def test_the_profiles_that_the_lab_promises_are_there():
    assert {"sample", "photos", "mame", "mame-toy", "tiny"} <= set(profiles.profile_names())


def test_an_unknown_profile_is_an_error_that_lists_the_profiles():
    with pytest.raises(LabError, match=r"no profile 'sampel'.*mame.*sample"):
        profiles.resolve("sampel")


def test_an_unknown_setting_is_an_error_that_lists_the_valid_ones():
    with pytest.raises(LabError, match=r"unknown setting 'data\.sorce'; the valid ones are source, path"):
        profiles.validate({"name": "a", "profile": "b", "data": {"sorce": "x"}}, "x.yaml")


def test_an_unknown_section_is_an_error_that_lists_the_sections():
    with pytest.raises(LabError, match=r"unknown setting 'dta'.*data, dataset"):
        profiles.validate({"name": "a", "profile": "b", "dta": {}}, "x.yaml")


def test_a_bad_value_names_the_setting_and_the_value():
    with pytest.raises(LabError, match=r"'data\.seed' is -1"):
        profiles.validate({"name": "a", "profile": "b", "data": {"seed": -1}}, "x.yaml")


@pytest.mark.parametrize("name", ["", "../up", "a b", "x" * 65, ".hidden"])
def test_a_run_name_must_be_a_folder_name(name):
    with pytest.raises(LabError, match="can't name a run"):
        profiles.run_name(name)


def test_options_override_the_profiles_data_section(tmp_path):
    settings = profiles.resolve("photos", name="mine", path=tmp_path)
    assert (settings.name, settings.data.source, settings.data.path) == ("mine", "folder", tmp_path)


def test_a_run_that_does_not_exist_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(profiles, "PROJECT", tmp_path)
    with pytest.raises(LabError, match="no run 'nowhere'"):
        profiles.load_settings("nowhere")


def test_unreadable_yaml_names_the_file(tmp_path):
    (tmp_path / "bad.yaml").write_text("a: [1\nb: 2")
    with pytest.raises(LabError, match=r"bad\.yaml is not readable YAML"):
        profiles._read_yaml(tmp_path / "bad.yaml")
    (tmp_path / "list.yaml").write_text("- 1")
    with pytest.raises(LabError, match="holds no settings"):
        profiles._read_yaml(tmp_path / "list.yaml")
