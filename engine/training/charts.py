"""Charts as Pillow pictures: boxes that show the spread of scores, and curves with bands.

Curves of a training are in `report.py`, pictures and points in `pictures.py`.
"""

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from inachus.engine.training.pictures import FAINT, INK, PAPER

COLOURS = [(38, 98, 196), (222, 92, 32), (44, 150, 92), (150, 74, 170), (196, 156, 20), (20, 150, 170), (200, 60, 110),
           (110, 110, 120), (120, 84, 50)]  # fmt: skip
LEFT, RIGHT, TOP, BOTTOM = 56, 12, 30, 44
FINE = 2  # drawn this much larger, then averaged down


def boxes(title: str, groups: dict[str, list[float]], size: tuple[int, int] = (640, 320)) -> Image.Image:
    """For each group: box of the quartiles, line at the median, whiskers to all, a dot for each score (finite ones)."""
    found = {name: np.array([v for v in values if math.isfinite(v)]) for name, values in groups.items()}
    chart = Chart(title, size, [v for values in found.values() for v in values], len(groups))
    for i, (name, values) in enumerate(found.items()):
        colour, at = COLOURS[i % len(COLOURS)], i + 0.5
        chart.label(at, name if len(values) else f"{name} (failed)")
        if not len(values):
            continue
        low, first, middle, third, high = np.percentile(values, [0, 25, 50, 75, 100])
        chart.line([(at, low), (at, high)], colour, 1)
        chart.box(at - 0.28, first, at + 0.28, third, colour)
        chart.line([(at - 0.28, middle), (at + 0.28, middle)], colour, 3)
        for k, value in enumerate(sorted(values)):
            chart.dot(at + 0.16 * ((k % 3) - 1), value, colour)
    return chart.picture()


def bands(
    title: str, curves: dict[str, Sequence[tuple[float, float, float]]], size: tuple[int, int] = (640, 320)
) -> Image.Image:
    """For each name (middle, low, high) at x = 1, 2, ...: a curve in its band, named in a legend."""
    longest = max(map(len, curves.values()))
    chart = Chart(title, size, [v for points in curves.values() for point in points for v in point], longest)
    for number in range(longest):
        chart.label(number + 0.5, str(number + 1))
    for i, points in enumerate(curves.values()):
        colour = COLOURS[i % len(COLOURS)]
        upper = [(k + 0.5, high) for k, (_, _, high) in enumerate(points)]
        lower = [(k + 0.5, low) for k, (_, low, _) in enumerate(points)]
        chart.area([*upper, *lower[::-1]], colour)
        chart.line([(k + 0.5, middle) for k, (middle, _, _) in enumerate(points)], colour, 2)
    chart.legend([(name, COLOURS[i % len(COLOURS)]) for i, name in enumerate(curves)])
    return chart.picture()


class Chart:
    """A frame with a logarithmic y axis over the given values and x from 0 to `places`."""

    def __init__(self, title: str, size: tuple[int, int], values: Sequence[float], places: int):
        self.size, self.places = size, max(1, places)
        positive = [v for v in values if math.isfinite(v) and v > 0] or [1.0]
        self.low, self.high = math.log10(min(positive)) - 0.05, math.log10(max(positive)) + 0.05
        self.image = Image.new("RGB", (size[0] * FINE, size[1] * FINE), PAPER)
        self.pen = ImageDraw.Draw(self.image, "RGBA")
        self.font = ImageFont.load_default(11 * FINE)
        self.pen.text((LEFT * FINE, 8 * FINE), title, fill=INK, font=ImageFont.load_default(13 * FINE))
        for tick in self._ticks():
            (left, y), (right, _) = self.at(0, tick), self.at(self.places, tick)
            self.pen.line([(left, y), (right, y)], fill=FAINT, width=FINE)
            self.pen.text((left - 6 * FINE, y), f"{tick:g}", fill=INK, font=self.font, anchor="rm")

    def _ticks(self):
        """1, 2 and 5 times powers of ten inside the range; at least the ends."""
        powers = range(math.floor(self.low) - 1, math.ceil(self.high) + 1)
        inside = [m * 10.0**p for p in powers for m in (1, 2, 5) if self.low <= math.log10(m * 10.0**p) <= self.high]
        return inside if len(inside) > 1 else [float(f"{10**v:.3g}") for v in (self.low, self.high)]

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Pixels of a place."""
        share = (math.log10(max(y, 10**self.low)) - self.low) / (self.high - self.low)
        width, height = self.size[0] - LEFT - RIGHT, self.size[1] - TOP - BOTTOM
        return (LEFT + width * x / self.places) * FINE, (TOP + height * (1 - share)) * FINE

    def line(self, points, colour, width) -> None:
        """Through these places."""
        self.pen.line([self.at(*p) for p in points], fill=colour, width=width * FINE)

    def area(self, points, colour) -> None:
        """Faintly filled."""
        self.pen.polygon([self.at(*p) for p in points], fill=(*colour, 40))

    def box(self, left, low, right, high, colour) -> None:
        """From the low to the high value."""
        (x0, y1), (x1, y0) = self.at(left, low), self.at(right, high)
        self.pen.rectangle([x0, y0, x1, y1], fill=(*colour, 60), outline=colour, width=FINE)

    def dot(self, x, y, colour) -> None:
        """A score."""
        (px, py), r = self.at(x, y), 2.5 * FINE
        self.pen.ellipse([px - r, py - r, px + r, py + r], fill=(*colour, 150))

    def label(self, x, text) -> None:
        """Below the axis."""
        px = self.at(x, 1)[0]
        self.pen.text((px, (self.size[1] - BOTTOM + 8) * FINE), text, fill=INK, font=self.font, anchor="ma")

    def legend(self, entries) -> None:
        """Below the labels, side by side."""
        x = LEFT * FINE
        for name, colour in entries:
            self.pen.text((x, (self.size[1] - 16) * FINE), name, fill=colour, font=self.font, anchor="lm")
            x += self.font.getlength(name) + 12 * FINE

    def picture(self) -> Image.Image:
        """What was drawn."""
        return self.image.resize(self.size, Image.Resampling.BOX)
