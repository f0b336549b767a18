"""Names of files and folders as file systems allow them: whether they can be stored in a text, and how they are shown.

Standard library only (`core.environment`).
"""

import unicodedata
from pathlib import Path


def problem(path: Path | str) -> str:
    """Why a name can't be stored in a table or settings file, to be put behind it; "" where it can."""
    text = str(path)
    if any("\ud800" <= sign <= "\udfff" for sign in text):
        return "has a name that is no UTF-8 text (rename it)"
    if any(unicodedata.category(sign) == "Cc" for sign in text):
        return "has a line break or another control character in its name (rename it)"
    return ""


def shown(path: Path | str) -> str:
    r"""A name as it can be printed anywhere: what is no UTF-8 text and control characters stand as `\xff`."""
    text = str(path).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(repr(sign)[1:-1] if unicodedata.category(sign) == "Cc" else sign for sign in text)
