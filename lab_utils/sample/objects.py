"""Objects of the sample: silhouettes inflated to solids, lit as metal, glaze, clay, stone, wood, ivory or glass."""

from dataclasses import dataclass

import numpy as np
from PIL import ImageDraw
from scipy import ndimage

from lab_utils.sample.canvas import FREE, STRICT, Array, backdrop, blend, blur, fractal, grid, mask_of, smooth_noise

LIGHT = np.float32([-0.45, -0.6, 0.66])


@dataclass(frozen=True)
class Material:
    """How a surface answers light.

    Attributes:
        colours: palette, one is drawn an object, each (r, g, b) in [0, 1].
        spread: variation of the colour between objects.
        shine: strength of the highlight, in [0, 1].
        sharpness: exponent of the highlight.
        mirror: share of reflected surroundings, in [0, 1] (metals).
        grain: strength of the texture.
        texture: `patina`, `grain`, `stone` (with veins), `wood`, `crackle`, `paint` (on porcelain) or `smooth`.
        clear: share of the background that shines through, in [0, 1] (glass).
        relief: depth of the surface detail.
    """

    colours: tuple
    spread: float = 0.04
    shine: float = 0.1
    sharpness: float = 10
    mirror: float = 0.0
    grain: float = 0.1
    texture: str = "grain"
    clear: float = 0.0
    relief: float = 0.012


MATERIALS = {
    "Bronze": Material(
        ((0.26, 0.20, 0.13), (0.24, 0.30, 0.24), (0.32, 0.22, 0.14)), 0.04, 0.45, 12, 0.3, 0.18, "patina", relief=0.014
    ),
    "Ceramic": Material(
        ((0.62, 0.40, 0.26), (0.74, 0.68, 0.56), (0.30, 0.24, 0.20), (0.42, 0.46, 0.38)), 0.06, 0.25, 14, grain=0.12
    ),
    "Clay": Material(
        ((0.55, 0.50, 0.44), (0.62, 0.50, 0.38), (0.45, 0.44, 0.43)), 0.04, 0.02, 4, grain=0.2, relief=0.03
    ),
    "Faience": Material(
        ((0.20, 0.56, 0.60), (0.36, 0.62, 0.52), (0.16, 0.36, 0.62)), 0.05, 0.35, 18, grain=0.14, texture="crackle"
    ),
    "Glass": Material(
        ((0.55, 0.62, 0.50), (0.30, 0.42, 0.60), (0.80, 0.85, 0.85), (0.55, 0.45, 0.25)),
        0.06,
        0.9,
        40,
        0.1,
        0.05,
        "smooth",
        0.55,
    ),
    "Gold": Material(((0.86, 0.63, 0.22), (0.90, 0.70, 0.32)), 0.03, 0.7, 16, 0.55, 0.05, "smooth", relief=0.02),
    "Iron": Material(((0.20, 0.19, 0.19), (0.26, 0.21, 0.18)), 0.03, 0.2, 8, 0.15, 0.25, "patina", relief=0.014),
    "Ivory": Material(
        ((0.88, 0.80, 0.64), (0.80, 0.64, 0.42)), 0.03, 0.35, 16, grain=0.07, texture="wood", relief=0.03
    ),
    "Porcelain": Material(((0.93, 0.93, 0.92), (0.90, 0.92, 0.94)), 0.02, 0.8, 30, grain=0.0, texture="paint"),
    "Silver": Material(((0.72, 0.72, 0.71), (0.66, 0.65, 0.62)), 0.03, 0.8, 22, 0.7, 0.04, "smooth", relief=0.014),
    "Steel": Material(((0.50, 0.51, 0.53), (0.40, 0.41, 0.43)), 0.03, 0.6, 16, 0.5, 0.10, "patina"),
    "Wood": Material(
        ((0.42, 0.27, 0.15), (0.30, 0.19, 0.11), (0.55, 0.40, 0.24)), 0.05, 0.12, 8, grain=0.28, texture="wood"
    ),
    "Polychromed wood": Material(
        ((0.56, 0.34, 0.20), (0.62, 0.46, 0.30)), 0.05, 0.12, 8, grain=0.2, texture="polychrome", relief=0.02
    ),
}
STONES = ("Limestone", "Marble")
SHAPES = {
    "Bronze": ("statuette", "vessel", "statuette", "disc"),
    "Ceramic": ("vessel", "plate", "sherd", "vessel"),
    "Clay": ("tablet", "tablet", "sherd", "tablet"),
    "Faience": ("shabti", "shabti", "disc", "beads"),
    "Glass": ("vessel", "bottle", "bottle", "vessel"),
    "Gold": ("ring", "disc", "strips", "beads"),
    "Iron": ("blade", "guard", "key", "blade"),
    "Ivory": ("statuette", "netsuke", "panel", "netsuke"),
    "Limestone": ("sherd", "bust", "panel", "statuette"),
    "Marble": ("sherd", "bust", "panel", "statuette"),
    "Porcelain": ("plate", "vessel", "plate", "statuette"),
    "Silver": ("vessel", "spoon", "vessel", "plate"),
    "Steel": ("helmet", "blade", "blade", "guard"),
    "Wood": ("statuette", "panel", "box", "mask"),
    "Polychromed wood": ("statuette", "bust", "panel", "statuette"),
}


