"""What stands before and after the chapters: the first page, the ledger, what is wrong in the original, provenance.

All of it is rendered from the run's settings, its data manifest, the states and the records.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from lab_utils.core import escape
from lab_utils.core.chapters import chapter
from lab_utils.core.links import Link
from lab_utils.core.profiles import Settings
from lab_utils.display import bundles
from lab_utils.networks.registry import backbone
from lab_utils.report import ladder, ledger
from lab_utils.report.parts import Chapter, Part
from lab_utils.report.story import without_intervals
from lab_utils.report.tables import with_minus
from lab_utils.report.to_html import minutes

FINDINGS = Path(__file__).with_name("findings.yaml")
SHOWN = 5  # findings on the first page
LEDGER_WORDS = 10  # of what the original says, in a line of the ledger
ORIGINAL = ("vgg16", "resnet50", "efficientnetb0", "efficientnetb3")
_LACKS = {  # what one claim, or several, need that this run lacks
    "photographs": (
        "{} needs MAMe's own photographs.",
        "{} need MAMe's own photographs: nothing else can decide them.",
    ),
    "training": ("{} needs a network trained to an end.", "{} need networks trained to an end."),
    "": ("For {} its chapter says what is lacking.", "For {} their chapters say what is lacking."),
}
QUESTION = (
    "How far do networks trained on ImageNet carry over to the medium of museum objects? "
    "Which conclusions of the original lab hold?"
)
_DATA = {
    "sample": (
        "**The pictures are drawings made by a program**, with MAMe's mediums and proportions. Every step of the lab "
        "runs on them, but **no number here says anything about MAMe**. A claim about museum photographs is "
        "**not testable** on them."
    ),
    "folder": (
        "The pictures come from a folder of the user's own, split by this lab. The numbers hold for this folder and "
        "say nothing about MAMe. Where images are few, the intervals are wide."
    ),
    "mame": "The data are the MAMe data set with its official splits.",
    "mame-toy": (
        "The data are the MAMe authors' own small list inside the official splits. It has less training data than the "
        "original had, so lower numbers are expected."
    ),
}
_HOW_TO_READ = (
    "A **tie** is a difference whose 95 % interval includes zero. **Reported** numbers are printed in the original or "
    "in the MAMe paper. **Here** stands before what the method shows on these images. Figures keep the numbers of the "
    "chapters' pages, so some are left out."
)
_RIVALS = {
    "frozen": "the best classifier on frozen features",
    "fine-tuned": "the best fine-tuned network",
    "from scratch": "the best network from scratch",
    "without pixels": "the best guess without pixels",
}
_BY_NUMBERS = "([by its own numbers](#errors))"
Results = Mapping[str, Mapping[str, Any]]


# ---- the first page --------------------------------------------------------------------------------------------------
def line(settings: Settings, chapters: list[Chapter]) -> str:
    """The course and the day on which the run was finished."""
    days = max((chapter.finished for chapter in chapters), default="")
    date = pd.Timestamp(days).strftime("%-d %B %Y") if days else ""
    return " · ".join(filter(None, [settings.course, date]))


def first_page(
    settings: Settings,
    manifest: Mapping[str, Any],
    results: Results,
    chapters: list[Chapter],
    lines: list[ledger.LedgerLine],
) -> list[Part]:
    """Parts of the first page.

    Args:
        settings: of the run.
        manifest: content of the run's `data.json`; empty where there is none.
        results: content of the results files by chapter.
        chapters: of the report.
        lines: the ledger.
    """
    source = manifest.get("source") or ("mame-toy" if settings.data.toy else settings.data.source)
    steps = ladder.rungs(results)
    parts = [
        Part("markdown", " ".join(_what_was_run(settings, manifest, results))),
        Part("box", _DATA[source], style="first"),
        Part("markdown", f"**Question.** {QUESTION}"),
    ]
    if any(rung.value is not None for rung in steps):
        parts.append(ladder.part(steps, source))
    told = findings(steps, lines)
    if told:
        parts.append(
            Part("markdown", "## Findings\n\n" + "\n".join(f"{n}. {finding}" for n, finding in enumerate(told, 1)))
        )
    parts.append(Part("markdown", f"{_counts(lines)}\n\n{_not_run(settings, chapters)}\n\n{_HOW_TO_READ}"))
    return parts


def _what_was_run(settings: Settings, manifest: Mapping[str, Any], results: Results) -> list[str]:
    counts, classes = manifest.get("images") or {}, manifest.get("classes") or []
    name = escape.markdown(settings.title or settings.name)
    sizes = ", ".join(f"{count:,} {split}" for split, count in counts.items())
    data = f"This run used {name}"
    if counts:
        data += f": {sum(counts.values()):,} images of {len(classes)} {_plural('class', len(classes))} ({sizes})"
    weights = "ImageNet" if settings.networks.weights == "imagenet" else "**random**"
    were = "The network was" if len(settings.networks.names) == 1 else "The networks were"
    networks = f"{were} {_titles(settings.networks.names)} with {weights} weights"
    device = _device(results)
    return [f"{data}.", f"{networks}{f', on {device}' if device else ''}."]


def _plural(word: str, count: int) -> str:
    return word if count == 1 else f"{word}es" if word.endswith("s") else f"{word}s"


def _titles(names: Iterable[str]) -> str:
    titles = [escape.markdown(backbone(name).title) for name in names]
    return " and ".join(filter(None, [", ".join(titles[:-1]), titles[-1]])) if titles else "none"


def _device(results: Results) -> str:
    machines = [content.get("provenance", {}).get("hardware", {}) for content in results.values()]
    cards = sorted({machine["gpu"] for machine in machines if machine.get("gpu")})
    if cards:
        return escape.markdown(", ".join(cards))
    cores = max((machine.get("cores") or 0 for machine in machines), default=0)
    if not cores:
        return ""
    unused = next((machine["gpu_unused"] for machine in machines if machine.get("gpu_unused")), "")
    words = f"{cores} processor {_plural('core', cores)} without a graphics card"
    return f"{words} ({escape.markdown(unused[0].lower() + unused[1:].rstrip('.'))})" if unused else words


def findings(steps: list[ladder.Rung], lines: list[ledger.LedgerLine]) -> list[str]:
    """Up to five findings, each a sentence of Markdown and a link to its chapter.

    The best step of the ladder, then the verdicts of the claims that `findings.yaml` lists, as far as they are decided;
    after these what the method shows here of those that the data can't decide.
    """
    by_claim = {line.claim: line for line in lines}
    listed = [by_claim[claim] for claim in yaml.safe_load(FINDINGS.read_text(encoding="utf-8")) if claim in by_claim]
    decided = [(line, line.sentence) for line in listed if line.verdict != "not testable"]
    shown = [(line, line.here) for line in listed if line.here]
    sentences = [f"{escape.markdown(with_minus(words))} {_where(line)}" for line, words in [*decided, *shown]]
    return [*([_best(steps)] if ladder.best(steps) else []), *sentences][:SHOWN]


def _best(steps: list[ladder.Rung]) -> str:
    top = ladder.best(steps)
    who = {
        "frozen": "A classifier on the features of a frozen network is best",
        "fine-tuned": "A fine-tuned network is best",
        "from scratch": "A network trained from scratch is best",
        "without pixels": "No network beats guessing without a look at the pixels",
    }[top.kind]
    rival = ladder.best([rung for rung in steps if rung.kind != top.kind and rung.split == top.split])
    beaten = f"; {_RIVALS[rival.kind]} reaches {100 * rival.value:.1f} %" if rival else ""
    name = escape.markdown(top.name.removeprefix("Frozen, ").removeprefix("From scratch, "))
    return f"{who} ({name}): {100 * top.value:.1f} % on {top.split}{beaten}. {_to_chapter(top.chapter)}"


def _where(line: ledger.LedgerLine) -> str:
    return _BY_NUMBERS if line.arithmetic else _to_chapter(line.chapter)


def _to_chapter(number: str) -> str:
    return f"([chapter {int(number)}]({chapter(number).name}.ipynb))"


def _counts(lines: list[ledger.LedgerLine]) -> str:
    tally = {verdict: sum(line.verdict == verdict for line in lines) for verdict in ledger.VERDICTS}
    ties = f"{tally['tie']} {_plural('tie', tally['tie'])}"
    own = sum(line.arithmetic and line.verdict == "contradicted" for line in lines)
    lacking = sum(line.lacks == "photographs" for line in lines)
    only = f" ({lacking} for want of MAMe's photographs)" if lacking else ""
    return (
        f"**Claims.** [The ledger](#ledger) has {len(lines)} claims of the original: {tally['supported']} supported, "
        f"{tally['contradicted']} contradicted ({own} by [its own numbers](#errors)), {ties}, "
        f"{tally['not testable']} not testable here{only}."
    )


_INCOMPLETE = {
    "failed": "failed",
    "waiting": "waiting for a failed one",
    "out of date": "with numbers from before",
    "not run": "not on this data",
    "running": "running now",
    "missing": "not yet",
}


def _not_run(settings: Settings, chapters: list[Chapter]) -> str:
    absent = [name for name in ORIGINAL if name not in {*settings.networks.names, *settings.fine_tuning.networks}]
    stand = "stands" if len(settings.networks.names) == 1 else "stand"
    words = []
    if absent:
        words.append(f"the original's {_titles(absent)} ({_titles(settings.networks.names)} {stand} in)")
    for state, said in _INCOMPLETE.items():
        numbers = [str(int(chapter.number)) for chapter in chapters if chapter.state == state and chapter.number]
        which = (
            f"{_plural('chapter', len(numbers))} {', '.join(numbers)}"
            if len(numbers) < len(chapters)
            else "all chapters"
        )
        words += [f"{which} ({said})"] if numbers else []
    told = "; ".join(words)
    return f"**Not run.** {told[:1].upper()}{told[1:]}." if words else "Every chapter was run."


# ---- after the chapters ----------------------------------------------------------------------------------------------
def ledger_chapter(lines: list[ledger.LedgerLine]) -> Chapter:
    """The claims of the original, a line each."""
    rows = [
        {
            "slide": line.slide,
            "what the original says": _one_line(line.said.removeprefix("says ")),
            "verdict": line.verdict,
            "chapter": _tested(line),
        }
        for line in lines
    ]
    caption = "The original's claims by slide. The chapters' pages quote them in full and tell how each was tested"
    parts = [_table(rows, caption)]
    lacks = Counter(line.lacks for line in lines if line.verdict == "not testable")
    if lacks:
        told = " ".join(words[lacks[lack] > 1].format(lacks[lack]) for lack, words in _LACKS.items() if lacks[lack])
        parts.insert(0, Part("markdown", f"**Not testable here**: {lacks.total()}. {told}"))
    return Chapter("ledger", "Ledger of claims", "ok", parts=parts)


def _one_line(said: str) -> str:
    """As many of its words as a line of the ledger holds; the claim's chapter quotes it in full."""
    words = said.split()
    if len(words) <= LEDGER_WORDS:
        return said
    return f"{' '.join(words[:LEDGER_WORDS]).rstrip(' .,;…')} …{'”' * said.endswith('”')}"


