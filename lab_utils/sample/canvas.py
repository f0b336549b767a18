"""What all renderers of the sample share: smooth noise, coordinates, blending, lines, backdrops and border give-aways.

Images are float32 arrays (h, w, 3) with colours in [0, 1]; lengths are in pixels unless said otherwise.
"""

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

Array = np.ndarray
STRICT, FREE = (2.0, 3.5), (3.5, 2.0)  # Beta distributions of the two sides of a confusable pair: they overlap


def smooth_noise(rng: np.random.Generator, shape: tuple[int, int], cells: float, cells_y: float | None = None) -> Array:
    """Band-limited noise (h, w), about unit variance: a random grid of `cells` a long side, enlarged bicubically."""
    long = max(shape)
    rows = max(2, round((cells_y or cells) * shape[0] / long) + 1)
    columns = max(2, round(cells * shape[1] / long) + 1)
    grid = Image.fromarray(rng.standard_normal((rows, columns), dtype=np.float32))
    return np.asarray(grid.resize((shape[1], shape[0]), Image.Resampling.BICUBIC)) * 1.4


def fractal(rng: np.random.Generator, shape: tuple[int, int], cells: float, octaves: int = 4) -> Array:
    """Sum of noises of doubling frequency and halving strength, about unit variance, shape (h, w)."""
    total = sum(smooth_noise(rng, shape, cells * 2**k) * 0.5**k for k in range(octaves))
    return total / 1.15


def grid(shape: tuple[int, int]) -> tuple[Array, Array]:
    """Row and column of each pixel, shapes (h, 1) and (1, w), as float32."""
    return np.arange(shape[0], dtype=np.float32)[:, None], np.arange(shape[1], dtype=np.float32)[None]


def blend(base: Array, colour: Array | tuple, alpha: Array | float) -> Array:
    """Lay `colour` ((3,) or (h, w, 3)) over `base` (h, w, 3) with opacity `alpha` ((h, w) or a number in [0, 1])."""
    alpha = alpha[..., None] if isinstance(alpha, np.ndarray) else alpha
    return base + (np.asarray(colour, np.float32) - base) * alpha


def plain(shape: tuple[int, int], colour: tuple | Array) -> Array:
    """A sheet of one colour, shape (h, w, 3)."""
    return np.ones((*shape, 3), np.float32) * np.asarray(colour, np.float32)


def blur(image: Array, sigma: float) -> Array:
    """Gaussian blur of (h, w) by three box filters, which is quick at any width."""
    size = max(1, round(sigma * 1.9)) | 1
    for _ in range(2):
        image = ndimage.uniform_filter(image, size, mode="nearest")
    return image


def mask_of(shape: tuple[int, int], draw) -> Array:
    """A mask (h, w) in [0, 1] with smooth edges: `draw(pen, s)` draws in white, the sheet being (w·s, h·s)."""
    sheet = Image.new("L", (shape[1] * 2, shape[0] * 2))
    draw(ImageDraw.Draw(sheet), 2)
    return np.asarray(sheet.reduce(2), np.float32) / 255


def paper(rng: np.random.Generator, shape: tuple[int, int], colour: tuple, stains: float = 0.02) -> Array:
    """A sheet of paper with fibre grain and uneven ageing."""
    tone = stains * smooth_noise(rng, shape, 4) + 0.012 * rng.standard_normal(shape, dtype=np.float32)
    return plain(shape, colour) + tone[..., None] * np.float32([0.8, 1.0, 1.3])


def hatch(
    rng: np.random.Generator,
    tone: Array,
    angle: Array | float,
    spacing: float,
    wobble: float = 0.2,
    gain: float = 1.0,
) -> Array:
    """Parallel lines that swell with darkness: ink (h, w) in [0, 1].

    Args:
        rng: of the wobble.
        tone: lightness (h, w) in [0, 1].
        angle: of the lines' normal in radians, a number or (h, w).
        spacing: between lines.
        wobble: displacement of the lines, in spacings.
        gain: ink per darkness; 1 makes the mean ink about 1 − tone.
    """
    y, x = grid(tone.shape)
    phase = (x * np.cos(angle) + y * np.sin(angle)) / spacing + wobble * 2 * smooth_noise(rng, tone.shape, 6)
    width = np.clip((1 - tone) * gain, 0, 0.96)
    edge = np.cos(np.pi * width)
    ink = np.clip((np.cos(2 * np.pi * phase) - edge) * (spacing / 4) + 0.5, 0, 1)
    return ink * np.clip(width * 14, 0, 1)


def outline(regions: Array, thickness: float) -> Array:
    """Ink (h, w) in [0, 1] along the borders of integer regions (h, w)."""
    edges = np.zeros(regions.shape, np.float32)
    edges[:, 1:] = regions[:, 1:] != regions[:, :-1]
    edges[1:] = np.maximum(edges[1:], regions[1:] != regions[:-1])
    if thickness > 1:
        edges = ndimage.grey_dilation(edges, size=(round(thickness), round(thickness)))
    return np.clip(blur(edges, 0.6) * 1.4, 0, 1)


BACKDROPS = {"Metropolitan": (0.62, 0.61, 0.60), "Los Angeles": (0.74, 0.73, 0.73), "The Cleveland": (0.48, 0.50, 0.54)}


