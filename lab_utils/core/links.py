"""A table cell that leads to a chapter, a figure or a web address."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Link:
    """A table cell that leads somewhere: `target` is a notebook's name (`05_classification`) or a web address."""

    text: str
    target: str

    def __str__(self) -> str:
        return self.text

    @property
    def href(self) -> str:
        """The address; a notebook's name becomes its file, which the report turns into an anchor."""
        return self.target if "://" in self.target or self.target.startswith("#") else f"{self.target}.ipynb"