def _tested(line: ledger.LedgerLine) -> Link:
    """Where a claim's test stands: in a chapter, or among what the printed numbers decide."""
    if line.arithmetic:
        return Link("numbers", "#errors")
    return Link(str(int(line.chapter)), chapter(line.chapter).name)


def errors_chapter(lines: list[ledger.LedgerLine]) -> Chapter:
    """What the original's own printed numbers contradict, which holds on any data."""
    own = [line for line in lines if line.arithmetic]
    rows = [
        {"slide": line.slide, "what its own numbers say": without_intervals(line.sentence)}
        for line in own
        if line.verdict == "contradicted"
    ]
    caption = "What the original's own printed numbers contradict. No image is needed for it"
    parts = [_table(rows, caption)] if rows else [Part("markdown", "None was found.")]
    for verdict, words in (("supported", "The printed numbers support"), ("tie", "They leave open")):
        told = [line for line in own if line.verdict == verdict]
        said = " ".join(f"Slide {line.slide}: {without_intervals(line.sentence)}" for line in told)
        parts += [Part("markdown", f"**{words}.** {escape.markdown(with_minus(said))}")] if told else []
    return Chapter("errors", "What is wrong in the original by its own numbers", "ok", parts=parts)


def provenance_chapter(settings: Settings, results: Results, key: str) -> Chapter:
    """From what and on what the report was made, and how often test labels were read."""
    about = [content.get("provenance", {}) for _, content in sorted(results.items())]
    seconds = sum(run.get("seconds") or 0 for run in about)
    rows = {
        "run": f"{settings.name} (profile {settings.profile})",
        "revision of the code": _distinct(run.get("git") for run in about),
        "hash of the data": _distinct(run.get("data") for run in about),
        "networks": f"{', '.join(settings.networks.names)} ({settings.networks.weights} weights)",
        "versions": _distinct(", ".join(f"{name} {v}" for name, v in run.get("versions", {}).items()) for run in about),
        "hardware": _distinct(_machine(run.get("hardware", {})) for run in about),
        "time in chapters": minutes(seconds) if seconds else "",
        "hash of this report's content": key,
    }
    words = f"Choices were made on the validation images. {ledger.readings(results)}"
    table = _table(
        [{"what": name, "value": value} for name, value in rows.items() if value], "What this report was made from"
    )
    return Chapter("provenance", "How it was run", "ok", parts=[Part("markdown", words), table])


