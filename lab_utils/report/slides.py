"""The slide index: where this report shows what each slide of the original shows."""

from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from lab_utils.core.links import Link
from lab_utils.core.profiles import Settings
from lab_utils.display import bundles
from lab_utils.report.parts import Chapter, Part, labelled

SLIDES = Path(__file__).with_name("slides.yaml")
REPRODUCED, STAND_IN, NOT_RUN = "reproduced", "stand-in", "not run"


def slides() -> list[dict[str, Any]]:
    """The slides in order: number, title, and chapter, labels and network where they hold a result."""
    return yaml.safe_load(SLIDES.read_text(encoding="utf-8"))


def part(settings: Settings, story: list[Chapter]) -> Part:
    """The index as a table.

    Args:
        settings: of the run.
        story: chapters as the report shows them.
    """
    labels = labelled(story)
    by_number = {chapter.number: chapter for chapter in story}
    rows = [_row(slide, settings, by_number, labels) for slide in slides()]
    caption = "Where each slide is in this report. Stand-in: another network plays the part of the slide's"
    return Part("table", data=bundles.table_bundle(pd.DataFrame(rows)), caption=caption, story=True)


def _row(
    slide: dict[str, Any], settings: Settings, chapters: dict[str, Chapter], labels: dict[str, Any]
) -> dict[str, Any]:
    shown = next((label for label in slide.get("shows", ()) if label in labels), "")
    number = str(slide.get("chapter", ""))
    place: Any = ""
    if shown:
        place = Link("figure", f"#{shown}")
    elif number in chapters:
        place = Link(f"chapter {int(number)}", chapters[number].name)
    elif number:
        place = Link(number, f"#{number}")
    return {
        "slide": slide["slide"],
        "what it shows": slide["title"],
        "here": place,
        "state": _state(slide, settings, chapters),
    }


def _state(slide: dict[str, Any], settings: Settings, chapters: dict[str, Chapter]) -> str:
    number = str(slide.get("chapter", ""))
    if not number:
        return ""
    if not number.isdigit():
        return "listed"
    if number not in chapters or chapters[number].state != "ok":
        return NOT_RUN
    network = slide.get("of", "")
    if network == "paper":
        return REPRODUCED if settings.paper.download else STAND_IN
    run = {*settings.networks.names, *settings.fine_tuning.networks}
    return STAND_IN if network and network not in run else REPRODUCED
