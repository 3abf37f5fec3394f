"""`hookseal bench --all`, and the sections of it that are measured alone."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from benchmarks.output import write, write_figures
from hookseal.cli import ui

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.scenario import Amounts
    from benchmarks.suite import Place, Section


def measure_suite(
    place: "Place", amounts: "Amounts", *, json: Path | None, svg: Path | None
) -> None:
    """Measure all sections in turns; figures are written after each, for it takes long."""
    from benchmarks.report import machine, machine_line
    from benchmarks.suite import SECTIONS, is_exact, run_suite

    found: dict[str, Any] = {"machine": machine(place.broker.kind)}
    ui.say(machine_line(found["machine"]))
    exact = True
    for section, figures in run_suite(place, amounts, SECTIONS.values()):
        found[section.name] = figures
        _say(section, figures)
        exact = exact and is_exact(figures)
        if json is not None:
            write_figures(json, found)
        if svg is not None:
            _draw(svg, found)
    if not exact:
        ui.err.print("A section could not be measured, or its books do not balance.")
        raise typer.Exit(1)


def measure_section(
    name: str, place: "Place", amounts: "Amounts", *, json: Path | None, svg: Path | None
) -> None:
    """Measure one section; its figures alone are written."""
    from benchmarks.report import machine
    from benchmarks.suite import SECTIONS, is_exact

    section = SECTIONS[name]
    figures = section.measure(place, amounts, {})
    _say(section, figures)
    if json is not None:
        write_figures(json, figures)
    if svg is not None:
        _draw(svg, {"machine": machine(place.broker.kind), name: figures})
    if not is_exact(figures):
        ui.err.print("The books do not balance; look at the figures.")
        raise typer.Exit(1)


def _say(section: "Section", figures: dict[str, Any]) -> None:
    ui.say()
    ui.say(section.title)
    if "error" in figures:
        ui.say(figures["error"])
    else:
        ui.table(*section.table(figures))
        for line in section.lines(figures):
            ui.say(line)


def _draw(path: Path, found: "Mapping[str, Any]") -> None:
    from benchmarks.picture import panels_of, picture
    from benchmarks.report import machine_line
    from benchmarks.suite import SECTIONS

    panels = panels_of(SECTIONS.values(), found)
    text = picture("hookseal, measured", machine_line(found["machine"]), panels)
    write(path, text.encode())