def references_chapter(table: pd.DataFrame) -> Chapter:
    """The last section: the original's references in its order, then this lab's, each with its address.

    Args:
        table: `references` of `data/reported`.
    """
    own = table[table["whose"] == "lab"].sort_values("key", key=lambda key: key.str.casefold())
    parts = [Part("markdown", f"## Of the original\n\n{_listed(table[table['whose'] == 'original'])}")]
    parts += [Part("markdown", f"## Of this lab\n\n{_in_short(own)}")]
    return Chapter("references", "References", "ok", parts=parts)


def _listed(rows: pd.DataFrame) -> str:
    return "\n".join(f"- \\[{row.key}\\] {escape.markdown(row.text)} <{row.url}>" for row in rows.itertuples())


def _in_short(rows: pd.DataFrame) -> str:
    """First author, year and address, one after the other."""
    listed = (f"{escape.markdown(row.key)}: [{_address(row.url)}]({row.url})" for row in rows.itertuples())
    return "; ".join(listed) + "."


def _address(url: str) -> str:
    return escape.markdown(url.partition("://")[2].removeprefix("www."))


def _distinct(values: Any) -> str:
    return " · ".join(dict.fromkeys(str(value) for value in values if value))


def _machine(hardware: Mapping[str, Any]) -> str:
    if not hardware:
        return ""
    gpu = hardware.get("gpu") or str(hardware.get("gpu_unused", "no graphics card used")).rstrip(".")
    parts = (hardware.get("system"), hardware.get("machine"), f"{hardware.get('cores')} cores")
    return ", ".join([*(str(part) for part in parts if part), f"{hardware.get('memory_gib')} GiB", str(gpu)])


def _table(rows: list[dict[str, Any]], caption: str) -> Part:
    return Part("table", data=bundles.table_bundle(pd.DataFrame(rows)), caption=caption, story=True, style="whole")
