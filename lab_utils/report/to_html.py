"""Parts → HTML, by nbconvert through the templates in `templates/report`: the report, a chapter's page, the index.

Nothing is asked from a network: formulas become MathML, pictures data, and a policy in each page forbids the rest.
"""

import functools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab_utils.core import escape
from lab_utils.report import pictures, tables
from lab_utils.report.parts import Chapter, Part, chapter_number, readable_markdown, text_of

if TYPE_CHECKING:
    from nbconvert.exporters.templateexporter import TemplateExporter

TEMPLATES = Path(__file__).parent / "templates"
_PIXELS = 112  # CSS pixels an inch: figures drawn for paper fill the column of the screen
_SAFE = re.compile(r"(https?://|mailto:|#|[\w.%-]+(/[\w.%-]+)*(#[\w.%-]+)?$)")


@dataclass(frozen=True)
class Places:
    """Where links of a page lead.

    Attributes:
        labels: figures and tables by label, each with its chapter.
        names: of the chapters, by number.
        own: anchors of the figures and tables on this page.
        inside: whether the chapters are sections of this page.
        folder: where the chapters' pages are, as seen from this page: "chapters/" or "".
    """

    labels: Mapping[str, tuple[Chapter, Part]] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    own: frozenset[str] = frozenset()
    inside: bool = False
    folder: str = ""

    def href(self, target: str) -> str:
        """Address of a link; empty where it is none that a page may lead to."""
        number = chapter_number(target)
        if number:
            return f"#chapter-{number}" if self.inside else f"{self.folder}{self.names.get(number, number)}.html"
        if target.removeprefix("#") in self.labels:
            chapter, part = self.labels[target.removeprefix("#")]
            page = "" if part.anchor in self.own else f"{self.folder}{chapter.name}.html"
            return f"{page}#{part.anchor}"
        return target if _SAFE.match(target) else ""

    def text(self, text: str, target: str) -> str:
        """Text of a link: that of a label becomes the figure's or table's name."""
        labelled = self.labels.get(target.removeprefix("#"))
        return labelled[1].name if labelled else text


def render(template: str, places: Places, level: int = 1, **resources: Any) -> str:
    """One page.

    Args:
        template: its file's name.
        places: where its links lead.
        level: how much lower than in the notebook the headings of Markdown are.
        resources: what the template shows.
    """
    import nbformat

    exporter, writer = _exporter(template)
    writer.places, writer.level = places, level
    return exporter.from_notebook_node(nbformat.v4.new_notebook(), {"style": _styles(), **resources})[0]


@functools.cache
def _exporter(template: str) -> "tuple[TemplateExporter, _Markdown]":
    """The exporter of a template, compiled once, and what its filters ask for the places of the page at hand."""
    from markupsafe import Markup
    from nbconvert.exporters.templateexporter import TemplateExporter
    from nbconvert.filters.highlight import Highlight2HTML

    writer, highlight = _Markdown(), Highlight2HTML()
    filters: dict[str, Callable[..., Any]] = {
        "markdown_html": lambda text, prefix="", trusted=True: Markup(writer.convert(text, prefix, trusted)),
        "inline_html": lambda text: Markup(writer.inline(text)),
        "code_html": lambda text: Markup(highlight(text)),
        "raw": lambda value: Markup(text_of(value)),
        "small": pictures.small,
        "whole": pictures.whole,
        "pixels": lambda inches: round(inches * _PIXELS),
        "grid": lambda part, most=None: tables.tidy(tables.parse(text_of(part.data.get("text/html", ""))), most),
        "href": lambda target: writer.places.href(target),
        "link_text": lambda text, target: writer.places.text(text, target),
        "slug": slug,
        "sentence_end": sentence_end,
        "minutes": minutes,
    }
    exporter = TemplateExporter(
        template_name="report", template_file=template, extra_template_basedirs=[str(TEMPLATES)]
    )
    exporter.environment.autoescape = True
    for name, function in filters.items():
        exporter.register_filter(name, function)
    return exporter, writer


