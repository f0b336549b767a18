"""Flat works of the sample: scenes, and the techniques that print, draw, photograph, paint or weave them."""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from lab_utils.sample.canvas import (
    FREE,
    STRICT,
    Array,
    blend,
    blur,
    fractal,
    grid,
    hatch,
    mask_of,
    outline,
    paper,
    plain,
    smooth_noise,
    text_lines,
)

PAPERS = ((0.91, 0.88, 0.80), (0.93, 0.91, 0.86), (0.86, 0.84, 0.80), (0.85, 0.78, 0.66), (0.95, 0.95, 0.94))
TAN = (0.84, 0.75, 0.60)
INK, BROWN = (0.10, 0.09, 0.09), (0.33, 0.20, 0.10)
SKY, HILL, GROUND, HOUSE, TREE, CLOTH, CLOTH2, SKIN, HAIR = range(9)
LIGHTNESS = np.float32([0.88, 0.66, 0.56, 0.70, 0.30, 0.38, 0.60, 0.86, 0.16])


@dataclass
class Scene:
    """What is depicted: `regions` (h, w) of SKY … HAIR and `tone` (h, w), the lightness in [0, 1]."""

    regions: Array
    tone: Array


def scene(rng: np.random.Generator, shape: tuple[int, int], figures: float = 0.6, empty: float = 0.3) -> Scene:
    """Compose a scene: landscape with trees and houses, and with chance `figures` people in it.

    Args:
        rng: of the composition.
        shape: (h, w).
        figures: chance of people.
        empty: chance that the background is left white.
    """
    h, w = shape
    sheet = Image.new("L", (w, h), SKY)
    pen = ImageDraw.Draw(sheet)
    bare, people = rng.random() < empty, rng.random() < figures
    if not bare or not people:
        _landscape(pen, w, h, rng)
    if people and rng.random() < 0.35:
        _portrait(pen, w, h, rng)
    elif people:
        count = int(rng.choice([1, 1, 2, 2, 3, 5])) if not bare else 1 + (w > h)
        size = min(h * rng.uniform(0.65, 0.95), w / count * 1.9)
        for place in range(count):
            x = w * (place + 0.5) / count + rng.normal(0, 0.04) * w
            _person(pen, x, h * rng.uniform(0.9, 0.99), size * rng.uniform(0.8, 1.05), rng)
    regions = np.asarray(sheet)
    return Scene(regions, _tone(rng, regions))


