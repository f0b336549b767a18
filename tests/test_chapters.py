"""The graph of chapters."""

import re

import nbformat
import pytest

from lab_utils.core.chapters import CHAPTERS, chapter, dependents, needed, priority
from lab_utils.core.errors import LabError
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


@pytest.mark.parametrize("word", ["5", "05", "05_classification", "05_classification.ipynb", 5])
def test_a_chapter_is_found_by_number_or_name(word):
    assert chapter(word).name == "05_classification"


def test_an_unknown_chapter_lists_the_valid_numbers():
    with pytest.raises(LabError, match=r"no chapter '77'; the chapters are 00, 01"):
        chapter("77")


def test_each_fine_tuning_run_waits_for_the_one_that_it_is_compared_with():
    assert [entry.name for entry in dependents("09_fine_tuning_run4")] == [
        "10_fine_tuning_run5",
        "11_fine_tuning_run6",
        "13_grad_cam",
        "15_further_improvements",
        "14_results",
    ]


def test_a_chapter_may_read_what_it_needs_directly_or_through_others_and_not_itself():
    assert needed("04_projections") == {"00_dataset", "01_baseline", "03_task_similarity"}
    assert needed("00_dataset") == set()
    assert needed("14_results") == {one.name for one in CHAPTERS} - {"14_results"}


def test_what_others_wait_for_goes_first_in_order_and_the_rest_fills_the_gaps():
    names = [one.name[:2] for one in sorted(CHAPTERS, key=lambda one: -priority(one.name))]
    assert names == ["00", "01", "02", "03", "05", "06", "07", "08", "09", "10", "11", "12", "14", "15", "13", "04"]
    assert priority("data") > priority("01_baseline")


def test_whoever_trains_or_asks_a_trained_network_holds_the_card():
    """14 asks run 6 about all of test; 04 and 05 read stored features, so they leave the card to others."""
    asking = re.compile(r"lab\.(fit|kept)\(")
    for one in CHAPTERS:
        cells = nbformat.read(PROJECT / "notebooks" / f"{one.name}.ipynb", as_version=4).cells
        code = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
        assert one.device or not asking.search(code), one.name
        assert one.device == (one.number not in ("00", "04", "05"))
        assert one.device or one.number == "00" or "03_task_similarity" in one.needs, "it would extract them itself"


def test_tensorflows_start_up_lines_are_kept_out_of_every_notebook_that_loads_it():
    """Where umap is imported, it loads TensorFlow, too."""
    loading = re.compile(r"^import (keras|umap)|^from keras|backbones|features\.|lab\.(fit|kept)\(", re.MULTILINE)
    for one in CHAPTERS:
        cells = nbformat.read(PROJECT / "notebooks" / f"{one.name}.ipynb", as_version=4).cells
        code = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
        assert one.tensorflow or not loading.search(code), one.name
