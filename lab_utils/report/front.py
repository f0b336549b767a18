"""The first page of a report: what to know before reading, the headline, the state of the chapters, provenance.

All of it is rendered from the run's settings, its data manifest, the states and the records.
"""

import re
from typing import Any

import pandas as pd

from lab_utils.claims import ledger
from lab_utils.core import links, records
from lab_utils.core.profiles import Settings
from lab_utils.display import bundles
from lab_utils.report.parts import Chapter, Part, entries, verdict_counts

TITLE = "Transfer learning on MAMe"
STATES = {
    "ok": "complete",
    "failed": "FAILED",
    "not run": "not run on this data",
    "waiting": "not run: waits for a failed chapter",
    "out of date": "out of date: its numbers are from before",
    "missing": "not run yet",
}
_MEANING = {
    "sample": (
        "The pictures are **procedural drawings made by a program**, not photographs of museum objects. They have "
        "MAMe's mediums, columns and proportions, so that every step of the lab can be run and checked, but **the "
        "figures here say nothing about MAMe**, and cannot be compared with those of the original report."
    ),
    "folder": (
        "The pictures come from **a folder of the user's own images**, split by this lab. The figures hold for this "
        "folder; they say nothing about MAMe. Where there are few images the intervals are wide: read them first."
    ),
    "mame": (
        "The data are the **MAMe data set** with its official splits; the figures can be set beside the original's."
    ),
    "mame-toy": (
        "The data are the **MAMe authors' own small list** (50 train, 20 val, 50 test images a class) inside the "
        "official splits: less training data than the original had, so lower figures are expected."
    ),
}
_HOW_TO_READ = (
    "A number in brackets is a 95 % interval, and n how many images (or groups) it rests on. Differences within their "
    "interval are called **ties**. “Reported” marks numbers printed in the original lab or the MAMe paper.",
    "Choices were made on the validation images, and each reading of test labels is logged.",
)


def front_parts(
    settings: Settings, manifest: dict[str, Any], results: dict[str, dict[str, Any]], chapters: list[Chapter]
) -> list[Part]:
    """Parts of the first page.

    Args:
        settings: of the run.
        manifest: content of the run's `data.json`; empty where there is none.
        results: content of the results files by chapter.
        chapters: of the report.
    """
    parts = [
        Part("markdown", "## Read this first"),
        Part("box", read_first(settings, manifest, results, chapters), style="first"),
        Part("markdown", f"## In short\n\n{abstract(settings, manifest, results)}"),
    ]
    headline = headline_table(results)
    if headline is not None:
        parts.append(_table(headline, "The main results, each with its 95 % interval and what it is of."))
    parts += [Part("markdown", "## Chapters"), _table(status_table(chapters), "State of each chapter.")]
    return parts


def errata_parts(results: dict[str, dict[str, Any]]) -> list[Part]:
    """The errata where chapter 14 made none: arithmetic on printed numbers, and what the other chapters decided."""
    recorded = {name: content.get("records", []) for name, content in sorted(results.items())}
    verdicts = ledger.collect(recorded, ledger.arithmetic(records.reported))
    words = (
        "Chapter 14 has made no errata in this run. Those of its own numbers hold on any data; the others are what the "
        f"chapters that were run decide. {ledger.errata_words(verdicts)}"
    )
    table = _table(
        ledger.errata_table(verdicts), "Errata of the original: what the slide says, its evidence, what we find."
    )
    return [Part("markdown", f"## Errata of the original\n\n{words}"), table]


def provenance_parts(settings: Settings, results: dict[str, dict[str, Any]], key: str) -> list[Part]:
    """Parts of the page that says from what and on what the report was made."""
    table = provenance_table(settings, results, key)
    return [Part("markdown", "## Provenance"), _table(table, "What this report was made from, and on.")]


def read_first(
    settings: Settings, manifest: dict[str, Any], results: dict[str, dict[str, Any]], chapters: list[Chapter]
) -> str:
    """The sentences to know before reading, as a Markdown list."""
    source = manifest.get("source") or settings.data.source
    sentences = [_MEANING[source], *(manifest.get("notes") or [])]
    if settings.networks.weights == "random":
        sentences.append("The networks have **random weights**: nothing here is about pretrained networks.")
    sentences += [*_HOW_TO_READ, _test_reads(results), *_not_complete(chapters), *_device(results)]
    return "\n".join(f"- {sentence}" for sentence in sentences)


def _test_reads(results: dict[str, dict[str, Any]]) -> str:
    recorded = {name: content.get("records", []) for name, content in sorted(results.items())}
    return f"{ledger.reads_counts(recorded)} Chapter 14 lists the readings and what each was for."


def _not_complete(chapters: list[Chapter]) -> list[str]:
    groups = {
        state: ", ".join(one.name[:2] for one in chapters if one.state == state) for state in STATES if state != "ok"
    }
    words = {
        "failed": "**Failed**, with a red box at their place: chapters",
        "waiting": "Not run because they wait for a failed one: chapters",
        "out of date": "Out of date, with numbers from before: chapters",
        "not run": "Not run on this data: chapters",
        "missing": "Not run yet: chapters",
    }
    return [f"{words[state]} {names}." for state, names in groups.items() if names]


