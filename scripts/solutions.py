"""Print the solutions of a run's exercises, for teachers: python scripts/solutions.py RUN [CHAPTER ...].

The notebooks' code runs again on what the run has stored (trained networks are loaded, not trained), one process a
chapter, and no record of the run is changed. Chapters are numbers (06) or names; without any, all sixteen are solved.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[1]
MARK = "Exercise "  # how `exercises.check` begins the line of a solution


def main(argv: list[str] | None = None) -> int:
    """Print all solutions; return 1 where a chapter could not be run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="name of a finished run, such as sample")
    parser.add_argument("chapters", nargs="*", help="numbers or names; default all")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    sys.path.insert(0, str(PROJECT))
    from lab_utils.core.chapters import CHAPTERS, chapter
    from lab_utils.core.errors import LabError

    try:
        names = sorted(chapter(name).name for name in arguments.chapters or [entry.name for entry in CHAPTERS])
    except LabError as error:
        print(error, file=sys.stderr)
        return 2
    if arguments.inside:
        execute(names[0], arguments.run)
        return 0
    return max([solved(name, arguments.run) for name in names])


def solved(name: str, run: str) -> int:
    """Print the solutions of one chapter; return 1 where it could not be run."""
    environment = {**os.environ, "LAB_EXERCISES": "solve", "MPLBACKEND": "Agg"}
    command = [sys.executable, __file__, run, name, "--inside"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=PROJECT)
    lines = [line for line in done.stdout.splitlines() if line.startswith(MARK)]
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        lines.append(f"{name} could not be run to its end: {reason}")
    print("\n".join(lines), flush=True)
    return int(done.returncode != 0)


def execute(name: str, run: str) -> None:
    """Run the code of a notebook in this process, without writing its records and without showing anything."""
    import IPython.display

    from lab_utils.lab import Lab

    IPython.display.display = lambda *shown, **options: None
    Lab._save = Lab.keep = lambda self, *given: None
    notebook = json.loads((PROJECT / "notebooks" / f"{name}.ipynb").read_text(encoding="utf-8"))
    variables: dict[str, Any] = {"__name__": "__main__"}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            given = "parameters" in cell["metadata"].get("tags", [])
            source = f"RUN = {run!r}" if given else "".join(cell["source"])
            exec(compile(source, f"{name}, {cell['id']}", "exec"), variables)


if __name__ == "__main__":
    sys.exit(main())