# ---- silhouettes: each draws in a unit square, y down, on a pen that scales -----------------------------------------
class Pen:
    """Draws in the unit square that sits in the middle of a sheet; `ink` 255 adds, 0 cuts."""

    def __init__(self, pen: ImageDraw.ImageDraw, box: tuple[float, float, float, float]):
        self.pen, (self.x, self.y, self.w, self.h) = pen, box

    def _at(self, points: list) -> list:
        return [(self.x + self.w * px, self.y + self.h * py) for px, py in points]

    def polygon(self, points: list, ink: int = 255) -> None:
        """A filled polygon."""
        self.pen.polygon(self._at(points), ink)

    def ellipse(self, x: float, y: float, rx: float, ry: float | None = None, ink: int = 255) -> None:
        """A filled ellipse; without `ry` a circle in sheet units."""
        (cx, cy), rx = self._at([(x, y)])[0], rx * self.w
        ry = rx if ry is None else ry * self.h
        self.pen.ellipse((cx - rx, cy - ry, cx + rx, cy + ry), ink)

    def line(self, points: list, width: float, ink: int = 255) -> None:
        """A thick line with round joints."""
        self.pen.line(self._at(points), ink, max(2, round(width * min(self.w, self.h))), joint="curve")


def _profile(pen: Pen, radii: Array, top: float = 0.05, bottom: float = 0.95) -> None:
    ys = np.linspace(top, bottom, 40)
    rs = np.interp(np.linspace(0, 1, 40), np.linspace(0, 1, len(radii)), radii)
    rs = ndimage.gaussian_filter1d(rs, 1.5)
    pen.polygon(
        [(0.5 - r, y) for r, y in zip(rs, ys, strict=True)]
        + [(0.5 + r, y) for r, y in zip(rs[::-1], ys[::-1], strict=True)]
    )


def _vessel(pen: Pen, rng) -> None:
    neck, belly, foot = rng.uniform(0.1, 0.38), rng.uniform(0.28, 0.46), rng.uniform(0.12, 0.3)
    _profile(
        pen, np.array([neck * 1.15, neck, (neck + belly) / 2, belly, belly * rng.uniform(0.7, 1), foot, foot * 1.1])
    )
    for side in (-1, 1)[: rng.integers(0, 3)]:
        x = 0.5 + side * (neck + 0.04)
        pen.line([(x, 0.15), (0.5 + side * min(0.49, belly + 0.09), 0.25), (0.5 + side * belly * 0.95, 0.48)], 0.045)


def _bottle(pen: Pen, rng) -> None:
    neck, belly = rng.uniform(0.05, 0.12), rng.uniform(0.2, 0.42)
    _profile(pen, np.array([neck * 1.7, neck, neck, neck * 1.1, belly, belly * rng.uniform(0.7, 1.1), belly * 0.6]))


