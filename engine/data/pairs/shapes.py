"""Pairs for people without data: `outlines` (line drawing <-> painting) and `stripes` (chestnut <-> striped animals).

Both sides of a pair are one scene drawn twice, so the truth is known exactly. `outlines` are true pairs. The training
sides of `stripes` show different animals; its test split is true pairs, to score what was learned without any.
Scene i depends on (seed, split, i) alone, so a shorter set is the beginning of a longer one.

A scene is a list of parts, a part is a polygon and its colour, and polygons are mostly ellipses. Points are in
picture sides, x right, y down. Read next: `layouts.py`, for the pictures of one's own.
"""

from collections.abc import Callable
from functools import cache
from math import cos, pi, sin

import numpy as np
from PIL import Image, ImageDraw

from inachus.engine.data.bounded import check_memory
from inachus.engine.data.dataset import Dataset, Request, philox
from inachus.engine.data.pairs.dataset import Pairs

COUNTS = {"train": 2_000, "test": 400}
SIZE = 64
OVER = 4  # drawn this much larger, then averaged down
NUMBERS = 16  # random numbers of a scene
CIRCLE = np.array([[cos(turn), sin(turn)] for turn in np.arange(40) * pi / 20])  # (40,2)

Colour = tuple[int, int, int]
Part = tuple[np.ndarray, Colour]  # polygon (K,2), colour
Painter = Callable[[np.ndarray, int], Image.Image]  # (random numbers of the scene, side in pixels) -> picture

INK, PAPER = (40, 40, 48), (255, 255, 255)
SKY, MEADOW, STEM, SUN = (206, 232, 246), (150, 198, 116), (62, 140, 72), (252, 208, 72)
WING, WING_SPOT, BODY = (240, 132, 44), (58, 104, 196), (92, 60, 48)
PETAL, HEART = (232, 96, 140), (250, 206, 80)
CAP, DOT, STALK = (212, 58, 50), (252, 240, 232), (244, 226, 198)
STRIPE = np.array([(0, -1.5), (0.2, -1.5), (0.6, 0), (0.2, 1.5), (0, 1.5), (0.36, 0)])  # (6,2): bent
CHESTNUT, MANE, WHITE, BLACK = (168, 98, 52), (84, 46, 30), (246, 244, 238), (34, 32, 38)


def pairs(name: str, request: Request, paired: bool | None = None) -> Pairs:
    """A set of `DRAWN`: all of its split, or the first `limit`. `paired` None is as the file's docstring says."""
    painters, sides, number = DRAWN[name]
    size, count = request.size or SIZE, request.limit or COUNTS[request.split]
    check_memory(2 * count * size * size * 3, name)
    if paired is None:
        paired = name == "outlines" or request.split == "test"
    stream = philox(request.seed, "drawing", number + (request.split == "test"))
    scenes = np.random.Generator(stream).random((count, 2, NUMBERS))  # the second one is for sides without partners
    a, b = (
        _drawn(painter, scenes[:, 0 if paired else side], size, request.channels or 3)
        for side, painter in enumerate(painters)
    )
    names = [f"{i:06d}" for i in range(count)]
    return Pairs(name, a, b, paired, sides, (names, names), source=f"drawn, seed {request.seed}")


def domains(name: str, request: Request) -> Dataset:
    """Both sides as one data set, its classes the sides."""
    return pairs(name, request).domains()


def _drawn(painter: Painter, scenes: np.ndarray, size: int, channels: int) -> np.ndarray:
    mode = {1: "L", 3: "RGB"}[channels]
    items = np.empty((len(scenes), size, size, channels), np.uint8)
    for item, scene in zip(items, scenes, strict=True):
        picture = painter(scene, OVER * size).reduce(OVER).convert(mode)
        item[:] = np.asarray(picture).reshape(item.shape)
    return items


# --- outlines: a meadow with flowers, mushrooms and a butterfly --------------------------------------------


