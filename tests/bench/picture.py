"""The results as an SVG: how much of each bound is used, a bar for each size."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from xml.sax.saxutils import escape

from bench.results import Result, Row, rows

_WIDTH, _LEFT, _BOUND, _BAR, _GAP = 900, 270, 380, 14, 12
"""Pixels; `_BOUND` is the width of a bar that uses all of its bound."""
_COLOURS = ("#4c78a8", "#72b7b2", "#9ecae9")
_OVER = "#d62728"
_LONGEST = 1.45
_HEAD = 56

_Bar = tuple[int, Row]
"""Of which size, and what."""


def draw(results: list[Result]) -> str:
    """Return the SVG."""
    groups: defaultdict[str, list[_Bar]] = defaultdict(list)
    for index, result in enumerate(results):
        for row in rows(result):
            if row.bound:
                groups[row.name].append((index, row))
    height = _HEAD + sum(len(group) * _BAR + _GAP for group in groups.values()) + 24
    shapes = "\n".join([*_frame(results, height), *_bars(groups.values())])
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" font-family="sans-serif"'
        f' font-size="12">\n<rect width="100%" height="100%" fill="white"/>\n{shapes}\n</svg>\n'
    )


def _frame(results: list[Result], height: int) -> Iterator[str]:
    yield _text(
        12, 22, "How much of each bound the operator uses (shorter is better)", "font-size='15' font-weight='bold'"
    )
    for index, result in enumerate(results):
        x = _LEFT + index * 150
        yield f'<rect x="{x}" y="34" width="12" height="12" fill="{_COLOURS[index % len(_COLOURS)]}"/>'
        yield _text(x + 18, 44, f"{result.count:,} workloads")
    x = _LEFT + _BOUND
    yield f'<line x1="{x}" x2="{x}" y1="{_HEAD - 4}" y2="{height - 20}" stroke="{_OVER}" stroke-dasharray="4 3"/>'
    yield _text(x, height - 6, "the bound", f"text-anchor='middle' fill='{_OVER}'")


def _bars(groups: Iterable[list[_Bar]]) -> Iterator[str]:
    y = _HEAD
    for group in groups:
        yield _text(12, y + len(group) * _BAR / 2 + 4, group[0][1].name)
        for index, row in group:
            width = max(1.0, min(row.share, _LONGEST) * _BOUND)
            colour = _COLOURS[index % len(_COLOURS)] if row.is_met else _OVER
            yield f'<rect x="{_LEFT}" y="{y}" width="{width:.0f}" height="{_BAR - 2}" fill="{colour}"/>'
            said = f"{number(row.value)} {row.unit} of {'at least ' if row.at_least else ''}{number(row.bound or 0)}"
            yield _text(_LEFT + width + 6, y + _BAR - 4, said, "fill='#444' font-size='11'")
            y += _BAR
        y += _GAP


def _text(x: float, y: float, text: str, style: str = "") -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" {style}>{escape(text)}</text>'


def number(value: float) -> str:
    """Return a figure with as many digits as mean something."""
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