def _device(results: dict[str, dict[str, Any]]) -> list[str]:
    machines = [content.get("provenance", {}).get("hardware", {}) for content in results.values()]
    if not machines or any(machine.get("gpu") for machine in machines):
        return []
    return [
        "Nothing here ran on a GPU: sizes, epochs and networks are those that a processor allows; speeds are its own."
    ]


def abstract(settings: Settings, manifest: dict[str, Any], results: dict[str, dict[str, Any]]) -> str:
    """The report in a paragraph: chapter 14's record of kind `abstract` where there is one, else data and verdicts."""
    written = entries(results, "abstract")
    if written:
        return str(written[-1]["value"])
    counts, classes = manifest.get("images") or {}, manifest.get("classes") or []
    sizes = ", ".join(f"{count:,} {split}" for split, count in counts.items())
    data = f" It was run on {settings.title or settings.name}"
    data += f": {sizes} images of {len(classes)} mediums." if counts else "."
    verdicts = ", ".join(f"{count} {verdict}" for verdict, count in verdict_counts(results).items())
    ledger = f" Of the original's claims that were tested here, the verdicts are: {verdicts}." if verdicts else ""
    return (
        "A course lab on transfer learning for recognising the medium of museum objects, rebuilt so that every figure "
        f"and every sentence about a result is computed.{data}{ledger}"
    )


def headline_table(results: dict[str, dict[str, Any]]) -> pd.DataFrame | None:
    """Records of kind `headline`, or else the first accuracies; None where there are neither."""
    chosen = entries(results, "headline") or [one for one in entries(results, "result") if _is_accuracy(one)][:8]
    rows = [
        {
            "result": str(one.get("label") or one["id"]),
            "value": _words(one["value"]),
            "of": one["value"].get("of", "") if isinstance(one["value"], dict) else "",
            "chapter": links.Link(one["chapter"][:2], one["chapter"]),
        }
        for one in chosen
    ]
    table = pd.DataFrame(rows)
    return None if table.empty else table.loc[:, (table != "").any()]


def _is_accuracy(entry: dict[str, Any]) -> bool:
    return isinstance(entry["value"], dict) and {"successes", "n", "text"} <= set(entry["value"])


def _words(value: Any) -> str:
    return str(value.get("text", value.get("sentence", value))) if isinstance(value, dict) else bundles.cell(value)


def status_table(chapters: list[Chapter]) -> pd.DataFrame:
    """State and seconds of each chapter."""
    rows = [
        {
            "chapter": links.Link(one.title, one.name),
            "state": STATES.get(one.state, one.state),
            "seconds": None if one.seconds is None else round(one.seconds),
        }
        for one in chapters
    ]
    return pd.DataFrame(rows).astype({"seconds": float})


def provenance_table(settings: Settings, results: dict[str, dict[str, Any]], key: str) -> pd.DataFrame:
    """Revision, hashes, versions, hardware and seconds, as the chapters recorded them."""
    about = [content.get("provenance", {}) for _, content in sorted(results.items())]
    hardware = [one.get("hardware", {}) for one in about]
    rows = {
        "run": f"{settings.name} (profile {settings.profile})",
        "revision of the code": _distinct(one.get("git") for one in about),
        "hash of the settings": _distinct(one.get("settings") for one in about),
        "hash of the data": _distinct(one.get("data") for one in about),
        "networks": f"{', '.join(settings.networks.names)} ({settings.networks.weights} weights)",
        "versions": _distinct(", ".join(f"{name} {v}" for name, v in one.get("versions", {}).items()) for one in about),
        "hardware": _distinct(_machine(one) for one in hardware),
        "seconds in chapters": f"{sum(one.get('seconds') or 0 for one in about):.0f}",
        "key of this report's content": key,
    }
    return pd.DataFrame([{"what": name, "value": value} for name, value in rows.items() if value])


def _distinct(values: Any) -> str:
    return " · ".join(dict.fromkeys(str(value) for value in values if value))


def _machine(hardware: dict[str, Any]) -> str:
    if not hardware:
        return ""
    gpu = hardware.get("gpu") or "no GPU used"
    parts = (hardware.get("system"), hardware.get("machine"), f"{hardware.get('cores')} cores")
    return ", ".join([*(str(part) for part in parts if part), f"{hardware.get('memory_gib')} GiB", str(gpu)])


def _table(table: pd.DataFrame, caption: str) -> Part:
    return Part("table", data=bundles.table_bundle(table), caption=caption)


# ---- references ------------------------------------------------------------------------------------------------------
def references_chapter(table: pd.DataFrame) -> Chapter:
    """The last section: the original's references in its order, then this lab's, each with its address.

    Args:
        table: `references` of `data/reported`.
    """
    own = table[table["whose"] == "lab"].sort_values("text", key=lambda text: text.str.casefold())
    lists = {
        "Of the original": table[table["whose"] == "original"],
        "Of this lab": own.assign(key=range(1 + len(table) - len(own), 1 + len(table))),
    }
    parts = [Part("markdown", f"## {title}\n\n{_listed(rows)}") for title, rows in lists.items()]
    return Chapter("references", "References", "ok", parts=parts)


def _listed(rows: pd.DataFrame) -> str:
    """Numbered references as a Markdown list; whatever Markdown would read as a sign of its own is escaped."""
    return "\n".join(f"- \\[{one.key}\\] {_escaped(one.text)} <{one.url}> ({one.source})" for one in rows.itertuples())


def _escaped(text: str) -> str:
    return re.sub(r"([\\`*_\[\]<>$|])", r"\\\1", text)
