"""A line chart as an SVG file, for pages of documentation: no library is needed for so little."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 640, 360
LEFT, RIGHT, BOTTOM = 64, 16, 48
NAMES = 34
"""Height of the first row of names."""
ROW = 16
NOTHING = 1e-100
"""What is smaller is shown as 0."""
# Dark enough on white, light enough on black, and apart for people who do not see all colours.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
TEXT = "#888"
GRID = "#8884"


@dataclass(frozen=True)
class Line:
    """A named line through points."""

    name: str
    points: Sequence[tuple[float, float]]


def ticks(highest: float, wanted: int = 5) -> list[float]:
    """Round numbers from 0 to `highest` or a little more: steps of 1, 2 or 5 times a power of ten."""
    if highest < NOTHING:
        return [0.0, 1.0]
    raw = highest / wanted
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * (1 - 1e-9))
    return [index * step for index in range(math.ceil(highest / step - 1e-9) + 1)]


def chart(title: str, x_label: str, y_label: str, lines: Sequence[Line]) -> str:
    """An SVG image. Both axes begin at 0, and each line's name stands above the chart in its colour."""
    points = [point for line in lines for point in line.points]
    xs, ys = (ticks(max((point[axis] for point in points), default=0)) for axis in (0, 1))
    places = _places([line.name for line in lines])
    top = max((place[1] for place in places), default=NAMES) + 10

    def x(value: float) -> float:
        return LEFT + value / xs[-1] * (WIDTH - LEFT - RIGHT)

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - value / ys[-1] * (HEIGHT - top - BOTTOM)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'font-family="sans-serif" font-size="12" fill="{TEXT}">',
        f"<title>{escape(title)}</title>",
        _text(LEFT, 16, title, weight="bold"),
    ]
    for value in ys:
        parts.append(_path([(LEFT, y(value)), (WIDTH - RIGHT, y(value))], GRID, 1))
        parts.append(_text(LEFT - 6, y(value) + 4, f"{value:,g}", anchor="end"))
    for value in xs:
        parts.append(_text(x(value), HEIGHT - BOTTOM + 18, f"{value:,g}", anchor="middle"))
    parts.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10, x_label, anchor="middle"))
    parts.append(
        f'<text transform="translate(14 {(top + HEIGHT - BOTTOM) / 2:g}) rotate(-90)" '
        f'text-anchor="middle">{escape(y_label)}</text>'
    )
    for index, (line, place) in enumerate(zip(lines, places, strict=True)):
        colour = COLOURS[index % len(COLOURS)]
        placed = [(x(value), y(height)) for value, height in sorted(line.points)]
        parts.append(_path(placed, colour, 2))
        parts += [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3" fill="{colour}"/>' for a, b in placed]
        parts.append(_text(*place, line.name, fill=colour))
    return "\n".join([*parts, "</svg>"]) + "\n"


def _places(names: Sequence[str]) -> list[tuple[float, float]]:
    """Where names stand, in as many rows as they need; a letter is about 7 wide."""
    places, x, y = [], float(LEFT), float(NAMES)
    for name in names:
        width = 7 * len(name)
        if x > LEFT and x + width > WIDTH - RIGHT:
            x, y = float(LEFT), y + ROW
        places.append((x, y))
        x += width + 24
    return places


def _text(
    x: float, y: float, text: str, anchor: str = "start", fill: str = TEXT, weight: str = "normal"
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{fill}" '
        f'font-weight="{weight}">{escape(text)}</text>'
    )


def _path(points: Sequence[tuple[float, float]], colour: str, width: float) -> str:
    places = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
    return f'<polyline points="{places}" fill="none" stroke="{colour}" stroke-width="{width:g}"/>'
