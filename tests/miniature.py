"""A copy of the lab with a few small notebooks, to break, kill and resume without running the real ones."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
CHAPTERS = ("00_dataset", "01_baseline", "02_paper_baselines", "03_task_similarity")
OPEN = """from lab_utils.core.profiles import load_settings
from lab_utils.lab import Lab  # (`open_lab` loads TensorFlow for most chapters, which takes seconds)

lab = Lab(load_settings(RUN), "{name}")"""


def copy_of_the_lab(folder: Path, leave: tuple[str, ...] = ("notebooks/",)) -> Path:
    """Copy what a clone holds, but for tests and (by default) notebooks."""
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, tracked.split("\0")):
        source, target = ROOT / name, folder / name
        if source.is_file() and not name.startswith((*leave, "tests/", "benchmarks/")):
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
    return folder


def miniature(folder: Path) -> Path:
    """A lab of four small chapters that read and write records like the real ones."""
    copy_of_the_lab(folder)
    write_notebook(folder, "00_dataset", 'lab.record("images", len(lab.images))')
    write_notebook(folder, "01_baseline", 'lab.record("one", lab.results("00_dataset")["images"] + 1)')
    write_notebook(folder, "02_paper_baselines", 'lab.record("two", 2)')
    write_notebook(folder, "03_task_similarity", 'lab.record("three", lab.results("01_baseline")["one"] + 2)')
    return folder


def write_notebook(folder: Path, name: str, *code: str) -> Path:
    """A notebook of the lab's form with these code cells."""
    cells = [
        new_markdown_cell(f"# {int(name[:2])} {name[3:]}"),
        new_code_cell('RUN = "sample"', metadata={"tags": ["parameters"]}),
        new_code_cell(OPEN.format(name=name)),
        new_markdown_cell("## The experiment"),
        *map(new_code_cell, code),
    ]
    about = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    path = folder / "notebooks" / f"{name}.ipynb"
    path.parent.mkdir(exist_ok=True)
    nbformat.write(new_notebook(cells=cells, metadata=about), path)
    return path


def picture(path: Path, seed: int) -> None:
    """A picture of noise whose file has the same size whatever is on it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (12, 12, 3), dtype=np.uint8)).save(path)


def start(folder: Path, *options: str) -> subprocess.Popen:
    """Start `run_all.sh` with this Python instead of an environment of its own."""
    clean = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "LAB_WATCHED")}
    return subprocess.Popen(
        [str(folder / "run_all.sh"), *options],
        env={**clean, "LAB_PYTHON": sys.executable},
        cwd=folder.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def run(folder: Path, *options: str, expected: int = 0) -> str:
    """Run `run_all.sh` to its end and return what it printed."""
    child = start(folder, *options)
    output, _ = child.communicate(timeout=1500)
    assert child.returncode == expected, f"exit code {child.returncode}:\n{output}"
    return output