def _statuette(pen: Pen, rng) -> None:
    lean = rng.normal(0, 0.03)
    pen.ellipse(0.5 + lean, 0.13, 0.085)
    pen.polygon([(0.36, 0.25), (0.64, 0.25), (0.6 + lean, 0.5), (0.68, 0.9), (0.32, 0.9), (0.4 + lean, 0.5)])
    pen.line([(0.5 + lean, 0.15), (0.5, 0.3)], 0.09)
    for side in (-1, 1):
        elbow = (0.5 + side * rng.uniform(0.18, 0.34), rng.uniform(0.32, 0.46))
        pen.line(
            [(0.5 + side * 0.12, 0.28), elbow, (0.5 + side * rng.uniform(0.05, 0.42), rng.uniform(0.2, 0.6))], 0.075
        )
    if rng.random() < 0.5:
        pen.polygon([(0.5, 0.95), (0.46, 0.58), (0.54, 0.58)], 0)
    if rng.random() < 0.7:
        pen.polygon([(0.24, 0.88), (0.76, 0.88), (0.8, 0.97), (0.2, 0.97)])


def _shabti(pen: Pen, rng) -> None:
    wide = rng.uniform(0.2, 0.26)
    _profile(pen, np.array([0.1, 0.15, 0.13, wide, wide * 0.95, wide * 0.8, 0.13, 0.12, 0.14]), 0.03, 0.97)


def _bust(pen: Pen, rng) -> None:
    pen.ellipse(0.5 + rng.normal(0, 0.02), 0.3, 0.2, 0.25)
    pen.polygon(
        [(0.4, 0.45), (0.6, 0.45), (0.62, 0.62), (0.92, 0.76), (0.84, 0.97), (0.16, 0.97), (0.08, 0.76), (0.38, 0.62)]
    )


def _blob(pen: Pen, rng, points: int = 9, rough: float = 0.14, radius: float = 0.42) -> None:
    angles = np.linspace(0, 2 * np.pi, points, endpoint=False)
    r = np.clip(radius * (1 + rng.normal(0, rough, points)), 0.15, 0.49)
    pen.polygon([(0.5 + a * np.cos(t), 0.5 + a * np.sin(t)) for a, t in zip(r, angles, strict=True)])


def _netsuke(pen: Pen, rng) -> None:
    for _ in range(6):
        pen.ellipse(rng.uniform(0.3, 0.7), rng.uniform(0.35, 0.75), rng.uniform(0.12, 0.25))
    pen.ellipse(rng.uniform(0.35, 0.65), 0.27, 0.16)


def _disc(pen: Pen, rng) -> None:
    pen.ellipse(0.5, 0.5, 0.44, 0.44)
    for _ in range(rng.integers(0, 4)):
        pen.ellipse(rng.uniform(0.35, 0.65), rng.uniform(0.35, 0.65), 0.05, ink=0)


def _ring(pen: Pen, rng) -> None:
    for x in (0.3, 0.7)[: rng.integers(1, 3)]:
        pen.ellipse(x, 0.55, 0.26)
        pen.ellipse(x, 0.55, rng.uniform(0.15, 0.2), ink=0)
        pen.ellipse(x, 0.3, rng.uniform(0.06, 0.12))


def _beads(pen: Pen, rng) -> None:
    count = rng.integers(14, 26)
    for t in np.linspace(0.15, 2 * np.pi - 0.15, count):
        pen.ellipse(0.5 + 0.4 * np.sin(t), 0.5 - 0.42 * np.cos(t), rng.uniform(0.025, 0.045))
    pen.ellipse(0.5, 0.92, 0.07)


def _strips(pen: Pen, rng) -> None:
    for row in range(rng.integers(2, 5)):
        y = 0.2 + 0.2 * row
        pen.polygon([(0.08, y), (rng.uniform(0.5, 0.95), y + rng.normal(0, 0.02)), (0.9, y + 0.1), (0.08, y + 0.11)])


def _blade(pen: Pen, rng) -> None:
    bend, wide = rng.normal(0, 0.12), rng.uniform(0.04, 0.1)
    pen.polygon([(0.03, 0.5 + bend), (0.6, 0.5 - wide), (0.72, 0.5 - wide), (0.72, 0.5 + wide), (0.6, 0.5 + wide)])
    pen.line([(0.72, 0.5), (0.97, 0.5 + rng.normal(0, 0.03))], rng.uniform(0.05, 0.1))
    pen.line([(0.72, 0.5 - 2.4 * wide), (0.72, 0.5 + 2.4 * wide)], 0.04)