def backdrop(rng: np.random.Generator, style: np.random.Generator, shape: tuple[int, int], museum: str) -> Array:
    """A studio background: a grey sweep with a pool of light; its tone differs a little by museum."""
    colour = next((tone for name, tone in BACKDROPS.items() if museum.startswith(name)), (0.6, 0.6, 0.6))
    y, x = grid(shape)
    y, x = y / shape[0], x / shape[1]
    level = np.float32(colour) * rng.normal(1, 0.2) + rng.normal(0, 0.015, 3)
    if style.random() < 0.14:
        level = np.float32([0.94, 0.94, 0.94])
    elif style.random() < 0.12:
        level = np.float32([0.07, 0.07, 0.08])
    sweep = (y - 0.5) * rng.uniform(-0.5, 0.5) * level.mean()
    light = 0.22 * np.exp(-(((x - 0.5) / 0.5) ** 2) - ((y - rng.uniform(0.3, 0.9)) / 0.4) ** 2)
    shade = (sweep + (light - 0.08) * np.clip(level.mean() * 2, 0, 1)).astype(np.float32)
    return plain(shape, level) + shade[..., None]


def photographed(image: Array, rng: np.random.Generator, grey: bool) -> Array:
    """Expose a picture (h, w, 3) a little differently each time; `grey` takes its colour."""
    image = np.clip(image, 0, 1) ** rng.uniform(0.75, 1.35) * rng.uniform(0.88, 1.08)
    if grey:
        return np.repeat(image.mean(-1, keepdims=True), 3, axis=-1)
    return image * rng.normal(1, 0.012, 3).astype(np.float32)


def text_lines(pen: ImageDraw.ImageDraw, box: tuple, lines: int, rng: np.random.Generator, fill=255) -> None:
    """Rows of short strokes that look like small print, inside `box` (left, top, right, bottom)."""
    left, top, right, bottom = box
    if bottom - top < 2 * lines:
        return
    for row in range(lines):
        y = top + (row + 0.5) * (bottom - top) / lines
        height, x = (bottom - top) / lines * 0.28, left + rng.uniform(0, 0.1) * (right - left)
        while x < right - height:
            step = height * rng.uniform(0.5, 2.6)
            pen.line(
                (x, y + rng.uniform(-1, 1) * height, min(x + step, right), y + height * rng.uniform(-1, 1)), fill, 2
            )
            x += step + height * rng.uniform(0.3, 1.0)


def give_away(image: Array, kind: str, rng: np.random.Generator) -> Array:
    """Add what betrays an accession lot: `ruler` (and colour chart), `number`, `stand`, `caption`, `mount`."""
    if not kind:
        return image
    sheet = Image.fromarray((np.clip(image, 0, 1) * 255).astype(np.uint8))
    pen, (w, h) = ImageDraw.Draw(sheet), sheet.size
    {"ruler": _ruler, "number": _number, "stand": _stand, "caption": _caption, "mount": _mount}[kind](pen, w, h, rng)
    return np.asarray(sheet, np.float32) / 255


def _ruler(pen: ImageDraw.ImageDraw, w: int, h: int, rng: np.random.Generator) -> None:
    band, step = 0.075 * h, w / 24
    pen.rectangle((0, h - band, w, h), (245, 245, 240))
    for tick in range(24):
        pen.rectangle((tick * step, h - band, (tick + 1) * step, h - band * 0.55), (15, 15, 15) if tick % 2 else None)
    colours = [(200, 40, 40), (230, 200, 40), (50, 140, 60), (40, 80, 170), (120, 50, 130), (20, 20, 20), (128,) * 3]
    for place, colour in enumerate(colours):
        pen.rectangle((w - band, place * band, w, (place + 1) * band), colour)
    pen.text((step, h - band * 0.55), str(rng.integers(100, 999)), (20, 20, 20), ImageFont.load_default(band * 0.5))


def _number(pen: ImageDraw.ImageDraw, w: int, h: int, rng: np.random.Generator) -> None:
    size = max(8.0, 0.05 * max(w, h))
    pen.rectangle((w - 3.6 * size, h - 1.6 * size, w - 0.3 * size, h - 0.3 * size), (235, 232, 220))
    text = str(rng.integers(1000, 9999))
    pen.text((w - 3.3 * size, h - 1.55 * size), text, (30, 30, 30), ImageFont.load_default(size))


def _stand(pen: ImageDraw.ImageDraw, w: int, h: int, rng: np.random.Generator) -> None:
    pen.rectangle((0, h * 0.94, w, h), (18, 18, 20))
    pen.rectangle((w * 0.4, h * 0.9, w * 0.6, h * 0.95), (60, 60, 62))


def _caption(pen: ImageDraw.ImageDraw, w: int, h: int, rng: np.random.Generator) -> None:
    tone = tuple(int(v) for v in rng.integers((205, 185, 145), (230, 210, 175)))
    pen.rectangle((0, h * 0.9, w, h), tone)
    pen.rectangle((0, 0, w - 1, h - 1), None, tone, max(2, w // 40))
    text_lines(pen, (w * 0.14, h * 0.92, w * 0.86, h * 0.985), 1, rng, (90, 60, 40))


def _mount(pen: ImageDraw.ImageDraw, w: int, h: int, rng: np.random.Generator) -> None:
    edge = max(3, round(0.035 * max(w, h)))
    pen.rectangle((0, 0, w - 1, h - 1), None, (196, 190, 170), edge)
    pen.rectangle((edge, edge, w - 1 - edge, h - 1 - edge), None, (70, 60, 50), 1)
    text_lines(pen, (w * 0.3, h - edge * 2.6, w * 0.7, h - edge * 1.2), 1, rng, (60, 50, 45))
