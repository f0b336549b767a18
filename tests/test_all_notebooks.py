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
    trained = models(folder)
    assert settings_of_run_1(work(folder, (), until="show_settings"), folder)["learning rate"] == 0.003
    assert models(folder) == trained, "an unchanged line loads"
    text = work(folder, rate)
    own = settings_of_run_1(text, folder)
    assert own["learning rate"] == 0.001 and "0.001" in text and models(folder) > trained
    trained = models(folder)
    assert settings_of_run_1(work(folder, (), until="show_settings"), folder)["learning rate"] == 0.003
    assert models(folder) == trained, "a line that is changed back loads at once"
    deeper = work(folder, ("build(head=(512, 512))", "build(head=(256, 128, 64))"), until="show_settings")
    assert settings_of_run_1(deeper, folder)["head"] == [256, 128, 64] and models(folder) > trained
    trained = models(folder)
    other = work(folder, ('lab.here("run 1")', 'lab.here("run 1", network="lite1")'), until="show_settings")
    assert settings_of_run_1(other, folder)["network"] == "EfficientNet-Lite1" and models(folder) > trained
    trained = models(folder)
    loss = "lambda true, logits: 2 * keras.losses.sparse_categorical_crossentropy(true, logits, from_logits=True))"
    custom = ("losses.SparseCategoricalCrossentropy(from_logits=True))\ntrained", f"{loss}\ntrained")
    work(folder, custom, until="show_settings")
    assert models(folder) > trained, "another loss is another model"
    trained = models(folder)
    flipped = ("random_warp()(pixels)", 'layers.RandomFlip("horizontal")(pixels)')
    work(folder, flipped, until="trained = {", name="01_baseline")
    assert models(folder) > trained, "another augmentation is other models"
    trained = models(folder)
    work(folder, (), until="trained = {", name="01_baseline")
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


def work(folder, change, until="", name="06_fine_tuning_run1"):
    """Run a notebook in a kernel as JupyterLab does, with one text replaced; what it showed, as text."""
    notebook = nbformat.read(folder / "notebooks" / f"{name}.ipynb", 4)
    cells = []
    for cell in notebook.cells:
        cells.append(cell)
        if until and until in cell.source:
            break
    for cell in cells:
        cell.source = cell.source.replace('RUN = "sample"', 'RUN = "tiny"')
    if change:
        (line,) = [cell for cell in cells if change[0] in cell.source]
        line.source = line.source.replace(*change)
    notebook.cells = cells
    about = {"metadata": {"path": str(folder / "notebooks")}}
    client = NotebookClient(notebook, timeout=600, kernel_name="python3", resources=about)
    client.execute(env={**os.environ, "PYTHONPATH": str(folder)})
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    return "\n".join(str(output.get("text", output.get("data", ""))) for output in outputs)