def _key(pen: Pen, rng) -> None:
    pen.ellipse(0.22, 0.5, 0.17)
    pen.ellipse(0.22, 0.5, 0.09, ink=0)
    pen.line([(0.35, 0.5), (0.93, 0.5)], 0.09)
    for x in (0.74, 0.84, 0.92):
        pen.line([(x, 0.5), (x, 0.5 + rng.uniform(0.12, 0.26))], 0.06)


def _guard(pen: Pen, rng) -> None:
    pen.ellipse(0.5, 0.5, 0.42, 0.45)
    lobes = rng.integers(3, 7)
    for t in np.linspace(0, 2 * np.pi, lobes, endpoint=False):
        pen.ellipse(0.5 + 0.26 * np.cos(t), 0.5 + 0.28 * np.sin(t), rng.uniform(0.06, 0.11), ink=0)
    pen.ellipse(0.5, 0.5, 0.04, 0.13, ink=0)


def _helmet(pen: Pen, rng) -> None:
    pen.ellipse(0.48, 0.42, 0.36, 0.36)
    pen.polygon([(0.14, 0.45), (0.84, 0.42), (0.95, 0.6), (0.7, 0.75), (0.72, 0.95), (0.28, 0.95), (0.2, 0.7)])
    pen.line([(0.55, 0.5), (0.9, 0.53)], 0.03, 0)
    pen.line([(0.2, 0.2), (0.48, 0.04), (0.75, 0.2)], 0.05)


def _spoon(pen: Pen, rng) -> None:
    pen.ellipse(0.2, 0.5, 0.15, 0.2)
    pen.line([(0.3, 0.5), (0.95, 0.5 + rng.normal(0, 0.06))], rng.uniform(0.05, 0.09))
    pen.ellipse(0.93, 0.5, 0.05)


def _panel(pen: Pen, rng) -> None:
    a, b = rng.uniform(0.04, 0.2, 2)
    pen.polygon([(a, b), (1 - a, b + rng.normal(0, 0.02)), (1 - a + rng.normal(0, 0.02), 1 - b), (a, 1 - b)])


def _box(pen: Pen, rng) -> None:
    pen.polygon([(0.08, 0.35), (0.75, 0.3), (0.95, 0.42), (0.93, 0.85), (0.72, 0.92), (0.1, 0.85)])


def _tablet(pen: Pen, rng) -> None:
    a = rng.uniform(0.1, 0.2)
    pen.polygon(
        [
            (a, 0.12),
            (0.5, 0.07),
            (1 - a, 0.12),
            (0.94 - a / 3, 0.5),
            (1 - a, 0.9),
            (0.5, 0.94),
            (a, 0.88),
            (0.06 + a / 3, 0.5),
        ]
    )
    if rng.random() < 0.4:
        pen.ellipse(rng.choice([a, 1 - a]), 0.1, rng.uniform(0.1, 0.2), ink=0)


def _plate(pen: Pen, rng) -> None:
    pen.ellipse(0.5, 0.5, 0.47)


def _mask(pen: Pen, rng) -> None:
    pen.ellipse(0.5, 0.48, 0.33, 0.46)
    for x in (0.37, 0.63):
        pen.ellipse(x, 0.4, 0.07, 0.03, 0)
    pen.ellipse(0.5, 0.74, 0.1, 0.035, 0)


def _sherd(pen: Pen, rng) -> None:
    _blob(pen, rng, int(rng.integers(5, 9)), 0.2)


DRAWERS = {
    "vessel": _vessel,
    "bottle": _bottle,
    "statuette": _statuette,
    "shabti": _shabti,
    "bust": _bust,
    "netsuke": _netsuke,
    "disc": _disc,
    "ring": _ring,
    "beads": _beads,
    "strips": _strips,
    "blade": _blade,
    "key": _key,
    "guard": _guard,
    "helmet": _helmet,
    "spoon": _spoon,
    "panel": _panel,
    "box": _box,
    "tablet": _tablet,
    "plate": _plate,
    "mask": _mask,
    "sherd": _sherd,
}
FLATNESS = {
    "plate": 0.35,
    "disc": 0.25,
    "tablet": 0.2,
    "panel": 0.1,
    "sherd": 0.2,
    "strips": 0.2,
    "guard": 0.2,
    "box": 0.15,
}


