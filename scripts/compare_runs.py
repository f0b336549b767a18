"""What changed between two runs, record by record: python scripts/compare_runs.py OLD NEW (folders of a report).

Reads `results/*.json` of both. Seconds and provenance are left out; numbers count as equal within `--tolerance`.
Exit code 0: nothing differs, 1: something does, 2: a folder has no results.
"""

import argparse
import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

LEFT_OUT = ("seconds", "provenance")


def read(folder: Path) -> dict[str, dict[str, Any]]:
    """Records of every chapter by their id, `{chapter: {id: record}}`."""
    chapters = {}
    for path in sorted((folder / "results").glob("*.json")):
        records = json.loads(path.read_text(encoding="utf-8"))["records"]
        chapters[path.stem] = {record["id"]: record for record in records}
    return chapters


def differences(old: Any, new: Any, place: str, tolerance: float) -> Iterator[tuple[str, Any, Any]]:
    """Places where two records differ: (path within the record, old value, new value)."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(key for key in new if key not in old)]:
            if key not in LEFT_OUT:
                yield from differences(old.get(key), new.get(key), f"{place}.{key}" if place else key, tolerance)
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for position, (before, after) in enumerate(zip(old, new, strict=True)):
            yield from differences(before, after, f"{place}[{position}]", tolerance)
    elif not same(old, new, tolerance):
        yield place, old, new


def same(old: Any, new: Any, tolerance: float) -> bool:
    """Whether two plain values are equal, numbers within a tolerance."""
    numbers = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in (old, new))
    return math.isclose(old, new, rel_tol=tolerance, abs_tol=tolerance) if numbers else old == new


def short(value: Any) -> str:
    """A value in at most 80 signs."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:77]}..."


def report(old: dict[str, dict[str, Any]], new: dict[str, dict[str, Any]], tolerance: float, most: int) -> list[str]:
    """One line a difference, at most `most` a record."""
    lines = []
    for chapter in sorted({*old, *new}):
        before, after = old.get(chapter, {}), new.get(chapter, {})
        for record in [*before, *(name for name in after if name not in before)]:
            if record not in after or record not in before:
                lines.append(f"{chapter}  {record}  {'is gone' if record in before else 'is new'}")
                continue
            changes = list(differences(before[record], after[record], "", tolerance))
            lines += [f"{chapter}  {record}  {place}: {short(a)} -> {short(b)}" for place, a, b in changes[:most]]
            if len(changes) > most:
                lines.append(f"{chapter}  {record}  ... and {len(changes) - most} more")
    return lines


def main(argv: list[str] | None = None) -> int:
    """Print the differences of two runs; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=Path, help="folder of a report, such as report/sample")
    parser.add_argument("new", type=Path, help="the same of another state")
    parser.add_argument("--tolerance", type=float, default=1e-9, help="relative and absolute, of numbers")
    parser.add_argument("--most", type=int, default=4, help="differences shown of one record")
    arguments = parser.parse_args(argv)
    old, new = read(arguments.old), read(arguments.new)
    for folder, chapters in ((arguments.old, old), (arguments.new, new)):
        if not chapters:
            print(f"{folder} has no results/*.json: give the folder of a report.", file=sys.stderr)
            return 2
    lines = report(old, new, arguments.tolerance, arguments.most)
    print("\n".join(lines) if lines else "Nothing differs.")
    return int(bool(lines))


if __name__ == "__main__":
    sys.exit(main())
