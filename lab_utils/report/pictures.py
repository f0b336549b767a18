"""Static pictures of figures: chosen, limited in size, and encoded anew for the page that holds them all."""

import base64
import functools
import io
import re
from dataclasses import dataclass

from lab_utils.display.style import DPI
from lab_utils.report.parts import Part, text_of

MOST_PIXELS = 1300  # width of a picture in the report
TALLEST = 1.6  # height over width from which on the report shows a figure's upper part only
_LARGEST_SVG = 400_000  # bytes: above, a vector drawing is slower to show than its picture


@dataclass(frozen=True)
class StaticPicture:
    """A figure's picture.

    Attributes:
        mime: its kind.
        content: its bytes.
        width: in inches on paper.
        height: in inches on paper.
        cut: whether only its upper part is shown.
    """

    mime: str
    content: bytes
    width: float
    height: float
    cut: bool = False

    @property
    def address(self) -> str:
        """The picture as an address that holds it."""
        return f"data:{self.mime};base64,{base64.b64encode(self.content).decode()}"


def raster(part: Part) -> StaticPicture | None:
    """The PNG or JPEG of a figure; None where it has neither."""
    for mime in ("image/jpeg", "image/png"):
        if mime in part.data:
            from PIL import Image

            content = base64.b64decode(text_of(part.data[mime]))
            width, height = Image.open(io.BytesIO(content)).size
            return StaticPicture(mime, content, width / DPI, height / DPI)
    return None


def vector(part: Part) -> StaticPicture | None:
    """The SVG of a figure; None where it has none or a huge one."""
    text = text_of(part.data.get("image/svg+xml", ""))
    if not text or len(text) > _LARGEST_SVG:
        return None
    box = re.search(r'viewBox="[\d.]+ [\d.]+ ([\d.]+) ([\d.]+)"', text)
    width, height = (float(box[1]), float(box[2])) if box else (480.0, 300.0)
    return StaticPicture("image/svg+xml", text[max(text.find("<svg"), 0) :].encode(), width / 72, height / 72)


def whole(part: Part) -> StaticPicture | None:
    """The picture of a figure on a chapter's page."""
    return vector(part) or raster(part)


def printed(part: Part) -> StaticPicture | None:
    """The picture of a figure in print: vector before raster, the upper part of one that is longer than a page."""
    drawn = vector(part)
    if drawn is not None and drawn.height <= TALLEST * drawn.width:
        return drawn
    drawn = raster(part) or drawn
    return _upper_part(drawn) if drawn is not None and drawn.mime != "image/svg+xml" else drawn


def small(part: Part) -> StaticPicture | None:
    """The picture of a figure in the report's one page: as small as it can be and still be read."""
    drawn = raster(part)
    if drawn is None:
        return vector(part)
    drawn = _upper_part(drawn)
    encoded = _webp(drawn.content, drawn.mime == "image/png")
    return StaticPicture("image/webp", encoded, drawn.width, drawn.height, drawn.cut)


def _upper_part(drawn: StaticPicture) -> StaticPicture:
    if drawn.height <= TALLEST * drawn.width:
        return drawn
    from PIL import Image

    image = Image.open(io.BytesIO(drawn.content))
    buffer = io.BytesIO()
    height = round(TALLEST * image.width)
    image.crop((0, 0, image.width, height)).save(buffer, "PNG" if drawn.mime == "image/png" else "JPEG", quality=88)
    return StaticPicture(drawn.mime, buffer.getvalue(), drawn.width, drawn.width * height / image.width, True)


@functools.lru_cache(maxsize=256)
def _webp(content: bytes, drawing: bool) -> bytes:
    """A picture as WebP, without loss where it is a drawing."""
    from PIL import Image

    image = Image.open(io.BytesIO(content)).convert("RGB")
    if image.width > MOST_PIXELS:
        image = image.resize((MOST_PIXELS, round(image.height * MOST_PIXELS / image.width)), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", lossless=drawing, quality=60 if drawing else 76, method=2)
    return buffer.getvalue()
