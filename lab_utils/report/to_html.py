"""Chapters of parts → one self-contained HTML file, by nbconvert through the template in `templates/report`.

Nothing is asked from a network: formulas become MathML, pictures data, and plotly.js is inlined once where needed.
"""

import base64
import re
from pathlib import Path
from typing import Any

from lab_utils.report.parts import Chapter, Part, link_to_anchor, parse_table, references, static_picture, text_of

TEMPLATES = Path(__file__).parent / "templates"
_PIXELS = 112  # CSS pixels an inch: figures drawn for paper fill the column of the screen


def render(title: str, subtitle: str, front: list[Part], chapters: list[Chapter]) -> str:
    """The whole report as HTML.

    Args:
        title: of the report.
        subtitle: what the data are.
        front: parts of the first page.
        chapters: in reading order.
    """
    import nbformat
    from nbconvert.exporters.templateexporter import TemplateExporter

    writer = _Writer(references([*chapters, Chapter("", "", parts=front)]))
    exporter = TemplateExporter(
        template_name="report", template_file="index.html.j2", extra_template_basedirs=[str(TEMPLATES)]
    )
    filters = {
        "markdown_html": writer.markdown,
        "inline_html": writer.inline,
        "code_html": writer.code,
        "picture": picture,
        "grid": lambda part: parse_table(text_of(part.data.get("text/html", ""))),
        "rewrite": writer.href,
        "cell_text": writer.cell_text,
        "slug": slug,
        "sentence_end": lambda text: text if text.rstrip().endswith((".", "!", "?")) else f"{text.rstrip()}.",
    }
    for name, function in filters.items():
        exporter.register_filter(name, function)
    resources = {
        "report": {"title": title, "subtitle": subtitle, "front": front, "chapters": chapters},
        "libraries": libraries([part for chapter in chapters for part in chapter.parts] + front),
        "pygments": _code_colors(),
    }
    return exporter.from_notebook_node(nbformat.v4.new_notebook(), resources)[0]


def slug(text: str) -> str:
    """A heading's name in an address."""
    return re.sub(r"[^\w]+", "-", re.sub(r"[`*_]|\$[^$]*\$", "", text).lower()).strip("-") or "section"


def mathml(formula: str, block: bool = False) -> str:
    """A LaTeX formula as MathML; one that can't be read is shown as code."""
    import html

    from latex2mathml.converter import convert

    try:
        made = convert(formula, display="block" if block else "inline")
        return re.sub(r"(<mi>[a-z]{2,}</mi>)(?=<m[nis])", r'\1<mspace width="0.17em"/>', made)
    except Exception:  # latex2mathml raises many kinds; the source is better than no formula
        return f"<code>{html.escape(formula)}</code>"


def picture(part: Part) -> dict[str, Any]:
    """Source, width and height (CSS pixels) of a figure's static picture; empty where it has none."""
    drawn = static_picture(part)
    if drawn is None:
        return {}
    encoded = base64.b64encode(drawn.content).decode()
    width, height = (round(side * _PIXELS) for side in (drawn.width, drawn.height))
    return {"source": f"data:{drawn.mime};base64,{encoded}", "width": width, "height": height}


def libraries(parts: list[Part]) -> list[str]:
    """What interactive figures share, each once: outputs of kind `library`, and plotly.js where it is used."""
    shared = list(dict.fromkeys(text_of(part.data.get("text/html", "")) for part in parts if part.kind == "library"))
    used = any("Plotly" in text_of(part.data.get("text/html", "")) for part in parts if part.kind == "figure")
    if used and not any("plotly.js v" in text for text in shared):
        from plotly.offline import get_plotlyjs

        shared.insert(0, f"<script>{get_plotlyjs()}</script>")
    return shared


def _code_colors() -> str:
    from pygments.formatters import HtmlFormatter

    return HtmlFormatter(style="friendly").get_style_defs(".highlight")


class _Writer:
    """Markdown, code and links → HTML, knowing which labels the report has."""

    def __init__(self, labels: dict[str, Part]):
        from nbconvert.filters.highlight import Highlight2HTML

        self.labels = labels
        self.code = Highlight2HTML()

    def markdown(self, text: str, prefix: str = "", trusted: bool = True) -> str:
        """Markdown as HTML; `prefix` makes headings' names unique, raw HTML is kept only where `trusted`."""
        from nbconvert.filters.markdown_mistune import MarkdownWithMath

        return MarkdownWithMath(renderer=_renderer(self, prefix, trusted)).render(text)

    def inline(self, text: str) -> str:
        """A line of Markdown without its paragraph."""
        return re.sub(r"^<p>(.*)</p>\s*$", r"\1", self.markdown(text, trusted=False).strip(), flags=re.DOTALL)

    def href(self, target: str) -> str:
        """Address of a link, with notebooks and labels turned into anchors of the report."""
        anchor = link_to_anchor(target)
        part = self.labels.get(anchor.removeprefix("#"))
        return f"#{part.anchor}" if part else anchor

    def cell_text(self, text: str, href: str) -> str:
        """Text of a link: that of a label becomes the figure's or table's name."""
        part = self.labels.get(href.removeprefix("#"))
        return part.name if part else text


def _renderer(writer: _Writer, prefix: str, trusted: bool) -> Any:
    """The renderer of nbconvert, with MathML, headings one level lower, and no picture that would be fetched."""
    import html

    from nbconvert.filters.markdown_mistune import IPythonRenderer

    class Renderer(IPythonRenderer):
        def heading(self, text: str, level: int, **attrs: Any) -> str:
            name = f"{prefix}-{slug(re.sub('<[^>]+>', '', text))}"
            return f'<h{level + 1} id="{html.escape(name)}">{text}</h{level + 1}>\n'

        def block_math(self, body: str) -> str:
            return f'<div class="formula">{mathml(body, block=True)}</div>'

        def inline_math(self, body: str) -> str:
            return mathml(body)

        def latex_environment(self, name: str, body: str) -> str:
            return self.block_math(f"\\begin{{{name}}}{body}\\end{{{name}}}")

        def image(self, text: str, url: str, title: str | None = None) -> str:
            return super().image(text, url, title) if url.startswith("data:") else f"<em>{text}</em>"

        def link(self, text: str, url: str, title: str | None = None) -> str:
            return super().link(writer.cell_text(text, url), writer.href(url), title)

    return Renderer(escape=not trusted)
