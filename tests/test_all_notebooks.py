"""All real notebooks on the tiny profile, and a student at work in one of them.

This takes minutes: the file's name lets one of two test processes begin with it.
"""

import json
import os

import nbformat
import pytest
from miniature import copy_of_the_lab, run
from nbclient import NotebookClient

TINY = ("--profile", "tiny")


def state(folder, name):
    """What is known of a step."""
    return json.loads((folder / "data" / "runs" / "tiny" / "status" / f"{name}.json").read_text())


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_every_real_notebook_and_exercise_runs_on_tiny_and_a_second_run_does_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("LAB_EXERCISES", "solve")  # each truth is computed, and must be right when given as the answer
    folder = copy_of_the_lab(tmp_path / "lab", leave=())
    names = sorted(path.stem for path in (folder / "notebooks").glob("*.ipynb"))
    output = run(folder, *TINY)
    assert {name: state(folder, name)["state"] for name in names} == dict.fromkeys(names, "ok"), output
    rooms = {name.split()[1].split(".")[0] for name in state(folder, "00_dataset")["used"] if name.startswith("module")}
    assert not rooms & {"networks", "training", "sample", "runner"}
    makers = [json.loads(path.read_text())["used"] for path in (folder / "data" / "cache").rglob("*.npy.json")]
    assert makers and not [
        name for used in makers for name in used if name.startswith(("module display", "module lab"))
    ]
    assert "Every chapter is up to date." in run(folder, *TINY)
    a_student_at_work(folder)


def a_student_at_work(folder):
    """Somebody changes lines of 06 and 01 in a live kernel: what is below follows, and nothing of the report does."""
    before = (folder / "report/tiny/results/06_fine_tuning_run1.json").read_bytes()
    rate = ("learning_rate = here.learning_rate ", "learning_rate = here.learning_rate / 3 ")
    with Student(folder, "06_fine_tuning_run1") as student:
        trained = models(folder)
        assert settings_of_run_1(student.work(until="show_settings"), folder)["learning rate"] == 0.003
        assert models(folder) == trained, "an unchanged line loads"
        text = student.work(rate)
        own = settings_of_run_1(text, folder)
        assert own["learning rate"] == 0.001 and "0.001" in text and models(folder) > trained
        trained = models(folder)
        assert settings_of_run_1(student.work(until="show_settings"), folder)["learning rate"] == 0.003
        assert models(folder) == trained, "a line that is changed back loads at once"
        deeper = student.work(("build(head=(512, 512))", "build(head=(256, 128, 64))"), until="show_settings")
        assert settings_of_run_1(deeper, folder)["head"] == [256, 128, 64] and models(folder) > trained
        trained = models(folder)
        other = student.work(('lab.here("run 1")', 'lab.here("run 1", network="lite1")'), until="show_settings")
        assert settings_of_run_1(other, folder)["network"] == "EfficientNet-Lite1" and models(folder) > trained
        trained = models(folder)
        loss = "lambda true, logits: 2 * keras.losses.sparse_categorical_crossentropy(true, logits, from_logits=True))"
        student.work(
            ("losses.SparseCategoricalCrossentropy(from_logits=True))\ntrained", f"{loss}\ntrained"),
            until="show_settings",
        )
        assert models(folder) > trained, "another loss is another model"
    with Student(folder, "01_baseline") as student:
        trained = models(folder)
        flipped = ("random_warp()(pixels)", 'layers.RandomFlip("horizontal")(pixels)')
        student.work(flipped, until="trained = {")
        assert models(folder) > trained, "another augmentation is other models"
        trained = models(folder)
        student.work(until="trained = {")
        assert models(folder) == trained, "a layer that is changed back loads"
    assert (folder / "report/tiny/results/06_fine_tuning_run1.json").read_bytes() == before


def models(folder):
    return len(list((folder / "data/cache/models").rglob("model.npz")))


def settings_of_run_1(text, folder):
    """What the student's last run 1 was trained with, from the records of their own."""
    records = json.loads((folder / "data/runs/tiny/own/results/06_fine_tuning_run1.json").read_text())["records"]
    (cost,) = [entry for entry in records if entry["kind"] == "cost" and entry["recipe"].endswith(", run 1")]
    assert "Settings of run 1: slide and here" in text
    return cost["settings"]


class Student:
    """Somebody who works in a notebook: one kernel stays alive, as in JupyterLab."""

    def __init__(self, folder, name):
        self.notebook = nbformat.read(folder / "notebooks" / f"{name}.ipynb", 4)
        about = {"metadata": {"path": str(folder / "notebooks")}}
        self.client = NotebookClient(self.notebook, timeout=600, kernel_name="python3", resources=about)
        self.kernel = self.client.setup_kernel(env={**os.environ, "PYTHONPATH": str(folder)})

    def __enter__(self):
        self.kernel.__enter__()
        return self

    def __exit__(self, *error):
        self.kernel.__exit__(*error)

    def work(self, change=(), until=""):
        """Run the cells from the first to the one that holds `until`, one text replaced; what they showed, as text."""
        sources = [cell.source.replace('RUN = "sample"', 'RUN = "tiny"') for cell in self.notebook.cells]
        if change:
            (place,) = [place for place, source in enumerate(sources) if change[0] in source]
            sources[place] = sources[place].replace(*change)
        shown = []
        for place, (cell, source) in enumerate(zip(list(self.notebook.cells), sources, strict=True)):
            if cell.cell_type == "code":
                copy = nbformat.v4.new_code_cell(source, id=cell.id)
                self.client.execute_cell(copy, place)
                self.notebook.cells[place] = cell
                shown += [str(output.get("text", output.get("data", ""))) for output in copy.outputs]
            if until and until in source:
                break
        return "\n".join(shown)
