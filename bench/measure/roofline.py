"""The roofline picture: what each kernel reached over how many operations it does for a byte, under the device's roof.

Both axes are logarithmic. The slope is the copy bandwidth, the flat roofs are the products of each precision, all of
them measured in the same run. Full dots are ours, rings the vendor's kernel of the same size.
"""

import math
from pathlib import Path

from measure.ceilings import roofs
from PIL import Image, ImageDraw, ImageFont

SIZE, LEFT, TOP, RIGHT, BOTTOM = (1200, 760), 90, 50, 1060, 690
X, Y = (0.1, 2000.0), (0.01, 1000.0)  # operations a byte, TFLOP/s
COLORS = {"tf32": (31, 95, 168), "fp32": (192, 84, 20), "bf16": (40, 130, 70)}
GREY, FAINT = (90, 90, 90), (225, 225, 225)


def draw(content: dict, path: Path) -> None:
    """Writes the picture of the rows of `kernels.py`."""
    found = content["environment"]["ceilings"]
    image = Image.new("RGB", SIZE, "white")
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(size=16)
    _axes(pen, font, content["environment"].get("name", ""))
    for precision, roof in roofs(found).items():
        if roof:
            knee = max(roof * 1e3 / found["copy_gbps"], X[0])
            points = [(X[0], found["copy_gbps"] * X[0] / 1e3), (knee, roof), (X[1], roof)]
            pen.line([_at(*point) for point in points], fill=COLORS[precision], width=2)
            pen.text((RIGHT + 8, _at(1, roof)[1] - 10), f"{precision} {roof:.0f}", fill=COLORS[precision], font=font)
    rows = [r for r in content["rows"] if r.get("tflops") and r.get("gbps") and not r["warm"]]
    for row in sorted(rows, key=lambda row: row["impl"] == "ours"):  # ours on top
        if row["impl"] in ("ours", "cudnn", "cublas") and row["precision"] in COLORS:
            x, y = _at(row["tflops"] * 1e3 / row["gbps"], row["tflops"])
            color = COLORS[row["precision"]]
            box = (x - 4, y - 4, x + 4, y + 4)
            pen.ellipse(box, fill=color if row["impl"] == "ours" else None, outline=color)
    image.quantize(64).save(path, optimize=True)


def _at(intensity: float, tflops: float) -> tuple[float, float]:
    """The place of a point."""
    def share(value, low, high):
        return math.log(min(max(value, low), high) / low) / math.log(high / low)

    return LEFT + (RIGHT - LEFT) * share(intensity, *X), BOTTOM - (BOTTOM - TOP) * share(tflops, *Y)


def _axes(pen, font, card):
    for exponent in range(-2, 4):
        value = 10.0**exponent
        if X[0] <= value <= X[1]:
            x = _at(value, 1)[0]
            pen.line((x, TOP, x, BOTTOM), fill=FAINT)
            pen.text((x - 12, BOTTOM + 6), f"{value:g}", fill=GREY, font=font)
        if Y[0] <= value <= Y[1]:
            y = _at(1, value)[1]
            pen.line((LEFT, y, RIGHT, y), fill=FAINT)
            pen.text((LEFT - 52, y - 10), f"{value:g}", fill=GREY, font=font)
    pen.rectangle((LEFT, TOP, RIGHT, BOTTOM), outline=GREY)
    title = f"{card}: convolutions and products of GANs; dots ours, rings cuDNN and cuBLAS"
    pen.text((LEFT, 16), title, fill=GREY, font=font)
    pen.text((LEFT + 380, BOTTOM + 34), "operations for each byte", fill=GREY, font=font)
    pen.text((8, 16), "TFLOP/s", fill=GREY, font=font)
