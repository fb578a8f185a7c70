"""Lines over a few settings, as one SVG that needs nothing else to be seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT, LEFT, TOP, GAP = 380, 260, 60, 60, 120
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00")
"""Okabe and Ito's, which colour-blind people can tell apart."""


@dataclass(frozen=True)
class Line:
    """One value for each setting."""

    label: str
    values: Sequence[float]


def picture(title: str, settings: Sequence[float], panels: Sequence[tuple[str, Sequence[Line]]]) -> str:
    """Panels side by side, each with a name for its values; settings are spaced evenly."""
    width = LEFT + len(panels) * (WIDTH + GAP)
    rows = max(len(lines) for _, lines in panels)
    height = TOP + HEIGHT + 60 + 20 * rows
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        'font-family="sans-serif" font-size="13">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<text x="{LEFT}" y="24" font-size="16">{escape(title)}</text>',
    ]
    for n, (name, lines) in enumerate(panels):
        parts += _panel(LEFT + n * (WIDTH + GAP), name, settings, lines)
    return "\n".join([*parts, "</svg>", ""])


def _panel(left: int, name: str, settings: Sequence[float], lines: Sequence[Line]) -> list[str]:
    top = max(max(line.values) for line in lines) or 1.0
    bottom = TOP + HEIGHT
    parts = [f'<text x="{left}" y="{TOP - 12}">{escape(name)}</text>']
    for fraction in (0.0, 0.5, 1.0):
        y = bottom - fraction * HEIGHT
        parts.append(f'<path d="M{left} {y:.1f}h{WIDTH}" stroke="#ddd"/>')
        parts.append(f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{fraction * top:,.3g}</text>')
    at = [left + n * WIDTH / max(1, len(settings) - 1) for n in range(len(settings))]
    for x, setting in zip(at, settings, strict=True):
        parts.append(f'<text x="{x:.1f}" y="{bottom + 20}" text-anchor="middle">{setting:g}</text>')
    for n, line in enumerate(lines):
        colour = COLOURS[n % len(COLOURS)]
        places = [(x, bottom - v / top * HEIGHT) for x, v in zip(at, line.values, strict=True)]
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in places]
        y = bottom + 46 + 20 * n
        parts.append(f'<text x="{left}" y="{y}" fill="{colour}">{escape(line.label)}</text>')
    return parts