def _landscape(pen: ImageDraw.ImageDraw, w: int, h: int, rng: np.random.Generator) -> None:
    horizon = h * rng.uniform(0.35, 0.7)
    for region, level, rough in ((HILL, horizon - 0.1 * h, 0.08), (GROUND, horizon, 0.03)):
        xs = np.linspace(0, w, 9)
        ys = level + rng.normal(0, rough, 9) * h
        pen.polygon([(0, h), *zip(xs, ys, strict=True), (w, h)], region)
    for _ in range(rng.integers(0, 3)):
        x, size = rng.uniform(0, 0.8) * w, rng.uniform(0.12, 0.3) * w
        top = horizon - size * rng.uniform(0.3, 1)
        pen.rectangle((x, top, x + size, horizon + 0.08 * h), HOUSE)
        pen.polygon([(x, top), (x + size / 2, top - size * 0.4), (x + size, top)], HAIR)
        for window in range(3):
            left = x + size * (0.15 + 0.28 * window)
            pen.rectangle((left, top + size * 0.2, left + size * 0.12, top + size * 0.4), TREE)
    for _ in range(rng.integers(0, 5)):
        x, size = rng.uniform(0, 1) * w, rng.uniform(0.08, 0.25) * h
        base = horizon + rng.uniform(0, 0.2) * h
        pen.line((x, base, x, base - size), HAIR, max(2, w // 60))
        for _ in range(7):
            dx, dy, r = rng.normal(0, 0.25) * size, rng.normal(0, 0.25) * size, size * rng.uniform(0.2, 0.4)
            pen.ellipse((x + dx - r, base - size + dy - r, x + dx + r, base - size + dy + r), TREE)


def _person(pen: ImageDraw.ImageDraw, x: float, base: float, size: float, rng: np.random.Generator) -> None:
    head, lean = size * rng.uniform(0.07, 0.1), rng.normal(0, 0.04) * size
    neck = base - size + 2 * head
    wide = size * rng.uniform(0.14, 0.32)
    first, second = (CLOTH, CLOTH2) if rng.random() < 0.5 else (CLOTH2, CLOTH)
    waist = neck + size * rng.uniform(0.3, 0.4)
    pen.polygon(
        [(x + lean - wide * 0.5, waist), (x + lean + wide * 0.5, waist), (x + wide, base), (x - wide, base)], first
    )
    for side in (-1, 1):
        elbow = (x + lean + side * wide * rng.uniform(0.8, 1.5), neck + size * rng.uniform(0.1, 0.3))
        hand = (elbow[0] + side * wide * rng.uniform(-0.9, 0.6), elbow[1] + size * rng.uniform(-0.2, 0.12))
        pen.line([(x + lean + side * wide * 0.4, neck + head * 0.6), elbow, hand], second, max(3, round(head * 0.8)))
        pen.ellipse((hand[0] - head * 0.4, hand[1] - head * 0.4, hand[0] + head * 0.4, hand[1] + head * 0.4), SKIN)
    pen.polygon([(x + lean - wide * 0.6, neck), (x + lean + wide * 0.6, neck), (x + lean, waist + head)], second)
    pen.ellipse((x + lean - head * 1.15, neck - 2.4 * head, x + lean + head * 1.15, neck - 0.2 * head), HAIR)
    pen.ellipse((x + lean - head * 0.8, neck - 1.9 * head, x + lean + head * 0.8, neck + 0.2 * head), SKIN)
    _face(pen, x + lean + rng.normal(0, 0.15) * head, neck - 0.9 * head, head)


def _portrait(pen: ImageDraw.ImageDraw, w: int, h: int, rng: np.random.Generator) -> None:
    x, r = w * rng.uniform(0.42, 0.58), min(w, h) * rng.uniform(0.13, 0.2)
    y, look = h * rng.uniform(0.32, 0.42), rng.normal(0, 0.25) * r
    hair = r * rng.uniform(1.1, 1.5)
    pen.ellipse((x - hair, y - hair * 1.25, x + hair, y + hair * rng.uniform(0.7, 1.6)), HAIR)
    pen.polygon(
        [
            (x - 0.8 * r, y + r),
            (x + 0.8 * r, y + r),
            (x + 2.4 * r, y + 2.4 * r),
            (x + 2.8 * r, h),
            (x - 2.8 * r, h),
            (x - 2.4 * r, y + 2.4 * r),
        ],
        CLOTH,
    )
    pen.polygon([(x - 0.8 * r, y + 1.2 * r), (x + 0.8 * r, y + 1.2 * r), (x, y + 3.2 * r)], CLOTH2)
    pen.rectangle((x - 0.4 * r, y + 0.6 * r, x + 0.4 * r, y + 1.6 * r), SKIN)
    pen.ellipse((x - 0.85 * r, y - 1.05 * r, x + 0.85 * r, y + 1.2 * r), SKIN)
    _face(pen, x + look, y, r)


def _face(pen: ImageDraw.ImageDraw, x: float, y: float, r: float) -> None:
    for side in (-0.35, 0.35):
        pen.ellipse((x + (side - 0.14) * r, y - 0.12 * r, x + (side + 0.14) * r, y + 0.04 * r), HAIR)
        pen.line(
            (x + (side - 0.2) * r, y - 0.32 * r, x + (side + 0.2) * r, y - 0.34 * r), HAIR, max(1, round(0.07 * r))
        )
    pen.line(
        [(x, y - 0.05 * r), (x + 0.12 * r, y + 0.4 * r), (x - 0.06 * r, y + 0.42 * r)], CLOTH, max(1, round(0.06 * r))
    )
    pen.line((x - 0.25 * r, y + 0.7 * r, x + 0.25 * r, y + 0.7 * r), CLOTH, max(1, round(0.1 * r)))


def _tone(rng: np.random.Generator, regions: Array) -> Array:
    flat = LIGHTNESS[regions]
    size = max(regions.shape)
    soft = blur(flat, size * 0.03)
    light = -sum(np.gradient(soft)) * (size / 40)
    folds = 0.16 * smooth_noise(rng, regions.shape, 26, 3) * np.isin(regions, (CLOTH, CLOTH2, TREE))
    return np.clip(flat + 1.8 * light + folds + 0.05 * fractal(rng, regions.shape, 7, 3), 0, 1)


def _framed(rng: np.random.Generator, shape: tuple[int, int], ink: Array, margin: float, words: bool) -> Array:
    """Keep ink inside a plate with a margin, and set a line of text below the picture."""
    h, w = shape
    edge = round(margin * min(h, w))
    foot = edge + round(0.07 * h) * words
    kept = np.zeros_like(ink)
    kept[edge : h - foot, edge : w - edge] = ink[edge : h - foot, edge : w - edge]
    if words:
        box = (w * 0.2, h - foot + 2, w * 0.8, h - edge * 0.4)
        kept = np.maximum(kept, 0.8 * mask_of(shape, lambda pen, s: text_lines(pen, [v * s for v in box], 1, rng)))
    return kept


def _line_spacing(shape: tuple[int, int], lines: float) -> float:
    return max(2.6, max(shape) / lines)


def sheet_of(rng: np.random.Generator, style: np.random.Generator, shape: tuple[int, int]) -> Array:
    """The paper of a print or drawing: one of several sheets, more or less aged."""
    colour = np.float32(PAPERS[style.integers(len(PAPERS))]) + style.normal(0, 0.02)
    return paper(rng, shape, colour, style.uniform(0.01, 0.05))


def incised(rng: np.random.Generator, what: Scene, spacing: float, freedom: float) -> Array:
    """Ink (h, w) of a metal plate, from a burin's parallel swelling lines to an etching needle's free, broken ones.

    Args:
        rng: of the lines.
        what: the scene.
        spacing: between lines.
        freedom: 0 for the strictest engraver, 1 for the loosest etcher.
    """
    shape = what.tone.shape
    turn = rng.uniform(0, np.pi, 9)[what.regions] + (0.05 + 0.12 * freedom) * smooth_noise(rng, shape, 2 + freedom)
    wobble = 0.08 + 0.6 * freedom
    broken = np.clip(1 - 0.3 * freedom + 0.7 * freedom * smooth_noise(rng, shape, 40), 0, 1)
    ink = hatch(rng, what.tone * 0.88 + 0.08, turn, spacing, wobble, 0.82) * broken
    cross = hatch(rng, what.tone * 1.45 + 0.2, turn + 1.1 - 0.3 * freedom, spacing, wobble, 0.85) * broken
    shifted = np.roll(what.regions, rng.integers(-2, 3, 2), (0, 1))
    sketch = np.maximum(outline(what.regions, 1) * 0.9, freedom * 0.7 * outline(shifted, 1)) * broken
    return np.maximum.reduce([ink, cross, sketch])


def intaglio(rng, style, shape, freedom):
    """A print from a metal plate, black on paper; the looser ones carry a little plate tone."""
    spacing = _line_spacing(shape, style.uniform(68, 98))
    ink = incised(rng, scene(rng, shape, 0.65), spacing, freedom)
    ink = _framed(rng, shape, ink, style.uniform(0, 0.08), style.random() < 0.45 - 0.2 * freedom)
    sheet = sheet_of(rng, style, shape) - np.float32(0.05 * freedom * style.random())
    return blend(sheet, (0.12, 0.10, 0.10), ink * style.uniform(0.72, 0.95))


def engraving(rng, style, shape):
    """Engraving: mostly strict lines; overlaps with `etching`."""
    return intaglio(rng, style, shape, style.beta(*STRICT))


def etching(rng, style, shape):
    """Etching: mostly free lines; overlaps with `engraving`."""
    return intaglio(rng, style, shape, style.beta(*FREE))


def woodcut(rng, style, shape):
    """Woodcut: few, thick, hard lines and heavy outlines."""
    what = scene(rng, shape, 0.8, 0.1)
    spacing = _line_spacing(shape, style.uniform(26, 36))
    ink = hatch(
        rng, what.tone * 0.9 + 0.2, style.choice([0.0, np.pi / 2, 0.8]) + 0.2 * what.regions, spacing, 0.25, 0.7
    )
    ink = np.maximum(ink, outline(what.regions, max(2, max(shape) / 90)))
    ink = (blur(ink, 0.7) > 0.45).astype(np.float32)
    return blend(sheet_of(rng, style, shape), INK, _framed(rng, shape, ink, style.uniform(0, 0.1), False) * 0.93)


def wood_engraving(rng, style, shape):
    """Wood engraving: white lines cut from black, a vignette on white paper."""
    what = scene(rng, shape, 0.7, 0.0)
    spacing = _line_spacing(shape, style.uniform(75, 100))
    white = hatch(rng, 1 - what.tone, 0.15 * what.regions, spacing, 0.2, 0.85)
    ink = np.clip(1 - white - 0.9 * outline(what.regions, 1), 0, 1)
    h, w = shape
    edge = style.uniform(0.06, 0.2)
    box = [w * edge, h * edge, w * (1 - edge), h * (1 - edge)]
    round_one = style.random() < 0.4
    frame = mask_of(shape, lambda p, s: (p.ellipse if round_one else p.rectangle)([v * s for v in box], 255))
    return blend(sheet_of(rng, style, shape), (0.07, 0.07, 0.07), ink * frame)


JAPAN = np.float32(
    [
        [0.80, 0.74, 0.60],
        [0.45, 0.52, 0.52],
        [0.70, 0.62, 0.44],
        [0.62, 0.36, 0.26],
        [0.36, 0.44, 0.34],
        [0.24, 0.30, 0.45],
        [0.70, 0.33, 0.24],
        [0.90, 0.84, 0.74],
        [0.10, 0.10, 0.12],
    ]
)


def woodblock(rng, style, shape):
    """Colour woodblock: flat muted colours with graded skies, thin outlines, a column of signs."""
    what = scene(rng, shape, 0.85, 0.15)
    palette = np.clip(JAPAN + style.normal(0, 0.06, JAPAN.shape), 0, 1).astype(np.float32)
    colour = palette[what.regions]
    y, _ = grid(shape)
    sky = (what.regions == SKY) * np.clip(1 - y / shape[0] * style.uniform(2, 5), 0, 1)
    colour = blend(colour, palette[CLOTH], sky.astype(np.float32) * 0.8)
    pattern = (np.sin(grid(shape)[1] / 3) * np.sin(y / 3) > 0.5) & (what.regions == CLOTH2)
    colour = blend(colour, palette[SKIN], pattern.astype(np.float32) * 0.7)
    h, w = shape
    column = [w * 0.88, h * 0.05, w * 0.95, h * 0.4]
    signs = mask_of(shape, lambda p, s: text_lines(p, [v * s for v in column], 12, rng))
    colour = blend(colour, INK, np.maximum(outline(what.regions, 1.5), signs) * 0.9)
    return colour * (0.94 + 0.05 * smooth_noise(rng, shape, 30, 3)[..., None])


WASHES = np.float32(
    [
        [0.86, 0.91, 0.93],
        [0.80, 0.85, 0.70],
        [0.82, 0.80, 0.55],
        [0.90, 0.78, 0.60],
        [0.45, 0.62, 0.38],
        [0.75, 0.30, 0.30],
        [0.35, 0.50, 0.75],
        [0.96, 0.78, 0.68],
        [0.45, 0.33, 0.25],
    ]
)


def _washed(rng, style, shape, what, strength):
    colours = np.clip(WASHES[np.r_[0:5, style.permutation(2) + 5, 7, 8]] + style.normal(0, 0.08, (9, 3)), 0, 1)
    shifted = np.roll(what.regions, rng.integers(-3, 4, 2), (0, 1))
    patchy = np.clip(strength + 0.2 * smooth_noise(rng, shape, 12), 0, 1)
    return blend(sheet_of(rng, style, shape), colours[shifted].astype(np.float32), patchy)


def hand_colored_engraving(rng, style, shape):
    """Hand-coloured engraving: a costume figure on white, fine lines, clear washes, a caption."""
    what = scene(rng, shape, 1.0, 0.75)
    ink = incised(rng, what, _line_spacing(shape, 90), style.beta(*STRICT)) * 0.75
    sheet = _washed(rng, style, shape, what, np.where(what.regions == SKY, 0.1, 0.85).astype(np.float32))
    return blend(sheet, INK, _framed(rng, shape, ink, 0.06, True))


def hand_colored_etching(rng, style, shape):
    """Hand-coloured etching: a busy satirical scene, loose lines, washes over all of the plate."""
    what = scene(rng, shape, 0.95, 0.1)
    ink = incised(rng, what, _line_spacing(shape, 70), style.beta(*FREE)) * 0.7
    sheet = _washed(rng, style, shape, what, np.float32(0.6))
    return blend(sheet, (0.2, 0.15, 0.12), _framed(rng, shape, ink, 0.05, style.random() < 0.7))


def lithograph(rng, style, shape):
    """Lithograph: crayon grain over soft tones; now and then in bright colours (a printed card)."""
    what = scene(rng, shape, 0.7, 0.3)
    grain = rng.random(shape, dtype=np.float32) * 0.5 + 0.22 + 0.12 * smooth_noise(rng, shape, 100)
    ink = np.clip((grain - what.tone) * 3 + 0.25, 0, 1) * 0.85
    if style.random() < 0.3:
        colours = np.clip(WASHES * 0.9 + style.normal(0, 0.15, (9, 3)), 0, 1).astype(np.float32)
        return blend(colours[what.regions], INK, ink * 0.35)
    return blend(
        sheet_of(rng, style, shape), (0.14, 0.14, 0.14), _framed(rng, shape, ink, style.uniform(0, 0.1), False)
    )


def graphite(rng, style, shape):
    """Graphite: pale soft strokes in one direction on light paper, much left empty."""
    what = scene(rng, shape, 0.7, 0.6)
    strokes = hatch(rng, what.tone + 0.1, style.uniform(0.6, 0.9), _line_spacing(shape, 80), 0.5, 0.9)
    soft = blur(strokes, 0.8) * np.clip(0.6 + 0.5 * smooth_noise(rng, shape, 60), 0.1, 1)
    ink = np.maximum(soft * 0.55, blur(outline(what.regions, 1.5), 0.8) * 0.8)
    return blend(sheet_of(rng, style, shape), (0.30, 0.30, 0.33), _framed(rng, shape, ink, 0.05, False))


def pen_and_brown_ink(rng, style, shape):
    """Pen and brown ink: quick brown outlines and transparent washes on toned paper."""
    what = scene(rng, shape, 0.85, 0.4)
    shade = np.clip(0.75 - blur(what.tone, 3), 0, 1) * np.clip(0.7 + 0.4 * smooth_noise(rng, shape, 5), 0, 1)
    lines = np.maximum(outline(what.regions, 1.5), 0.7 * outline(np.roll(what.regions, (2, 3), (0, 1)), 1))
    strokes = hatch(rng, what.tone * 1.3 + 0.1, 0.8, _line_spacing(shape, 50), 0.8, 0.4)
    sheet = blend(paper(rng, shape, TAN, 0.04), (0.55, 0.38, 0.22), shade * 0.9)
    return blend(
        sheet, BROWN, np.maximum(lines * np.clip(0.8 + 0.4 * smooth_noise(rng, shape, 20), 0.2, 1), strokes * 0.7)
    )


def albumen_photograph(rng, style, shape):
    """Albumen photograph: continuous tone in sepia, soft focus, faded edges, on a card."""
    what = scene(rng, shape, 0.75, 0.2)
    tone = blur(what.tone, max(shape) / 200) * 0.8 + 0.06 + 0.04 * fractal(rng, shape, 14)
    y, x = grid(shape)
    fading = ((x / shape[1] - 0.5) ** 2 + (y / shape[0] - 0.5) ** 2) * style.uniform(0.2, 0.7)
    tone = np.clip(tone + fading + 0.015 * rng.standard_normal(shape, dtype=np.float32), 0, 1)[..., None]
    dark, light = np.float32([0.24, 0.14, 0.08]), np.float32([0.93, 0.86, 0.70]) + style.normal(0, 0.02)
    picture = dark + (light - dark) * tone
    edge = round(style.choice([0, 0.03, 0.08]) * min(shape))
    if edge:
        card = paper(rng, shape, (0.88, 0.83, 0.72))
        card[edge:-edge, edge:-edge] = picture[edge:-edge, edge:-edge]
        return card
    return picture.astype(np.float32)


OILS = np.float32(
    [
        [0.45, 0.52, 0.58],
        [0.35, 0.42, 0.42],
        [0.34, 0.27, 0.16],
        [0.50, 0.40, 0.30],
        [0.16, 0.20, 0.11],
        [0.42, 0.12, 0.10],
        [0.16, 0.20, 0.34],
        [0.78, 0.60, 0.46],
        [0.14, 0.09, 0.06],
    ]
)


def _painted(rng, style, shape, what, palette, stroke):
    colour = palette[what.regions] * (0.35 + 0.85 * what.tone[..., None])
    bristle = smooth_noise(rng, shape, 110, 28) if style.random() < 0.5 else smooth_noise(rng, shape, 28, 110)
    relief = 0.6 * bristle + 0.5 * smooth_noise(rng, shape, 30)
    return colour * (1 + stroke * relief[..., None]) + 0.03 * smooth_noise(rng, shape, 20)[..., None]


PANEL = OILS.copy()
PANEL[SKY], PANEL[CLOTH], PANEL[CLOTH2] = (0.74, 0.56, 0.24), (0.60, 0.14, 0.10), (0.14, 0.24, 0.46)


def painting(rng, style, shape, age):
    """A painting: oil on canvas (`age` 0: deep colours, strokes, dark corners) to painted panel (1: gold, cracks)."""
    what = scene(rng, shape, 0.8 + 0.2 * age, 0.1 + 0.2 * age)
    mixture = OILS + (PANEL - OILS) * np.clip(2.4 * age - 0.7, 0, 1)
    palette = np.clip(mixture * style.uniform(0.8, 1.5) + style.normal(0, 0.07, (9, 3)), 0, 1).astype(np.float32)
    image = _painted(rng, style, shape, what, palette, style.uniform(0.08, 0.18) * (1.2 - 0.4 * age))
    cracks = (np.abs(smooth_noise(rng, shape, 70, 12)) < 0.035).astype(np.float32)
    image = blend(image, (0.12, 0.08, 0.05), cracks * 0.8 * age)
    y, x = grid(shape)
    dark = ((x / shape[1] - 0.5) ** 2 + (y / shape[0] - 0.5) ** 2) * style.uniform(0.2, 1.0) * (1 - 0.5 * age)
    return image * (1 - dark[..., None]).astype(np.float32)


def oil_on_canvas(rng, style, shape):
    """Oil on canvas; overlaps with `painted_panel`."""
    return painting(rng, style, shape, style.beta(*STRICT))


def painted_panel(rng, style, shape):
    """Polychromed wood, painted; overlaps with `oil_on_canvas`."""
    return painting(rng, style, shape, style.beta(*FREE))


def _motif(rng, style, shape):
    """A repeated ornament (h, w) of 0, 1, 2: stripes, lattices or mirrored blobs."""
    y, x = grid(shape)
    tile = max(shape) / style.uniform(3, 9)
    u, v = x / tile, y / tile
    kind = style.integers(4)
    if kind == 0:
        wave = np.sin(2 * np.pi * u + 0 * v)
    elif kind == 1:
        wave = np.sin(2 * np.pi * (u + v)) * np.sin(2 * np.pi * (u - v))
    else:
        a, b, c = style.uniform(0.5, 3, 3)
        mu, mv = np.abs((u % 1) - 0.5) * 2, np.abs((v % 1) - 0.5) * 2
        wave = np.sin(a * 5 * mu * mu + b * 3 * mv) * np.cos(c * 4 * mv * mv - a * 3 * mu)
    wave = wave + 0.12 * smooth_noise(rng, shape, 25)
    return (wave > 0.25).astype(int) + (wave > 0.75)


def _garment(rng, shape):
    """Mask (h, w) of a coat, a skirt or a fan laid out on a table."""
    h, w = shape
    kind, j = rng.integers(3), lambda: rng.uniform(-0.03, 0.03)
    coat = [(0.38, 0.12), (0.62, 0.12), (0.95 + j(), 0.35 + j()), (0.85, 0.5), (0.68, 0.4), (0.75 + j(), 0.92)]
    coat += [(0.25 + j(), 0.92), (0.32, 0.4), (0.15, 0.5), (0.05 + j(), 0.35 + j())]
    skirt = [(0.38 + j(), 0.1), (0.62 + j(), 0.1), (0.9 + j(), 0.9), (0.1 + j(), 0.9)]
    purse = [(0.2, 0.25 + j()), (0.8, 0.25 + j()), (0.85 + j(), 0.7), (0.5, 0.9 + j()), (0.15 + j(), 0.7)]
    points = (coat, skirt, purse)[kind]
    return mask_of(shape, lambda pen, s: pen.polygon([(x * w * s, y * h * s) for x, y in points], 255))


def _woven(rng, style, shape, colours, metal):
    motif = _motif(rng, style, shape)
    y, x = grid(shape)
    pitch = max(2.4, max(shape) / style.uniform(90, 130))
    thread = np.sin(2 * np.pi * x / pitch) * np.sin(2 * np.pi * y / pitch + np.pi * (np.floor(x / pitch) % 2))
    folds = smooth_noise(rng, shape, 5, 1.5)
    image = colours[motif] * (1 + 0.16 * thread + 0.07 * folds + 0.05 * smooth_noise(rng, shape, 60))[..., None]
    glint = np.clip(thread + 0.5 * smooth_noise(rng, shape, 90), 0, 1) * (motif == 2) * metal
    return blend(image, (1.0, 0.93, 0.70), glint.astype(np.float32))


def textile(rng, style, shape, metal):
    """A flat textile, or a garment on a table; `metal` in [0, 1] is the share of gilt thread in its motif."""
    dyes = np.clip(style.uniform(0.1, 0.8) + style.normal(0, 0.18, (3, 3)), 0.04, 0.95).astype(np.float32)
    dyes[1] = np.clip(1.1 - dyes[0] + style.normal(0, 0.1, 3), 0.1, 0.9)
    gilt = np.clip(2.5 * metal, 0, 1)
    dyes[0] *= 1 - gilt * np.float32([0.3, 0.5, 0.3])
    dyes[2] += gilt * (np.float32([0.72, 0.58, 0.32]) - dyes[2])
    cloth = _woven(rng, style, shape, dyes, metal)
    table = plain(shape, (0.86, 0.85, 0.83)) + 0.03 * smooth_noise(rng, shape, 3)[..., None]
    if style.random() < 0.35:
        mask = _garment(style, shape)
        folds = np.clip(0.75 + 0.3 * smooth_noise(rng, shape, 12, 1.2), 0.3, 1.2)
        return blend(table - 0.15 * blur(np.roll(mask, 5, 0), 5)[..., None], cloth * folds[..., None], mask)
    edge = round(style.choice([0, 0, 0.05]) * min(shape))
    if edge:
        table[edge:-edge, edge:-edge] = cloth[edge:-edge, edge:-edge]
        return table
    return cloth


def woven_fabric(rng, style, shape):
    """Woven fabric: little gilt or none; overlaps with `silk_and_metal_thread`."""
    return textile(rng, style, shape, max(0.0, style.beta(*STRICT) * 0.7 - 0.2))


def silk_and_metal_thread(rng, style, shape):
    """Silk and metal thread: gilt threads in its motif."""
    return textile(rng, style, shape, style.beta(*FREE) * 0.8)
