"""`render`: one picture of the sample, by medium."""

import numpy as np

from lab_utils.core.errors import LabError
from lab_utils.sample import flat, objects
from lab_utils.sample.canvas import Array, give_away, photographed

TECHNIQUES = {
    "Albumen photograph": flat.albumen_photograph,
    "Engraving": flat.engraving,
    "Etching": flat.etching,
    "Graphite": flat.graphite,
    "Hand-colored engraving": flat.hand_colored_engraving,
    "Hand-colored etching": flat.hand_colored_etching,
    "Lithograph": flat.lithograph,
    "Oil on canvas": flat.oil_on_canvas,
    "Pen and brown ink": flat.pen_and_brown_ink,
    "Silk and metal thread": flat.silk_and_metal_thread,
    "Wood engraving": flat.wood_engraving,
    "Woodblock": flat.woodblock,
    "Woodcut": flat.woodcut,
    "Woven fabric": flat.woven_fabric,
}
GREY_PHOTOGRAPHS = 0.25  # share of the objects that were photographed in black and white
PAINTED_PANELS = 0.7  # share of Polychromed wood that is a painted panel, the rest are figures


def render(
    medium: str,
    rng: np.random.Generator,
    long_side: int,
    aspect: float,
    museum: str,
    giveaway: str = "",
    style: np.random.Generator | None = None,
) -> Array:
    """Draw one picture.

    Args:
        medium: name of the class.
        rng: of what differs from picture to picture.
        long_side: of the picture in pixels.
        aspect: width by height; drawn no narrower than 1 to 4.
        museum: decides the backdrop of objects.
        giveaway: border mark of an accession lot: `ruler`, `number`, `stand`, `caption`, `mount` or nothing.
        style: of what parts of one object, or pictures of a give-away lot, have in common; None: `rng`.

    Returns:
        Pixels, uint8 (h, w, 3).

    Raises:
        LabError: the sample has no such medium.
    """
    if medium not in TECHNIQUES and medium not in objects.SHAPES:
        raise LabError(f"The sample cannot draw {medium!r}: it knows MAMe's 29 mediums.")
    style = style or rng
    aspect = float(np.clip(aspect, 0.25, 4))
    shape = (
        (long_side, max(8, round(long_side * aspect))) if aspect < 1 else (max(8, round(long_side / aspect)), long_side)
    )
    grey = False
    if medium in TECHNIQUES:
        image = TECHNIQUES[medium](rng, style, shape)
    elif medium == "Polychromed wood" and style.random() < PAINTED_PANELS:
        image = flat.painted_panel(rng, style, shape)
    else:
        image = objects.solid(medium, rng, style, shape, museum)
        grey = style.random() < GREY_PHOTOGRAPHS
    return np.round(np.clip(give_away(photographed(image, rng, grey), giveaway, rng), 0, 1) * 255).astype(np.uint8)
