"""Figures as an SVG of horizontal bars, readable on a light and on a dark background."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from benchmarks.suite import Section

_WIDTH, _EDGE, _BARS_X, _BARS_WIDTH = 960, 32, 382, 466
_LINE, _BAR, _HEADING, _GAP, _TITLE = 26, 16, 34, 18, 72
# What fits at 13 pixels in the widest of the usual sans-serif fonts, in characters.
_LABEL_MAX, _NOTE_MAX = 46, 130
_ATTRIBUTES = (
    'xmlns="http://www.w3.org/2000/svg" role="img" font-size="13" '
    'font-family="system-ui,-apple-system,Segoe UI,Helvetica,Arial,sans-serif"'
)
# Its own background and both colour schemes: an image knows the reader's scheme, not the page's.
_STYLE = """
.ground{fill:#ffffff}.text{fill:#1f2328}.faint{fill:#59636e}
.line{stroke:#d1d9e0}.ours{fill:#0b6e99}.other{fill:#9aa4ae}
@media (prefers-color-scheme:dark){
.ground{fill:#0d1117}.text{fill:#e6edf3}.faint{fill:#9198a1}
.line{stroke:#3d444d}.ours{fill:#4fb3d9}.other{fill:#656c76}}
"""


@dataclass(frozen=True, slots=True)
class Bar:
    """One figure: its label, its length from 0, its text, and whether it is one of hookseal's."""

    label: str
    value: float
    text: str
    is_ours: bool = True


@dataclass(frozen=True, slots=True)
class Panel:
    """Figures that share a scale and a unit."""

    title: str
    unit: str
    bars: Sequence[Bar]

    @property
    def height(self) -> int:
        """Pixels."""
        return _HEADING + _LINE * len(self.bars) + _GAP


def panels_of(sections: Iterable[Section], found: Mapping[str, dict[str, Any]]) -> list[Panel]:
    """Return a panel for each section that was measured without an error."""
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
        # A number takes the name of its column along.
        labels = ((cells[name], name) for name in section.labels)
        label = ", ".join(f"{cell} {name}" if cell.isdigit() else cell for cell, name in labels)
        is_ours = not section.is_compared or label.startswith("hookseal")
        for name in section.bars:
            of = f"{label}, {name}" if len(section.bars) > 1 else label
            bars.append(Bar(of, float(cells[name].replace(",", "")), cells[name], is_ours=is_ours))
    return bars


def picture(title: str, note: str, panels: Sequence[Panel]) -> str:
    """Return the SVG: title, note, and the panels that have bars, one below the other."""
    drawn = [panel for panel in panels if panel.bars]
    height = _TITLE + sum(panel.height for panel in drawn) + _EDGE
    lines = [
        f'<svg {_ATTRIBUTES} viewBox="0 0 {_WIDTH} {height}">',
        f"<title>{escape(title)}</title>",
        f"<style>{_STYLE}</style>",
        f'<rect class="ground" width="{_WIDTH}" height="{height}"/>',
        _text(_EDGE, 38, title, 'font-size="20" font-weight="600"'),
        _text(_EDGE, 60, _cut(note, _NOTE_MAX), kind="faint"),
    ]
    top = _TITLE
    for panel in drawn:
        lines += _panel(panel, top)
        top += panel.height
    return "\n".join([*lines, "</svg>", ""])


def _panel(panel: Panel, top: int) -> Iterator[str]:
    yield _text(_EDGE, top + 22, panel.title, 'font-size="15" font-weight="600"')
    yield _text(_WIDTH - _EDGE, top + 22, panel.unit, 'text-anchor="end"', kind="faint")
    longest = max(bar.value for bar in panel.bars) or 1.0
    y = top + _HEADING
    bottom = y + _LINE * len(panel.bars)
    yield f'<line class="line" x1="{_BARS_X}" y1="{y}" x2="{_BARS_X}" y2="{bottom}"/>'
    for bar in panel.bars:
        width = max(1.0, bar.value / longest * _BARS_WIDTH)
        base = y + _LINE / 2 + 4.5
        yield _text(_BARS_X - 12, base, _cut(bar.label, _LABEL_MAX), 'text-anchor="end"')
        yield (
            f'<rect class="{"ours" if bar.is_ours else "other"}" x="{_BARS_X}" '
            f'y="{y + (_LINE - _BAR) / 2:g}" width="{width:.1f}" height="{_BAR}" rx="2"/>'
        )
        yield _text(_BARS_X + width + 8, base, bar.text)
        y += _LINE


def _text(x: float, y: float, text: str, attributes: str = "", *, kind: str = "text") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" {attributes}>{escape(text)}</text>'


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
