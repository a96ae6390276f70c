"""One face: drawn upright on a layer of its own, in picture sides, x right, y down, then posed and laid on its ground.

Everything about it comes from its random numbers and its two colours. Cuts and fringes are methods, of which the lists
`BACKS` and `FRINGES` are made.
"""

from collections.abc import Callable
from math import cos, pi, sin

import numpy as np
from PIL import Image, ImageDraw
from PIL.Image import Resampling, Transform

NUMBERS = 32  # random numbers of a face

Colour = tuple[int, int, int]

SKINS: list[Colour] = [(255, 228, 208), (252, 216, 188), (240, 196, 160), (214, 164, 124)]
CLOTHES: list[Colour] = [(70, 92, 150), (196, 74, 84), (82, 142, 112), (240, 240, 244), (92, 80, 120), (238, 184, 92)]
GROUNDS: list[Colour] = [(206, 230, 250), (252, 222, 228), (222, 242, 214), (252, 244, 206), (232, 224, 250)]
WHITE, LIPS, MOUTH = (255, 255, 255), (150, 62, 56), (214, 84, 84)


class Face:
    """One face: random numbers u (NUMBERS,) in [0, 1), its two colours, and the side it is drawn with in pixels."""

    def __init__(self, u: np.ndarray, hair: Colour, eyes: Colour, side: int):
        self.u, self.side = u, side
        self.hair, self.eyes = shade(hair, u[0:4]), shade(eyes, u[4:8])
        self.dark = darker(self.hair, 0.62)
        self.skin = chosen(SKINS, u[8])
        self.edge = darker(self.skin, 0.62)
        self.layer = Image.new("RGBA", (side, side * 9 // 8))  # shoulders end below the picture, whatever the pose
        self.pen = ImageDraw.Draw(self.layer)

    def picture(self) -> Image.Image:
        """The face in its pose on its ground."""
        chosen(BACKS, self.u[9])(self)
        self.body()
        self.head()
        chosen(FRINGES, self.u[10])(self)
        for s in (-1, 1):
            self.eye(s)
        self.mouth()
        ground = self.ground()
        posed = self.layer.transform(ground.size, Transform.AFFINE, self.pose(), Resampling.NEAREST)
        ground.paste(posed, mask=posed)
        return ground

    def pose(self) -> tuple:
        """Pillow's affine coefficients, which map a pixel of the picture back to the layer."""
        u = self.u[11:15]
        turn, scale = 0.14 * (u[0] - 0.5), 1 / (0.96 + 0.1 * u[1])
        x, y = (0.5 + 0.05 * (u[2] - 0.5)) * self.side, (0.57 + 0.05 * (u[3] - 0.5)) * self.side
        c, s = scale * cos(turn), scale * sin(turn)
        return c, s, 0.5 * self.side - c * x - s * y, -s, c, 0.57 * self.side + s * x - c * y

    def ground(self) -> Image.Image:
        """A pastel ground, plain or with a lighter disc or half."""
        colour = chosen(GROUNDS, self.u[15])
        image = Image.new("RGB", (self.side, self.side), colour)
        light = tuple((value + 255) // 2 for value in colour)
        kind, at = int(3 * self.u[16]), self.u[17] * self.side
        if kind == 1:
            ImageDraw.Draw(image).ellipse((at - 0.45 * self.side, -0.1 * self.side, at + 0.45 * self.side, at), light)
        elif kind == 2:
            ImageDraw.Draw(image).polygon([(0, 0), (at, 0), (self.side - at, self.side), (0, self.side)], light)
        return image

    # --- strokes: in picture sides ---

    def oval(self, x: float, y: float, across: float, down: float, fill: Colour, edge: Colour | None = None) -> None:
        """An ellipse with these half axes."""
        box = [value * self.side for value in (x - across, y - down, x + across, y + down)]
        self.pen.ellipse(box, fill, edge, self.width(0.012) if edge else 0)

    def area(self, points: list, fill: Colour, edge: Colour | None = None) -> None:
        """A polygon."""
        points = [(x * self.side, y * self.side) for x, y in points]
        self.pen.polygon(points, fill)
        if edge:
            self.pen.line([*points, points[0]], edge, self.width(0.012))

    def line(self, points: list, colour: Colour, width: float = 0.016) -> None:
        """A line through the points."""
        self.pen.line([(x * self.side, y * self.side) for x, y in points], colour, self.width(width), "curve")

    def width(self, share: float) -> int:
        """A share of the side in whole pixels."""
        return max(1, round(share * self.side))

    # --- what every face has ---

    def body(self) -> None:
        """Neck and shoulders, with a collar."""
        colour = chosen(CLOTHES, self.u[18])
        self.area(arc(0.5, 1.12, 0.36, 0.22, pi, 2 * pi), colour, darker(colour, 0.7))
        self.area([(0.43, 0.8), (0.57, 0.8), (0.57, 0.9), (0.5, 0.97), (0.43, 0.9)], darker(self.skin, 0.86))

    def head(self) -> None:
        """Ears, and the face with a pointed chin."""
        for s in (-1, 1):
            self.oval(0.5 + 0.285 * s, 0.6, 0.04, 0.055, self.skin, self.edge)
        chin = 0.875 + 0.02 * self.u[19]
        cheeks = arc(0.5, 0.55, 0.285, 0.25, pi, 2 * pi)
        jaw = [(0.785, 0.62), (0.76, 0.7), (0.68, 0.79), (0.56, chin - 0.01), (0.5, chin)]
        self.area([*cheeks, *jaw, *mirrored(jaw)], self.skin, self.edge)
        blush = tuple((3 * a + b) // 4 for a, b in zip(self.skin, (255, 90, 100), strict=True))
        for s in (-1, 1):
            self.oval(0.5 + 0.19 * s, 0.75, 0.05, 0.022, blush)

    def eye(self, s: int) -> None:
        """An eye on the left (-1) or right (1): white, iris with shadow, pupil and light, lashes; and its brow."""
        u = self.u[20:26]
        x, y, tall = 0.5 + 0.15 * s, 0.595, 0.112 + 0.016 * u[0]
        self.oval(x, y, 0.096, tall, WHITE)
        look = x + 0.024 * (u[1] - 0.5)
        self.oval(look, y, 0.076, tall - 0.006, self.eyes, darker(self.eyes, 0.6))
        self.oval(look, y - 0.015, 0.022, 0.034, darker(self.eyes, 0.4))
        self.oval(look - 0.03, y - 0.055, 0.024, 0.026, WHITE)
        lash = [(-0.1, -0.05), (-0.05, -0.1), (0.03, -0.11), (0.11, -0.04)]  # from the nose outwards
        lash = [(x + a * s, y + b - 0.03 * u[2]) for a, b in lash]
        self.line(lash, darker(self.dark, 0.35), 0.03)
        slope = 0.045 * (u[3] - 0.7)
        brow = [(x - 0.06 * s, 0.43 + slope), (x + 0.02 * s, 0.415), (x + 0.08 * s, 0.43 - slope)]
        self.line(brow, darker(self.dark, 0.75), 0.02)

    def mouth(self) -> None:
        """Smiling, open, small or like a cat's."""
        kind, wide = int(4 * self.u[26]), 0.05 + 0.03 * self.u[27]
        if kind == 0:
            self.line(arc(0.5, 0.765, wide, 0.04, 0, pi), LIPS)
        elif kind == 1:
            self.area(arc(0.5, 0.765, wide, 0.065, 0, pi), MOUTH, LIPS)
        elif kind == 2:
            self.oval(0.5, 0.79, 0.4 * wide, 0.025, MOUTH, LIPS)
        else:
            for s in (-1, 1):
                self.line(arc(0.5 + 0.5 * wide * s, 0.775, 0.5 * wide, 0.025, 0, pi), LIPS)

    # --- hair behind the head: a cut each ---

    def dome(self, across: float = 0.36) -> None:
        """The head of hair that every cut has."""
        self.oval(0.5, 0.46, across, 0.36, self.hair, self.dark)

    def short(self) -> None:
        """To the ears."""
        self.dome(0.34)

    def bob(self) -> None:
        """To the chin, turned inwards or outwards."""
        out = 0.06 * self.u[28]
        side = [(0.86, 0.46), (0.87, 0.66), (0.83 + out, 0.82), (0.66, 0.84)]
        self.area([*mirrored(side)[::-1], *side[::-1]], self.hair, self.dark)
        self.dome()

    def long(self) -> None:
        """Down the back."""
        out = 0.08 * self.u[28]
        side = [(0.86, 0.46), (0.88 + out / 2, 0.75), (0.86 + out, 1.05), (0.6, 1.05)]
        self.area([*mirrored(side)[::-1], *side[::-1]], self.hair, self.dark)
        self.dome()

    def twintails(self) -> None:
        """A tail on each side, high or low."""
        high = 0.2 + 0.3 * self.u[28]
        for s in (-1, 1):
            tail = [(0.8, high), (0.94, high - 0.03), (1.0, high + 0.25), (0.94, high + 0.6), (0.86, high + 0.3)]
            self.area(tail if s > 0 else mirrored(tail), self.hair, self.dark)
        self.dome()

    def buns(self) -> None:
        """Two buns on top."""
        for s in (-1, 1):
            self.oval(0.5 + s * (0.25 + 0.04 * self.u[28]), 0.17, 0.12, 0.12, self.hair, self.dark)
        self.dome(0.34)

    def spiky(self) -> None:
        """Points all around."""
        turns = np.linspace(0.9 * pi, 2.1 * pi, 15)
        far = [0.47 if i % 2 else 0.37 for i in range(15)]
        lean = 0.3 * (self.u[28] - 0.5)
        points = [(0.5 + r * cos(t + lean * (r > 0.4)), 0.5 + r * sin(t)) for t, r in zip(turns, far, strict=True)]
        self.area([*points, (0.8, 0.72), (0.2, 0.72)], self.hair, self.dark)

    def curly(self) -> None:
        """Curls around the face, to the chin."""
        for turn in np.linspace(0.75 * pi, 2.25 * pi, 11):
            self.oval(0.5 + 0.34 * cos(turn), 0.5 + 0.34 * sin(turn), 0.11, 0.11, self.hair, self.dark)
        self.dome(0.33)

    # --- hair over the forehead ---

    def cap(self, ends: list) -> None:
        """Hair from the crown down to these ends, from the left to the right, with a shine and two strands."""
        self.area([*arc(0.5, 0.46, 0.325, 0.335, pi, 2 * pi), *ends[::-1]], self.hair)
        self.line(ends, self.dark, 0.012)
        light = tuple((2 * value + 255) // 3 for value in self.hair)
        at = 0.34 + 0.2 * self.u[29]
        self.line([(at, 0.2), (at + 0.06, 0.18), (at + 0.12, 0.19)], light, 0.024)

    def locks(self) -> list:
        """Ends of the hair beside the left cheek; as long as the face pleases."""
        low = 0.6 + 0.16 * self.u[30]
        return [(0.175, 0.46), (0.19, low - 0.06), (0.215, low), (0.25, 0.5)]

    def straight(self) -> None:
        """Cut straight."""
        left, half = self.locks(), [(0.3, 0.47), (0.36, 0.45), (0.42, 0.465)]
        self.cap([*left, *half, (0.5, 0.45), *mirrored(half), *mirrored(left)])

    def zigzag(self) -> None:
        """In points."""
        left, low = self.locks(), 0.47 + 0.03 * self.u[31]
        teeth = [(0.27 + 0.0575 * i, low if i % 2 else 0.385) for i in range(9)]
        self.cap([*left, *teeth, *mirrored(left)])

    def parted(self) -> None:
        """Parted in the middle."""
        left = [*self.locks(), (0.33, 0.42), (0.44, 0.36)]
        self.cap([*left, (0.5, 0.33), *mirrored(left)])

    def swept(self) -> None:
        """Swept to one side."""
        left, right = self.locks(), mirrored(self.locks())
        ends = [*left, (0.27, 0.4), (0.34, 0.37), (0.48, 0.41), (0.62, 0.455), (0.72, 0.49), *right]
        self.cap(ends if self.u[31] < 0.5 else mirrored(ends))

    def tuft(self) -> None:
        """One point between the eyes."""
        left = [*self.locks(), (0.36, 0.4), (0.42, 0.42)]
        self.cap([*left, (0.49 + 0.02 * self.u[31], 0.56), *mirrored(left)])


BACKS: list[Callable] = [Face.short, Face.bob, Face.long, Face.twintails, Face.buns, Face.spiky, Face.curly]
FRINGES: list[Callable] = [Face.straight, Face.zigzag, Face.parted, Face.swept, Face.tuft]


def chosen(values: list, u: float):
    """One of the values, by a number in [0, 1)."""
    return values[int(len(values) * u)]


def shade(colour: Colour, u: np.ndarray) -> Colour:
    """The colour up to 8 % darker or lighter, each channel up to 6 more or less; u (4,) in [0, 1)."""
    shaded = np.array(colour) * (0.92 + 0.16 * u[0]) + 12 * (u[1:] - 0.5)
    return tuple(np.clip(shaded, 0, 255).astype(int).tolist())


def darker(colour: Colour, factor: float) -> Colour:
    """The colour times a factor."""
    return tuple(int(value * factor) for value in colour)


def mirrored(points: list) -> list:
    """The points on the other side of the face, in the opposite order."""
    return [(1 - x, y) for x, y in points[::-1]]


def arc(x: float, y: float, across: float, down: float, start: float, end: float) -> list:
    """Points of an ellipse from one angle to another, clockwise from the right."""
    return [(x + across * cos(t), y + down * sin(t)) for t in np.linspace(start, end, 24)]