def _outline(scene: np.ndarray, side: int) -> Image.Image:
    """Every part in ink on paper, the nearer ones in front."""
    return _edged([(polygon, PAPER, INK) for polygon, _ in _meadow(scene)], side, PAPER, width=side // 50)


def _painting(scene: np.ndarray, side: int) -> Image.Image:
    """Every part in its colour, with a darker edge."""
    parts = [(polygon, colour, tuple(value * 3 // 4 for value in colour)) for polygon, colour in _meadow(scene)]
    return _edged(parts, side, SKY, width=side // 100)


def _edged(parts: list[tuple[np.ndarray, Colour, Colour]], side: int, ground: Colour, width: int) -> Image.Image:
    image = Image.new("RGB", (side, side), ground)
    pen = ImageDraw.Draw(image)
    for polygon, colour, edge in parts:
        points = (polygon * side).ravel().tolist()
        pen.polygon(points, colour)
        pen.line(points + points[:4], edge, max(1, width))
    return image


def _meadow(u: np.ndarray) -> list[Part]:
    """The parts of a scene, from the back to the front."""
    across = np.linspace(-0.1, 1.1, 40)
    height = 0.72 + 0.1 * u[0] + 0.05 * np.sin(2 * pi * (across + u[1]))
    hill = np.concatenate([np.stack([across, height], axis=1), [(1.1, 1.1), (-0.1, 1.1)]])  # (40,2) -> (42,2)
    aside = 0.06 + 0.88 * ((0.6 + 0.5 * u[12] + 0.3 * u[2]) % 1)  # the sun keeps away from the butterfly
    parts = [(_ellipse(aside, 0.12 + 0.1 * u[3], 0.09, 0.09), SUN), (hill, MEADOW)]
    for place, (which, x, y, scale) in enumerate((u[4:8], u[8:12])):
        plant = _flower if which < 0.5 else _mushroom
        at = (0.1 + 0.45 * place + 0.35 * x, 0.74 + 0.18 * y)
        parts += _moved(plant(), at, 0.17 + 0.07 * scale, 0.3 * (u[3] - 0.5))
    at = (0.25 + 0.5 * u[12], 0.26 + 0.16 * u[13])
    return parts + _moved(_butterfly(), at, 0.17 + 0.06 * u[14], 1.6 * (u[15] - 0.5))


@cache
def _butterfly() -> list[Part]:
    parts = []
    for s in (-1, 1):
        parts.append((_ellipse(0.48 * s, 0.42, 0.38, 0.44, -0.5 * s), WING))
        parts.append((_ellipse(0.58 * s, -0.38, 0.6, 0.42, -0.6 * s), WING))
        parts.append((_ellipse(0.66 * s, -0.44, 0.24, 0.18, -0.6 * s), WING_SPOT))
    return [*parts, (_ellipse(0, 0, 0.11, 0.62), BODY)]


@cache
def _flower() -> list[Part]:
    stem = np.array([(-0.06, 0.9), (-0.06, -0.5), (0.06, -0.5), (0.06, 0.9)])
    parts = [(stem, STEM), (_ellipse(0.3, 0.42, 0.32, 0.13, -0.6), STEM)]
    for turn in np.arange(6) * pi / 3:
        parts.append((_ellipse(0.4 * sin(turn), -0.6 - 0.4 * cos(turn), 0.2, 0.34, turn), PETAL))
    return [*parts, (_ellipse(0, -0.6, 0.24, 0.24), HEART)]


@cache
def _mushroom() -> list[Part]:
    stalk = np.array([(-0.26, 0.8), (-0.18, -0.3), (0.18, -0.3), (0.26, 0.8)])
    arc = np.linspace(pi, 2 * pi, 30)
    cap = np.stack([0.85 * np.cos(arc), 0.95 * np.sin(arc)], axis=1)  # (30,2)
    dots = [(_ellipse(x, y, r, r), DOT) for x, y, r in ((-0.42, -0.3, 0.14), (0.06, -0.62, 0.17), (0.45, -0.26, 0.12))]
    return [(stalk, STALK), (cap, CAP), *dots]


# --- stripes: an animal in one colour, or with the stripes of a zebra --------------------------------------


def _chestnut(scene: np.ndarray, side: int) -> Image.Image:
    return _animal(scene, side, CHESTNUT, MANE, striped=False)


def _zebra(scene: np.ndarray, side: int) -> Image.Image:
    return _animal(scene, side, WHITE, BLACK, striped=True)


def _animal(u: np.ndarray, side: int, coat: Colour, mane: Colour, *, striped: bool) -> Image.Image:
    """A horse, cat or fish; its stripes lie in its own frame, so its pose alone says where they are."""
    ground = tuple(int(value) for value in (120 + 90 * u[0], 170 + 60 * u[1], 130 + 90 * u[2]))
    image = Image.new("RGB", (side, side), tuple((value + 2 * 235) // 3 for value in ground))
    ImageDraw.Draw(image).rectangle((0, int((0.6 + 0.2 * u[3]) * side), side, side), ground)
    body, dark, eye = (_horse, _cat, _fish)[int(3 * u[4])]()
    pose = ((0.43 + 0.14 * u[5], 0.46 + 0.12 * u[6]), 0.34 + 0.08 * u[7], 0.3 * (u[8] - 0.5), u[9] < 0.5)
    mask, coats = Image.new("L", (side, side)), Image.new("RGB", (side, side), coat)
    _fill(ImageDraw.Draw(mask), _moved([(polygon, 255) for polygon in body], *pose), side)
    if striped:
        bands = [(STRIPE + shift, BLACK) for shift in np.linspace((-1.5, 0), (1.5, 0), 7)]
        _fill(ImageDraw.Draw(coats), _moved(bands, *pose), side)
    image.paste(coats, mask=mask)
    eyes = [(_ellipse(*eye, 0.09, 0.09), WHITE), (_ellipse(*eye, 0.05, 0.05), INK)]
    _fill(ImageDraw.Draw(image), _moved([*((polygon, mane) for polygon in dark), *eyes], *pose), side)
    return image


def _fill(pen: ImageDraw.ImageDraw, parts: list[Part], side: int) -> None:
    for polygon, colour in parts:
        pen.polygon((polygon * side).ravel().tolist(), colour)


@cache
def _horse():
    """(body, what is dark, where the eye is), facing right."""
    legs = [_box(x, 0.3, x + 0.15, 1.0) for x in (-0.62, -0.38, 0.22, 0.46)]
    neck = np.array([(0.2, -0.1), (0.62, 0.15), (0.92, -0.62), (0.62, -0.8)])
    body = [_ellipse(0, 0.12, 0.72, 0.34), neck, _ellipse(0.9, -0.66, 0.3, 0.17, 0.5), *legs]
    mane = np.array([(0.2, -0.12), (0.6, -0.92), (0.74, -0.84), (0.36, -0.06)])
    return body, [_ellipse(-0.78, 0.28, 0.1, 0.36, 0.3), mane], (0.84, -0.68)


@cache
def _cat():
    legs = [_box(x, 0.3, x + 0.16, 0.92) for x in (-0.6, -0.36, 0.16, 0.4)]
    ears = [np.array([(x, -0.36), (x + 0.04, -0.9), (x + 0.28, -0.5)]) for x in (0.3, 0.66)]
    body = [_ellipse(-0.05, 0.2, 0.62, 0.3), _ellipse(0.6, -0.24, 0.36, 0.32), *ears, *legs]
    body += [_ellipse(-0.82, -0.12, 0.09, 0.5, -0.35)]
    return body, [_ellipse(0.93, -0.16, 0.06, 0.05)], (0.7, -0.3)


@cache
def _fish():
    body = [_ellipse(0.1, 0, 0.85, 0.48), np.array([(-0.55, 0), (-1.15, -0.5), (-1.0, 0), (-1.15, 0.5)])]
    fins = [np.array([(-0.2, -0.42), (0.05, -0.82), (0.4, -0.4)]), np.array([(-0.1, 0.42), (0.05, 0.72), (0.3, 0.42)])]
    return body, fins, (0.6, -0.1)


# --- polygons ----------------------------------------------------------------------------------------------


def _ellipse(x: float, y: float, across: float, down: float, turn: float = 0.0) -> np.ndarray:
    """(40,2): the ellipse with these half axes, turned clockwise by `turn` radians."""
    return CIRCLE * (across, down) @ _rotation(turn) + (x, y)


def _box(left: float, top: float, right: float, bottom: float) -> np.ndarray:
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)])


def _rotation(turn: float) -> np.ndarray:
    return np.array([[cos(turn), sin(turn)], [-sin(turn), cos(turn)]])


def _moved(parts: list[Part], at, scale: float, turn: float, mirrored: bool = False) -> list[Part]:
    """The parts mirrored, turned, scaled and moved to `at`."""
    matrix = np.diag([-scale if mirrored else scale, scale]) @ _rotation(turn)
    return [(polygon @ matrix + at, colour) for polygon, colour in parts]


# name -> (painters of a and b, names of the sides, random stream of the training split; the next is the test's)
DRAWN: dict[str, tuple[tuple[Painter, Painter], tuple[str, str], int]] = {
    "outlines": ((_outline, _painting), ("outlines", "paintings"), 2),
    "stripes": ((_chestnut, _zebra), ("chestnut", "striped"), 4),
}
