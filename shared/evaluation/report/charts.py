"""Plots as inline SVG: intervals, bars and lines. Colours come from the page's style."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, ROW, TOP, BOTTOM = 900.0, 28.0, 10.0, 30.0
LABELS, RIGHT, HEIGHT = 170.0, 24.0, 240.0


@dataclass(frozen=True)
class Bar:
    """A named value with the interval around it."""

    name: str
    value: float
    low: float
    high: float


def number(value: float) -> str:
    """Return four significant digits, thousands separated."""
    if not math.isfinite(value):
        return "not defined"
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"


def ticks(low: float, high: float, wanted: int = 6) -> list[float]:
    """Return round numbers from low to high, about as many as wanted."""
    if not high > low:
        return [low]
    step = 10 ** math.floor(math.log10((high - low) / wanted))
    step *= next(factor for factor in (1, 2, 5, 10) if (high - low) / (step * factor) <= wanted)
    return [step * place for place in range(math.ceil(low / step), math.floor(high / step) + 1)]


def intervals(bars: Sequence[Bar], reference: float) -> str:
    """Return a row for each interval, and a dashed line at the reference."""
    bars = [bar for bar in bars if all(map(math.isfinite, (bar.value, bar.low, bar.high)))]
    ends = [reference, *(end for bar in bars for end in (bar.low, bar.high))]
    scale = _scale(min(ends), max(ends), LABELS, WIDTH - RIGHT)
    height = TOP + ROW * len(bars) + BOTTOM
    parts = _vertical_grid(scale, height - BOTTOM)
    x = scale(reference)
    parts.append(f'<line class="reference" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{height - BOTTOM}"/>')
    for place, bar in enumerate(bars):
        y = TOP + ROW * (place + 0.5)
        low, high = scale(bar.low), scale(bar.high)
        told = f"{bar.name}: {number(bar.value)} [{number(bar.low)}, {number(bar.high)}]"
        parts += [
            f"<g><title>{escape(told)}</title>",
            f'<text x="{LABELS - 12}" y="{y + 4:.1f}" text-anchor="end">{escape(_short(bar.name))}</text>',
            f'<line class="mark range" x1="{low:.1f}" x2="{high:.1f}" y1="{y}" y2="{y}"/>',
            f'<circle class="mark" cx="{scale(bar.value):.1f}" cy="{y}" r="5"/></g>',
        ]
    return _svg(height, parts)


def histogram(edges: Sequence[float], counts: Sequence[float]) -> str:
    """Return bars between edges of equal ratio, as tall as the root of their counts: rare ones show."""
    roots = [math.sqrt(count) for count in counts]
    up = _scale(0, max(roots, default=1) or 1, HEIGHT - BOTTOM, TOP, margin=0)
    along = _scale(0, len(counts), LABELS / 2, WIDTH - RIGHT, margin=0)
    parts = []
    every = max(1, len(counts) // 10)
    for place, (edge, count, root) in enumerate(zip(edges, counts, roots, strict=False)):
        x, width = along(place), along(place + 1) - along(place)
        parts.append(
            f'<rect class="mark bar" x="{x:.1f}" y="{up(root):.1f}" width="{max(1.0, width - 1):.1f}" '
            f'height="{HEIGHT - BOTTOM - up(root):.1f}">'
            f"<title>from {number(edge)}: {count:,.0f} decisions</title></rect>"
        )
        if place % every == 0:
            parts.append(_tick(x, HEIGHT - 10, number(edge)))
    parts.append(_rule(HEIGHT - BOTTOM))
    return _svg(HEIGHT, parts)


def lines(series: Sequence[tuple[str, str, Sequence[float]]], step: float, *, share: bool = False) -> str:
    """Return lines (name, class, values) over places that are `step` apart; a share is drawn from 0 to 1."""
    finite = [value for _, _, values in series for value in values if math.isfinite(value)]
    low, high = (0.0, 1.0) if share else (min(finite, default=0.0), max(finite, default=1.0))
    up = _scale(low, high, HEIGHT - BOTTOM, TOP)
    count = max(len(values) for _, _, values in series)
    along = _scale(0, max(1, count - 1), LABELS / 2, WIDTH - RIGHT, margin=0)
    parts = []
    for value in ticks(*up.domain, 4):
        parts += [_rule(up(value)), _tick(LABELS / 2 - 8, up(value) + 4, number(value), "end")]
    for place in range(0, count, max(1, count // 8)):
        parts.append(_tick(along(place), HEIGHT - 10, number(place * step)))
    for name, kind, values in series:
        points = " ".join(
            f"{along(place):.1f},{up(value):.1f}"
            for place, value in enumerate(values)
            if math.isfinite(value)
        )
        parts.append(
            f'<polyline class="{kind} line" points="{points}"><title>{escape(name)}</title></polyline>'
        )
    return _svg(HEIGHT, parts)


class _Linear:
    def __init__(self, low: float, high: float, start: float, end: float) -> None:
        self.domain = (low, high)
        self._start, self._slope = start, (end - start) / (high - low)

    def __call__(self, value: float) -> float:
        return self._start + (value - self.domain[0]) * self._slope


def _scale(low: float, high: float, start: float, end: float, margin: float = 0.05) -> _Linear:
    room = margin * (high - low)
    if not high > low:
        room = max(abs(low) * 0.1, 1e-9)
    return _Linear(low - room, high + room, start, end)


def _vertical_grid(scale: _Linear, bottom: float) -> list[str]:
    parts = []
    for value in ticks(*scale.domain):
        x = scale(value)
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{bottom}"/>')
        parts.append(_tick(x, bottom + 18, number(value)))
    return parts


def _rule(y: float) -> str:
    return f'<line class="grid" x1="{LABELS / 2}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'


def _tick(x: float, y: float, text: str, anchor: str = "middle") -> str:
    return f'<text class="tick" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{text}</text>'


def _short(name: str, most: int = 22) -> str:
    return name if len(name) <= most else name[: most - 1] + "…"


def _svg(height: float, parts: Sequence[str]) -> str:
    return f'<svg viewBox="0 0 {WIDTH:.0f} {height:.0f}" role="img">{"".join(parts)}</svg>'