def sentence_end(text: str) -> str:
    """Text that ends like a sentence."""
    return text if not text.strip() or text.rstrip().endswith((".", "!", "?")) else f"{text.rstrip()}."


def slug(text: str) -> str:
    """A heading's name in an address."""
    return re.sub(r"[^\w]+", "-", re.sub(r"[`*_]|\$[^$]*\$", "", text).lower()).strip("-") or "section"


def minutes(seconds: float | None) -> str:
    """Seconds as a reader says them: `0:42`, `1:03:20`; empty where they are not known."""
    if seconds is None:
        return ""
    whole = round(seconds)
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}" if hours else f"{rest // 60}:{rest % 60:02d}"


def mathml(formula: str, block: bool = False) -> str:
    """A LaTeX formula as MathML; one that can't be read is shown as code."""
    from latex2mathml.converter import convert

    try:
        converted = convert(formula, display="block" if block else "inline")
        return re.sub(r"(<mi>[a-z]{2,}</mi>)(?=<m[nis])", r'\1<mspace width="0.17em"/>', converted)
    except Exception:  # latex2mathml raises many kinds; the source is better than no formula
        return f"<code>{escape.html(formula)}</code>"


@functools.cache
def _styles() -> Any:
    """The style of all pages, code colours included."""
    from markupsafe import Markup
    from pygments.formatters import HtmlFormatter

    light = HtmlFormatter(style="xcode").get_style_defs(".highlight")  # its comments are dark enough to read
    dark = HtmlFormatter(style="github-dark").get_style_defs(".highlight")
    own = (TEMPLATES / "report" / "style.css").read_text(encoding="utf-8")
    return Markup(f"{light}\n@media (prefers-color-scheme: dark) {{\n{dark}\n}}\n{own}")


class _Markdown:
    """Markdown → HTML with the links of one page."""

    def __init__(self) -> None:
        self.places, self.level = Places(), 1

    def convert(self, text: str, prefix: str = "", trusted: bool = True) -> str:
        """Markdown as HTML; `prefix` makes headings' names unique, raw HTML is kept only where `trusted`."""
        from nbconvert.filters.markdown_mistune import MarkdownWithMath

        renderer = _renderer(self.places, self.level, prefix, trusted)
        return MarkdownWithMath(renderer=renderer).render(readable_markdown(text))

    def inline(self, text: str) -> str:
        """A line of Markdown without its paragraph."""
        return re.sub(r"^<p>(.*)</p>\s*$", r"\1", self.convert(text, trusted=False).strip(), flags=re.DOTALL)


def _renderer(places: Places, lower: int, prefix: str, trusted: bool) -> Any:
    """The renderer of nbconvert, with MathML, lower headings, and no picture that would be fetched."""
    from nbconvert.filters.markdown_mistune import IPythonRenderer

    class Renderer(IPythonRenderer):
        def heading(self, text: str, level: int, **attrs: Any) -> str:
            name = escape.html(f"{prefix}-{slug(re.sub('<[^>]+>', '', text))}")
            tag = f"h{min(level + lower, 6)}"
            return f'<{tag} id="{name}">{text}</{tag}>\n'

        def block_code(self, code: str, info: str | None = None) -> str:
            return super().block_code(code, info).replace("<pre>", '<pre tabindex="0">', 1)  # it scrolls on a phone

        def block_math(self, body: str) -> str:
            return f'<div class="formula" tabindex="0">{mathml(body, block=True)}</div>'

        def inline_math(self, body: str) -> str:
            return mathml(body)

        def latex_environment(self, name: str, body: str) -> str:
            return self.block_math(f"\\begin{{{name}}}{body}\\end{{{name}}}")

        def image(self, text: str, url: str, title: str | None = None) -> str:
            return super().image(text, url, title) if url.startswith("data:image/") else f"<em>{text}</em>"

        def link(self, text: str, url: str, title: str | None = None) -> str:
            href = places.href(url)
            text = places.text(text, url)
            return super().link(text, href, title) if href else text

    return Renderer(escape=not trusted)
