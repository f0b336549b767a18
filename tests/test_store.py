"""Artefacts: made once, trusted only while whole and while the code that made them is as it was."""

import threading

import numpy as np
import pytest

from lab_utils.core import records, usage
from lab_utils.core.store import Artefact, write_rows


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project with a module that makes things, one that draws them, and a table."""
    for module in (usage, records):
        monkeypatch.setattr(module, "PROJECT", tmp_path)
    files = {"lab_utils/training/fit.py": "STEP = 1\n", "lab_utils/display/plots.py": "COLOUR = 1\n"}
    for name, text in (files | {"lab_utils/training/specs.csv": "a\n"}).items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.fixture
def artefact(project):
    return Artefact.under(project / "data" / "cache", "squares", {"n": 5}, code=("training.fit",))


class Maker:
    """Writes an array, and counts how often."""

    def __init__(self, project):
        self.table, self.times = project / "lab_utils" / "training" / "specs.csv", 0

    def __call__(self, path):
        self.times += 1
        self.table.read_text()
        write_rows(path, 5, (np.arange(first, first + 1) ** 2 for first in range(5)))
        return {"shape": (5,)}


@pytest.fixture
def maker(project):
    return Maker(project)


def test_an_artefact_is_made_once_and_its_facts_come_back(artefact, maker):
    assert [artefact.load_or_make(maker)["shape"] for _ in range(3)] == [[5]] * 3
    assert maker.times == 1 and np.load(artefact.path).tolist() == [0, 1, 4, 9, 16]


def test_another_key_is_another_file(project, artefact, maker):
    artefact.load_or_make(maker)
    other = Artefact.under(project / "data" / "cache", "squares", {"n": 6}, code=("training.fit",))
    assert other.path != artefact.path and other.load() is None


@pytest.mark.parametrize("damage", ["cut", "altered", "gone", "no facts"])
def test_a_damaged_artefact_is_made_again_and_said(artefact, maker, damage):
    artefact.load_or_make(maker)
    content = artefact.path.read_bytes()
    if damage == "cut":
        artefact.path.write_bytes(content[:-1])
    elif damage == "altered":
        artefact.path.write_bytes(content[:-1] + b"x")
    elif damage == "gone":
        artefact.path.unlink()
    else:
        artefact.about_path.write_text("{")
    lines = []
    artefact.load_or_make(maker, title="the squares", progress=lines.append)
    assert maker.times == 2 and artefact.path.read_bytes() == content
    said = damage in ("cut", "altered")
    assert lines == [f"  the squares: {artefact.path.name} is damaged; it is made anew."] * said


@pytest.mark.parametrize("name", ["training/fit.py", "training/specs.csv"])
def test_changed_code_and_a_changed_file_that_was_read_make_it_anew(project, artefact, maker, name):
    artefact.load_or_make(maker)
    path, lines = project / "lab_utils" / name, []
    path.write_text(path.read_text() + "STEPS = 2\n")
    artefact.load_or_make(maker, progress=lines.append)
    assert maker.times == 2 and "has changed since it was made; it is made anew" in lines[0]
    artefact.load_or_make(maker)
    assert maker.times == 2


def test_code_that_did_not_make_it_and_comments_leave_it(project, artefact, maker):
    artefact.load_or_make(maker)
    (project / "lab_utils" / "display" / "plots.py").write_text("COLOUR = 2\n")
    (project / "lab_utils" / "training" / "fit.py").write_text('"""How to fit."""\nSTEP = 1  # of one\n')
    artefact.load_or_make(maker)
    assert maker.times == 1


def test_who_only_reads_an_artefact_used_what_made_it(project, artefact, maker):
    with usage.recording() as first:
        artefact.load_or_make(maker)
    with usage.recording() as second:
        artefact.load_or_make(maker)
    assert set(first) == set(second) == {"module training.fit", "file lab_utils/training/specs.csv"}


def test_what_an_artefact_was_made_from_belongs_to_its_makers(project, artefact, maker):
    (project / "lab_utils" / "analysis.py").write_text("")
    second = Artefact.under(project / "data" / "cache", "second", {}, code=("analysis",))
    second.load_or_make(lambda path: path.write_bytes(bytes(artefact.load_or_make(maker)["shape"])) and None)
    (project / "lab_utils" / "training" / "fit.py").write_text("STEP = 2\n")
    assert second.load() is None


def test_of_several_that_want_it_one_makes_it(artefact, maker):
    lines, begun, go_on = [], threading.Event(), threading.Event()

    def slowly(path):
        begun.set()
        go_on.wait(20)
        return maker(path)

    def after(line):
        lines.append(line)
        go_on.set()

    first = threading.Thread(target=artefact.load_or_make, args=(slowly,))
    first.start()
    begun.wait(20)
    artefact.load_or_make(maker, progress=after)
    first.join()
    assert maker.times == 1 and "waiting" in lines[0]


def test_when_making_fails_nothing_is_kept(artefact):
    def fail(path):
        path.write_bytes(b"half")
        raise ValueError

    with pytest.raises(ValueError):
        artefact.load_or_make(fail)
    assert artefact.load() is None and not artefact.path.exists()


def test_rows_are_written_part_by_part_and_bfloat16_as_its_bytes(tmp_path):
    import ml_dtypes

    whole = np.arange(24, dtype=np.float32).reshape(6, 2, 2).astype(ml_dtypes.bfloat16)
    write_rows(tmp_path / "a.npy", 6, (whole[start : start + 4] for start in (0, 4)))
    assert np.array_equal(np.load(tmp_path / "a.npy").view(ml_dtypes.bfloat16), whole)
