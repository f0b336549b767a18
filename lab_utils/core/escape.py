"""Text that is not ours (names of classes, files, museums, runs) in a medium that has signs of its own.

One function for each medium. Whatever a user can name goes through one of them before it stands in a document.
"""

import html as _html
import json
import re
import unicodedata

_PUNCTUATION = re.compile(r"([!-/:-@\[-`{-~])")  # ASCII signs: Markdown lets each be escaped


def html(text: object) -> str:
    """Text for an HTML element or a quoted attribute."""
    return _html.escape(str(text), quote=True)


def markdown(text: object) -> str:
    """Text for a line of Markdown: no sign of it makes a heading, a link, a formula or a tag; line ends become blanks.

    Letters, digits and blanks stay as they are, so that ordinary names stay readable in the source.
    """
    return _PUNCTUATION.sub(r"\\\1", " ".join(str(text).split()))


def typst(text: object) -> str:
    """Text as a Typst string with its quotes; in Typst's markup it stands behind a `#`."""
    kept = "".join(sign for sign in str(text) if sign in "\n\t" or unicodedata.category(sign) not in ("Cc", "Cs"))
    return json.dumps(kept, ensure_ascii=False)


def formula(text: object) -> str:
    """Text for a figure: no dollar sign of it begins a formula of matplotlib's."""
    return str(text).replace("$", r"\$")
