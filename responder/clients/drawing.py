"""Charts as PNG, painted with Pillow. It is an extra: ``pip install 'alert-responder[pictures]'``."""

import io
import math
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING

from responder.domain.chart import HEIGHT, WIDTH, Shape, Stroke, Words

if TYPE_CHECKING:  # loaded on first use
    from PIL import ImageFont

SCALE = 2
"""Pixels of the picture for one of the chart: people look at it on dense screens."""
FINE = 2
"""It is painted so many times larger and made smaller: Pillow's lines have steps."""
FONT = "DejaVuSans.ttf"
"""Found where the system keeps its fonts; without it Pillow's own does, which has the letters of ASCII only."""
_PLAIN = str.maketrans({"→": "->", "▲": "^", "×": "x", "–": "-", "−": "-", "’": "'", "≥": ">=", "≤": "<=", "µ": "u"})
_ANCHORS = {"start": "ls", "middle": "ms", "end": "rs"}


def can_draw() -> bool:
    """Say whether Pillow is installed; it is not loaded for that."""
    return find_spec("PIL") is not None


def png(shapes: Sequence[Shape]) -> bytes:
    """Paint a chart; some ten thousand bytes, in some ten milliseconds of CPU."""
    from PIL import Image, ImageDraw

    times = SCALE * FINE
    large = Image.new("RGB", (WIDTH * times, HEIGHT * times), "#ffffff")
    brush = ImageDraw.Draw(large)
    for one in shapes:
        if isinstance(one, Stroke):
            for line in _dashes(one):
                points = [(x * times, y * times) for x, y in line]
                brush.line(points, fill=one.colour, width=one.width * times, joint="curve")
    image = large.reduce(FINE)
    brush = ImageDraw.Draw(image)
    for one in shapes:
        if isinstance(one, Words):
            font, plain = _font(one.size)
            text = "".join(each if each.isprintable() else " " for each in one.text)
            text = text.translate(_PLAIN).encode("ascii", "replace").decode() if plain else text
            brush.text((one.x * SCALE, one.y * SCALE), text, fill=one.colour, font=font, anchor=_ANCHORS[one.anchor])
    held = io.BytesIO()
    image.quantize(64).save(held, "PNG", optimize=True)
    return held.getvalue()


@cache
def _font(size: int) -> "tuple[ImageFont.FreeTypeFont | ImageFont.ImageFont, bool]":
    """Return a font, and whether it has the letters of ASCII only."""
    from PIL import ImageFont

    try:
        return ImageFont.truetype(FONT, size * SCALE), False
    except OSError:
        return ImageFont.load_default(size * SCALE), True


def _dashes(one: Stroke) -> Iterator[Sequence[tuple[float, float]]]:
    """Give the parts of a line that are drawn; a line with dashes has two ends and nothing between."""
    drawn, left_out = one.dash
    if not drawn:
        yield one.points
        return
    (x0, y0), (x1, y1) = one.points[0], one.points[-1]
    length = math.hypot(x1 - x0, y1 - y0) or 1.0
    at = 0.0
    while at < length:
        first, last = at / length, min(at + drawn, length) / length
        yield ((x0 + (x1 - x0) * first, y0 + (y1 - y0) * first), (x0 + (x1 - x0) * last, y0 + (y1 - y0) * last))
        at += drawn + left_out