def solid(medium: str, rng, style, shape: tuple[int, int], museum: str) -> Array:
    """Draw one object of a medium on a studio backdrop, (h, w, 3)."""
    background = backdrop(rng, style, shape, museum)
    kind = SHAPES[medium][style.integers(4)]
    h, w = shape
    fill = rng.uniform(0.5, 1.1)
    if kind in ("plate", "ring", "beads", "guard", "netsuke", "disc"):
        box_w = box_h = min(h, w) * fill
    else:
        box_w, box_h = min(w * fill, 1.25 * h), min(h * fill, 1.25 * w)
    box = ((w - box_w) / 2, (h - box_h) / 2, box_w, box_h)
    mask = mask_of(shape, lambda pen, s: DRAWERS[kind](Pen(pen, [v * s for v in box]), style))
    shadow = blur(np.roll(mask, (round(0.03 * h), round(0.03 * w)), (0, 1)), max(shape) * 0.03)
    background = background * (1 - 0.45 * shadow[..., None])
    surface = _lit(material_of(medium, style), kind, mask, rng, style, background)
    return blend(background, surface, mask)


def stone(whiteness: float) -> Material:
    """From warm, grainy limestone (0) to white, veined marble (1): the two overlap."""
    warm, white = np.float32([0.70, 0.62, 0.47]), np.float32([0.87, 0.85, 0.82])
    colour = tuple(warm + (white - warm) * whiteness)
    return Material(
        (colour,), 0.04, 0.03 + 0.08 * whiteness, 6, grain=0.17 - 0.06 * whiteness, texture="stone", relief=0.02
    )


def material_of(medium: str, style) -> Material:
    """The medium's material; a stone is drawn from its side of the overlapping pair."""
    if medium in STONES:
        return stone(style.beta(*(FREE if medium == "Marble" else STRICT)))
    return MATERIALS[medium]


def _height(mask: Array, kind: str, relief: float, rng) -> Array:
    """Inflate a silhouette to a height map (h, w) in pixels, with surface detail."""
    inside = ndimage.distance_transform_edt(mask > 0.5).astype(np.float32)
    deep = max(float(inside.max()), 1.0)
    reach = deep * FLATNESS.get(kind, 1.0)
    rounded = np.sqrt(np.clip(1 - (1 - np.clip(inside / reach, 0, 1)) ** 2, 0, 1)) * reach
    if kind == "plate":
        rounded = rounded - 0.25 * deep * np.clip((inside / deep - 0.35) * 6, 0, 1)
    if kind == "tablet":
        y, _ = grid(mask.shape)
        rows = np.sin(2 * np.pi * y / (max(mask.shape) / 16))
        signs = (smooth_noise(rng, mask.shape, 60, 30) > 0.3) * np.clip(rows, 0, 1)
        rounded = rounded - 0.06 * deep * signs.astype(np.float32)
    detail = fractal(rng, mask.shape, 8, 3) * relief * deep
    return blur(rounded, max(mask.shape) / 70) + detail * np.clip(inside / deep * 3, 0, 1)


