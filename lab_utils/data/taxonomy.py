"""Which mediums of MAMe belong together: the super-groups that order tables and colour figures."""

from collections.abc import Sequence

SUPER_GROUPS: dict[str, tuple[str, ...]] = {
    "metals": ("Bronze", "Gold", "Iron", "Silver", "Steel"),
    "ceramics and glass": ("Ceramic", "Clay", "Faience", "Glass", "Porcelain"),
    "stone, wood and ivory": ("Ivory", "Limestone", "Marble", "Polychromed wood", "Wood"),
    "prints": (
        *("Engraving", "Etching", "Hand-colored engraving", "Hand-colored etching"),
        *("Lithograph", "Wood engraving", "Woodblock", "Woodcut"),
    ),
    "drawings and photographs": ("Albumen photograph", "Graphite", "Pen and brown ink"),
    "textiles and paintings": ("Oil on canvas", "Silk and metal thread", "Woven fabric"),
}


def super_group(name: str) -> str:
    """Super-group of a medium, or "other" where it is none of MAMe's."""
    return next((group for group, members in SUPER_GROUPS.items() if name in members), "other")


def by_super_group(classes: Sequence[str]) -> list[int]:
    """Positions of `classes` ordered by super-group, then as given."""
    order = [*SUPER_GROUPS, "other"]
    return sorted(range(len(classes)), key=lambda position: (order.index(super_group(classes[position])), position))
