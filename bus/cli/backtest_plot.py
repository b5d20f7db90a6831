"""The table of a backtest as a drawing: SVG, written by hand, readable without colour."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bus.backtest import Tally

WIDTH, HEIGHT = 860, 420
LEFT, RIGHT, TOP, BOTTOM = 60, 180, 40, 70
LINES = {
    "justified": ("justified", "#1b7837", ""),
    "false_stops": ("false stops", "#b2182b", "6 3"),
    "not_judged": ("not judged", "#666666", "2 3"),
    "misses": ("misses", "#d95f0e", "10 4"),
    "cannot_be_known": ("cannot be known", "#2166ac", "1 5"),
}
"""by count: what is written, colour and dashes"""
MOST_MARKS = 12


def svg(axis: Sequence[float] | None, names: Sequence[str], totals: Sequence[Tally]) -> str:
    """The counts over the settings.

    Args:
        axis: the value of each setting but the first, which is as recorded; None: they stand side by side.
        names: of the settings, the first as recorded.
    """
    shown = list(totals[1:]) or list(totals)
    words = list(names[1:]) or list(names)
    places = list(axis) if axis else [float(n) for n in range(len(shown))]
    most = max([1, *(t.counts[key] for t in shown for key in LINES)])
    low, high = min(places), max(places)

    def x(value: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * ((value - low) / (high - low) if high > low else 0.5)

    def y(count: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * count / most

    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
        'font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{LEFT}" y="20" font-size="14">Decisions, not motions: one for each episode</text>',
        f'<path d="M{LEFT} {TOP}V{HEIGHT - BOTTOM}H{WIDTH - RIGHT}" fill="none" stroke="black"/>',
    ]
    for count in sorted({round(most * n / 4) for n in range(5)}):
        out.append(f'<text x="{LEFT - 8}" y="{y(count) + 4:.1f}" text-anchor="end">{count}</text>')
        out.append(f'<path d="M{LEFT} {y(count):.1f}H{WIDTH - RIGHT}" stroke="#dddddd"/>')
    every = -(-len(places) // MOST_MARKS)
    for n in range(0, len(places), every):
        word = f"{places[n]:g}" if axis else words[n]
        at = f"{x(places[n]):.1f}"
        turned = "" if axis else f' transform="rotate(-20 {at} {HEIGHT - BOTTOM + 18})"'
        anchor = "middle" if axis else "end"
        out.append(f'<text x="{at}" y="{HEIGHT - BOTTOM + 18}" text-anchor="{anchor}"{turned}>{escape(word)}</text>')
    if axis:
        name = words[0].partition("=")[0]
        out.append(
            f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 20}" text-anchor="middle">{escape(name)}</text>'
        )
    for row, (key, (text, colour, dashes)) in enumerate(LINES.items()):
        points = " ".join(
            f"{x(place):.1f},{y(t.counts[key]):.1f}"
            for place, t in sorted(zip(places, shown, strict=True), key=lambda at: at[0])
        )
        style = f'fill="none" stroke="{colour}" stroke-width="2" stroke-dasharray="{dashes}"'
        out.append(f'<polyline points="{points}" {style}/>')
        out += [
            f'<circle cx="{x(p):.1f}" cy="{y(t.counts[key]):.1f}" r="3" fill="{colour}"/>'
            for p, t in zip(places, shown, strict=True)
        ]
        key_y = TOP + 20 * row
        out.append(f'<path d="M{WIDTH - RIGHT + 15} {key_y}h30" {style}/>')
        out.append(f'<text x="{WIDTH - RIGHT + 52}" y="{key_y + 4}">{escape(text)}</text>')
    return "\n".join([*out, "</svg>", ""])
