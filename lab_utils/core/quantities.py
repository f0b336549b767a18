"""Named quantities: a number that several chapters show is computed once, stored under its name, and read by it.

lab.quantity("cost of 1/255", difference, split="val", network="EfficientNet-Lite0")   # in the chapter that makes it
lab.quantity("cost of 1/255")                                                         # in one that needs it
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from lab_utils.core.records import plain

Entries = Mapping[str, Iterable[Mapping[str, Any]]]  # chapter -> its records
ABOUT = ("name", "split", "network", "how")


@dataclass(frozen=True)
class Quantity:
    """A number as it was stored.

    Attributes:
        name: unique over all chapters.
        value: the number.
        low: lower end of its interval; None: it has none.
        high: upper end of its interval.
        n: number of images (or what else it is of); None: not of a sample.
        of: what it is of, in words.
        split: `train`, `val` or `test`; "": none.
        network: title of the network; "": none.
        how: how its interval is made.
        chapter: name of the chapter that made it; "": this one.
        text: as its chapter prints it.
    """

    name: str
    value: float | None
    low: float | None = None
    high: float | None = None
    n: int | None = None
    of: str = ""
    split: str = ""
    network: str = ""
    how: str = ""
    chapter: str = ""
    text: str = ""

    @property
    def tie(self) -> bool:
        """Whether its interval holds zero: a difference that is none."""
        return self.low is not None and self.high is not None and self.low <= 0 <= self.high

    def __str__(self) -> str:
        return self.text or f"{self.value:g}"

    def to_record(self) -> dict[str, Any]:
        """Plain values for a record."""
        return {"value": self.value, "low": self.low, "high": self.high, "n": self.n, "of": self.of, "text": self.text}


def accuracy_name(model: str, split: str) -> str:
    """The name of a model's accuracy in all chapters; models are named as for `Lab.read_test`."""
    return f"accuracy, {model}, {split}"


def how_made(value: Any) -> str:
    """How the interval of a value is made, in words, from its record; "" where it has none or doesn't tell."""
    record = plain(value)
    if not isinstance(record, dict) or record.get("low") is None:
        return ""
    if "effect" in record:
        drawn = f"n over the design effect of {record['lots']} lots" if record["lots"] else "images drawn one by one"
        return f"Wilson, {drawn}"
    return "lots drawn where they are known, else images"


def entry(name: str, value: Any, split: str, network: str, how: str) -> dict[str, Any]:
    """The record of a quantity; `value` is a number, or an object with value, low, high and n (`Accuracy`, …)."""
    record = plain(value)
    stored = record if isinstance(record, dict) else {"value": record}
    about = {"name": name, "split": split, "network": network, "how": how or how_made(value)}
    return {"id": f"quantity: {name}", "kind": "quantity", "value": stored, **about}


def find(name: str, entries: Entries) -> Quantity | None:
    """The quantity of a name in the records of chapters, the first one; None where there is none."""
    for chapter, records in entries.items():
        for record in records:
            if record["kind"] == "quantity" and record["name"] == name:
                return _of_record(record, chapter)
    return None


def names(entries: Entries) -> list[str]:
    """Names of all quantities in the records of chapters, sorted."""
    return sorted(
        {record["name"] for records in entries.values() for record in records if record["kind"] == "quantity"}
    )


def _of_record(record: Mapping[str, Any], chapter: str) -> Quantity:
    value, about = record["value"], {key: record.get(key, "") for key in ABOUT}
    parts = {key: value.get(key) for key in ("value", "low", "high", "n")}
    return Quantity(**parts, of=value.get("of", ""), text=value.get("text", ""), chapter=chapter, **about)