def _lit(material: Material, kind: str, mask: Array, rng, style, background: Array) -> Array:
    height = _height(mask, kind, material.relief, rng)
    dy, dx = np.gradient(height)
    normal = np.stack([-dx, -dy, np.ones_like(dx)], -1)
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    colour = np.float32(material.colours[style.integers(len(material.colours))]) * style.normal(1, 2 * material.spread)
    colour = colour + style.normal(0, material.spread / 3, 3)
    albedo = np.clip(_textured(material, colour, mask, rng, style), 0, 1)
    facing = normal @ LIGHT
    diffuse = 0.32 + 0.8 * np.clip(facing, 0, 1)
    half = (LIGHT + np.float32([0, 0, 1])) / np.linalg.norm(LIGHT + np.float32([0, 0, 1]))
    gleam = material.shine * np.clip(normal @ half, 0, 1) ** (material.sharpness * 2.5)
    room = 0.5 + 0.5 * np.sin(5 * normal[..., 1] + 3 * normal[..., 0] + style.uniform(0, 6))
    shade = diffuse * (1 - material.mirror) + material.mirror * 1.5 * room**2
    image = albedo * shade[..., None] + gleam[..., None]
    if material.clear:
        rim = np.clip(1.3 * normal[..., 2] - 0.2, 0, 1) * material.clear
        image = blend(image, background * (0.5 + 0.5 * colour), rim.astype(np.float32))
    return image.astype(np.float32)


def _textured(material: Material, colour: Array, mask: Array, rng, style) -> Array:
    shape, grain = mask.shape, material.grain
    base = np.ones((*shape, 3), np.float32) * colour.astype(np.float32)
    y, x = grid(shape)
    if material.texture == "wood":
        rings = np.sin((x + 12 * smooth_noise(rng, shape, 3, 1.5)) * 2 * np.pi / (max(shape) / 22))
        return base * (1 + grain * (0.5 * rings + 0.5 * smooth_noise(rng, shape, 60, 6)))[..., None]
    if material.texture == "patina":
        spots = np.clip(fractal(rng, shape, 7), 0, 2)
        return blend(
            base * (1 + 0.5 * grain * fractal(rng, shape, 25))[..., None],
            base[0, 0] * (0.8, 1.3, 1.15),
            np.clip(spots * grain * 2, 0, 1),
        )
    if material.texture == "stone":
        vein = np.exp(-np.abs(fractal(rng, shape, 3)) * 9)
        mottled = 1 + 0.06 * fractal(rng, shape, 30)
        return blend(
            base * mottled[..., None], colour * 0.7, (vein * grain * 3 * style.random()).astype(np.float32).clip(0, 1)
        )
    if material.texture == "paint":
        return _decorated(base, mask, rng, style)
    if material.texture == "polychrome":
        paints = np.float32([[0.62, 0.16, 0.12], [0.18, 0.28, 0.42], [0.78, 0.62, 0.30], [0.85, 0.72, 0.58]])
        band = np.clip((y / shape[0] * 4 + 0.5 * smooth_noise(rng, shape, 4)), 0, 3).astype(int)
        worn = np.clip(0.75 + 0.5 * fractal(rng, shape, 12), 0, 1)
        return blend(
            base * (1 + grain * smooth_noise(rng, shape, 70, 8))[..., None], paints[style.permutation(4)][band], worn
        )
    if material.texture == "crackle":
        lines = np.abs(smooth_noise(rng, shape, 28)) < 0.06
        return base * (1 + grain * fractal(rng, shape, 10) - 0.2 * lines)[..., None]
    speckle = 0.5 * fractal(rng, shape, 20) + 0.5 * rng.standard_normal(shape, dtype=np.float32)
    return base * (1 + grain * speckle)[..., None]


def _decorated(base: Array, mask: Array, rng, style) -> Array:
    """Painted decoration on white: rings and sprays in blue, or in several enamels."""
    shape = mask.shape
    depth = ndimage.distance_transform_edt(mask > 0.5)
    depth = (depth / max(depth.max(), 1)).astype(np.float32)
    enamels = np.float32(
        [[0.16, 0.24, 0.58]] if style.random() < 0.6 else [[0.70, 0.2, 0.2], [0.2, 0.5, 0.3], [0.75, 0.6, 0.2]]
    )
    bands = (np.abs(depth - 0.12) < 0.03) | (np.abs(depth - 0.45) < 0.015)
    sprays = (smooth_noise(rng, shape, 14) * np.sin(depth * 14) > 0.65) & (depth > 0.1)
    for place, enamel in enumerate(enamels):
        where = (sprays if place == 0 else (smooth_noise(rng, shape, 12) > 1.1) & (depth > 0.1)) | (
            bands & (place == 0)
        )
        base = blend(base, enamel, blur(where.astype(np.float32), 0.7) * 0.85)
    return base
