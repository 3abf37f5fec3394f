"""Accepted events over time with the faults marked, as SVG."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.chaos.report import Done, Report

__all__ = ["picture"]

_WIDTH, _HEIGHT, _EDGE = 1200, 360, 50
_COLOURS = {
    "kill_worker": "#c0392b",
    "freeze_worker": "#2980b9",
    "add_worker": "#27ae60",
    "remove_worker": "#16a085",
    "kill_broker": "#8e44ad",
    "kill_api": "#f39c12",
    "pause_endpoint": "#7f8c8d",
    "open_transaction": "#d35400",
}


def picture(report: Report, times: Sequence[float], done: Sequence[Done]) -> str:
    """Return the picture.

    Args:
        report: What is written above it.
        times: Seconds of all acceptances.
        done: The faults.
    """
    seconds = int(max([*times, report.seconds])) + 1
    counts = [0] * seconds
    for at in times:
        counts[int(at)] += 1
    top = max(counts) or 1

    def x(at_s: float) -> float:
        return _EDGE + at_s / seconds * (_WIDTH - 2 * _EDGE)

    def y(count: float) -> float:
        return _HEIGHT - _EDGE - count / top * (_HEIGHT - 2 * _EDGE - 30)

    points = " ".join(f"{x(at + 0.5):.1f},{y(count):.1f}" for at, count in enumerate(counts))
    marks = "".join(
        f'<rect x="{x(fault.start_s):.1f}" y="{_EDGE + 20}" '
        f'width="{max(1.5, x(fault.end_s) - x(fault.start_s)):.1f}" '
        f'height="{_HEIGHT - 2 * _EDGE - 20}" fill="{_COLOURS[fault.kind]}" fill-opacity="0.25">'
        f"<title>{fault.kind} at {fault.start_s:.1f} s</title></rect>"
        for fault in done
    )
    legend = "".join(
        f'<text x="{_EDGE + number * 130}" y="{_EDGE + 8}" fill="{colour}">{kind}</text>'
        for number, (kind, colour) in enumerate(_COLOURS.items())
    )
    title = (
        f"{report.accepted} events accepted, {report.kills} kills: lost {report.lost}, out of "
        f"order {report.out_of_order}, repeats {report.repeats}; per second, up to {top}"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        'font-family="sans-serif" font-size="13">'
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>'
        f'<text x="{_EDGE}" y="24" font-size="16">{escape(title)}</text>{legend}{marks}'
        f'<polyline points="{points}" fill="none" stroke="#222" stroke-width="1.5"/>'
        f'<text x="{_EDGE}" y="{_HEIGHT - 15}">0 s</text>'
        f'<text x="{_WIDTH - _EDGE}" y="{_HEIGHT - 15}" text-anchor="end">{seconds} s</text>'
        "</svg>\n"
    )
