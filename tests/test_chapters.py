"""The graph of chapters."""

import re

import pytest

from lab_utils.core.chapters import CHAPTERS, chapter, dependents, priority
from lab_utils.core.errors import LabError
from lab_utils.core.profiles import Settings
from lab_utils.core.records import PROJECT


def test_execution_order_puts_every_chapter_behind_what_it_needs():
    done = {"data"}
    for one in CHAPTERS:
        assert set(one.needs) <= done, one.name
        done.add(one.name)


def test_results_are_executed_last_and_need_all_others():
    assert CHAPTERS[-1].name == "14_results"
    assert set(CHAPTERS[-1].needs) == {one.name for one in CHAPTERS[:-1]}


def test_the_sixteen_chapters_are_numbered_00_to_15():
    assert sorted(one.number for one in CHAPTERS) == [f"{n:02d}" for n in range(16)]


def test_every_settings_section_named_exists():
    for one in CHAPTERS:
        assert set(one.settings) <= set(Settings.model_fields), one.name


@pytest.mark.parametrize("one", CHAPTERS, ids=lambda one: one.number)
def test_a_section_that_a_notebook_reads_is_named_so_that_its_change_runs_the_chapter_again(one):
    text = (PROJECT / "notebooks" / f"{one.name}.ipynb").read_text("utf-8")
    assert set(re.findall(r"lab\.settings\.(\w+)", text)) - {"title", "name"} <= set(one.settings)


@pytest.mark.parametrize("word", ["5", "05", "05_classification", "05_classification.ipynb", 5])
def test_a_chapter_is_found_by_number_or_name(word):
    assert chapter(word).name == "05_classification"


def test_an_unknown_chapter_lists_the_valid_numbers():
    with pytest.raises(LabError, match=r"no chapter '77'; the chapters are 00, 01"):
        chapter("77")


def test_fine_tuning_runs_one_to_five_do_not_wait_for_each_other():
    assert [one.name for one in dependents("07_fine_tuning_run2")] == [
        "11_fine_tuning_run6",
        "13_grad_cam",
        "15_further_improvements",
        "14_results",
    ]


def test_what_others_wait_for_goes_first_in_order_and_the_rest_fills_the_gaps():
    names = [one.name[:2] for one in sorted(CHAPTERS, key=lambda one: -priority(one.name))]
    assert names == ["00", "01", "02", "03", "05", "06", "07", "08", "09", "10", "11", "12", "14", "15", "13", "04"]
    assert priority("data") > priority("01_baseline")
