"""How evidence is written in the sentences of claims: the few formats that a placeholder may ask for.

| placeholder | gives |
|---|---|
| `{train}` | a value in its own unit (`74.2 %`, `0.92`), a count, a name, or a list (`a, b and c`) |
| `{gap:points}` | the size of a difference: `3.0 points` |
| `{gap:signed}` | the difference with its sign: `-3.0 points`, `+0.242 nats` |
| `{gap:interval}` | both ends of its 95 % interval: `-10.3 to +0.8 points` |
| `{share:percent}` | `36.0 %` |
| `{share:printed}`, `{share:exact}` | `0.79` as the original prints it, `0.778` as recomputed |
| `{runs:run/runs}` | the word that agrees with a number (a list or mapping counts its members) |
| `{gap:higher/lower}` | of a difference: the word for above, or for below, zero |
"""

import string
from collections.abc import Callable, Collection, Mapping
from typing import Any

from lab_utils.stats.intervals import Accuracy, Difference, Estimate


def bounds(value: Accuracy | Difference | Estimate) -> tuple[float, float]:
    """Lower and upper end of a value's 95 % interval."""
    return value.low, value.high


def listed(names: Collection[Any]) -> str:
    """`a, b and c`; `none` of nothing."""
    *first, last = [*map(str, names)] or ["none"]
    return f"{', '.join(first)} and {last}" if first else last


def _style(value: Any) -> tuple[float, str, int]:
    """What a value is multiplied by, its unit and its digits; a bare share is taken for a difference in points."""
    if isinstance(value, Estimate):
        return value.scale, value.unit, value.digits
    return 100, " %" if isinstance(value, Accuracy) else " points", 1


def _number(value: Any) -> float:
    return float(getattr(value, "value", value))


def _plain(value: Any) -> str:
    if isinstance(value, Difference):
        return _signed(value)
    if isinstance(value, Accuracy | Estimate):
        scale, unit, digits = _style(value)
        return f"{scale * value.value:.{digits}f}{unit}"
    if isinstance(value, Collection) and not isinstance(value, str):
        return listed(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.2f}" if isinstance(value, float) else str(value)


def _signed(value: Any) -> str:
    scale, unit, digits = _style(value)
    return f"{scale * _number(value):+.{digits}f}{unit}"


def _interval(value: Any) -> str:
    scale, unit, digits = _style(value)
    sign = "" if isinstance(value, Accuracy) else "+"
    low, high = (f"{scale * end:{sign}.{digits}f}" for end in bounds(value))
    return f"{low} to {high}{unit}"


FORMATS: dict[str, Callable[[Any], str]] = {
    "": _plain,
    "points": lambda value: f"{abs(100 * _number(value)):.1f} points",
    "signed": _signed,
    "interval": _interval,
    "percent": lambda value: f"{100 * _number(value):.1f} %",
    "printed": lambda value: f"{_number(value):.2f}",
    "exact": lambda value: f"{_number(value):.3f}",
}


class _Sentence(string.Formatter):
    def format_field(self, value: Any, format_spec: str) -> str:
        if "/" not in format_spec:
            return FORMATS[format_spec](value)
        first, second = format_spec.split("/")
        if isinstance(value, Difference | Estimate):
            return first if value.value > 0 else second
        return first if (len(value) if isinstance(value, Collection) else value) == 1 else second


def render(template: str, evidence: Mapping[str, Any]) -> str:
    """What a template says of named pieces of evidence."""
    return _Sentence().vformat(template, (), evidence)


def placeholders(template: str) -> set[str]:
    """Names that a template asks for.

    Raises:
        ValueError: a brace is open, or a format is none of the table above.
    """
    names = set()
    for _, name, form, conversion in string.Formatter().parse(template):
        if name is None:
            continue
        if conversion or not name.isidentifier() or (form not in FORMATS and form.count("/") != 1):
            raise ValueError(
                f"{{{name}:{form}}} is no placeholder; formats are {', '.join(filter(None, FORMATS))}, a/b"
            )
        names.add(name)
    return names
