"""Figures as an SVG of horizontal bars, to be read on light and on dark ground alike."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from benchmarks.suite import Section


_WIDTH, _EDGE = 960, 32
_LABEL_WIDTH, _TEXT_WIDTH = 350, 80
_BARS_X = _EDGE + _LABEL_WIDTH
_BARS_WIDTH = _WIDTH - _BARS_X - _TEXT_WIDTH - _EDGE
_LINE, _BAR, _HEADING, _GAP = 26, 16, 34, 18
_TITLE_HEIGHT = 72
# What fits beside the bars at 13 pixels, in the widest of the usual sans-serif fonts.
_LABEL_MAX = 46
_NOTE_MAX = 130
# A ground of its own, and both sets of colours: an image does not hear of the page's theme,
# only of the reader's.
_STYLE = """
.ground{fill:#ffffff}.text{fill:#1f2328}.faint{fill:#59636e}
.line{stroke:#d1d9e0}.ours{fill:#0b6e99}.other{fill:#9aa4ae}
@media (prefers-color-scheme:dark){
.ground{fill:#0d1117}.text{fill:#e6edf3}.faint{fill:#9198a1}
.line{stroke:#3d444d}.ours{fill:#4fb3d9}.other{fill:#656c76}}
"""


@dataclass(frozen=True, slots=True)
class Bar:
    """One figure.

    Attributes:
        label: What it is of.
        value: How long the bar is, from 0, in the panel's unit.
        text: The figure as it is written.
        is_ours: Of hookseal, not of what it is compared with.
    """

    label: str
    value: float
    text: str
    is_ours: bool = True


@dataclass(frozen=True, slots=True)
class Panel:
    """Figures that share a scale.

    Attributes:
        title: What was measured.
        unit: Of all bars.
        bars: From top to bottom.
    """

    title: str
    unit: str
    bars: Sequence[Bar]


def panels_of(sections: Iterable[Section], found: Mapping[str, dict[str, Any]]) -> list[Panel]:
    """Return what there is to draw.

    Args:
        sections: Of the suite.
        found: Figures by section; those that are missing or failed are not drawn.
    """
    return [
        Panel(section.title, " and ".join(section.bars), _bars(section, found[section.name]))
        for section in sections
        if section.name in found and "error" not in found[section.name]
    ]


def _bars(section: Section, figures: dict[str, Any]) -> list[Bar]:
    bars = []
    columns, rows = section.table(figures)
    for row in rows:
        cells = {name: str(cell) for name, cell in zip(columns, row, strict=True)}
        label = ", ".join(_named(cells[name], name) for name in section.labels)
        is_ours = not section.is_compared or label.startswith("hookseal")
        for name in section.bars:
            of = f"{label}, {name}" if len(section.bars) > 1 else label
            bars.append(Bar(of, float(cells[name].replace(",", "")), cells[name], is_ours=is_ours))
    return bars


def _named(cell: str, column: str) -> str:
    """Return a number with its column's name, anything else as it is."""
    return f"{cell} {column}" if cell.isdigit() else cell


def picture(title: str, note: str, panels: Sequence[Panel]) -> str:
    """Return the picture, one panel below the other.

    Args:
        title: Above all of it.
        note: Below the title: how it was measured.
        panels: Those without a bar are left out.
    """
    drawn = [panel for panel in panels if panel.bars]
    height = _TITLE_HEIGHT + sum(map(_height, drawn)) + _EDGE
    opening = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img" '
        'font-family="system-ui,-apple-system,Segoe UI,Helvetica,Arial,sans-serif" '
        'font-size="13">'
    )
    lines = [
        opening,
        f"<title>{escape(title)}</title>",
        f"<style>{_STYLE}</style>",
        f'<rect class="ground" width="{_WIDTH}" height="{height}"/>',
        _text(_EDGE, 38, title, 'font-size="20" font-weight="600"'),
        _text(_EDGE, 60, _cut(note, _NOTE_MAX), kind="faint"),
    ]
    top = _TITLE_HEIGHT
    for panel in drawn:
        lines += _panel(panel, top)
        top += _height(panel)
    return "\n".join([*lines, "</svg>", ""])


def _height(panel: Panel) -> int:
    return _HEADING + _LINE * len(panel.bars) + _GAP


def _panel(panel: Panel, top: int) -> Iterator[str]:
    yield _text(_EDGE, top + 22, panel.title, 'font-size="15" font-weight="600"')
    right = _WIDTH - _EDGE
    yield _text(right, top + 22, panel.unit, 'text-anchor="end"', kind="faint")
    longest = max(bar.value for bar in panel.bars) or 1.0
    first = top + _HEADING
    bottom = first + _LINE * len(panel.bars)
    yield f'<line class="line" x1="{_BARS_X}" y1="{first}" x2="{_BARS_X}" y2="{bottom}"/>'
    for number, bar in enumerate(panel.bars):
        y = first + _LINE * number
        width = max(1.0, bar.value / longest * _BARS_WIDTH)
        kind = "ours" if bar.is_ours else "other"
        base = y + _LINE / 2 + 4.5
        yield _text(_BARS_X - 12, base, _cut(bar.label, _LABEL_MAX), 'text-anchor="end"')
        yield (
            f'<rect class="{kind}" x="{_BARS_X}" y="{y + (_LINE - _BAR) / 2:g}" '
            f'width="{width:.1f}" height="{_BAR}" rx="2"/>'
        )
        yield _text(_BARS_X + width + 8, base, bar.text)


def _text(x: float, y: float, text: str, attributes: str = "", *, kind: str = "text") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" {attributes}>{escape(text)}</text>'


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
