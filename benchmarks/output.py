"""What the benchmark prints while it measures, and the files it writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
import typer

from benchmarks.picture import panels_of, picture
from benchmarks.report import machine, machine_line
from benchmarks.suite import SECTIONS, is_exact, run_suite
from hookseal.cli import ui
from hookseal.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from rich.progress import Progress

    from benchmarks.scenario import Amounts, Setup
    from benchmarks.suite import Section


class Stages:
    """A progress bar on a terminal; elsewhere a line for each stage."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("Starting", total=None)

    def stage(self, text: str, total: int | None = None) -> None:
        """Show that a stage with this many steps begins."""
        self._progress.reset(self._task, description=text, total=total)
        if self._progress.disable:
            ui.err.print(text)

    def done(self, steps: int) -> None:
        """Show how many steps are done."""
        self._progress.update(self._task, completed=steps)


def report(figures: dict[str, Any], lines: Iterable[str], json: Path | None) -> None:
    """Print one measurement and write its figures; exit with 1 if events were lost or repeated."""
    for line in lines:
        ui.print_line(line)
    write_figures(json, figures)
    _check(is_exact(figures))


def measure_suite(setup: Setup, amounts: Amounts, *, json: Path | None, svg: Path | None) -> None:
    """Measure all sections. Files are written after each section, because all take an hour."""
    found: dict[str, Any] = {"machine": machine(setup.broker.kind)}
    ui.print_line(machine_line(found["machine"]))
    exact = True
    for section, figures in run_suite(setup, amounts, SECTIONS.values()):
        found[section.name] = figures
        _say(section, figures)
        exact = exact and is_exact(figures)
        write_figures(json, found)
        _draw(svg, found)
    _check(exact)


def measure_section(
    name: str, setup: Setup, amounts: Amounts, *, json: Path | None, svg: Path | None
) -> None:
    """Measure one section; only its figures are written."""
    section = SECTIONS[name]
    figures = section.measure(setup, amounts, {})
    _say(section, figures)
    write_figures(json, figures)
    _draw(svg, {"machine": machine(setup.broker.kind), name: figures})
    _check(is_exact(figures))


def write_figures(path: Path | None, figures: Mapping[str, Any]) -> None:
    """Write figures as JSON, unless the path is None.

    Raises:
        ConfigurationError: `file_not_written`.
    """
    if path is not None:
        _write(path, orjson.dumps(figures, option=orjson.OPT_INDENT_2) + b"\n")


def make_folder(folder: Path) -> None:
    """Create a folder that does not exist yet.

    Raises:
        ConfigurationError: `folder_not_made`.
    """
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise ConfigurationError(
            "folder_not_made",
            f"The folder cannot be created: {error.strerror}. Name one that does not exist yet.",
            field=str(folder),
        ) from None


def _write(path: Path, content: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except OSError as error:
        raise ConfigurationError(
            "file_not_written",
            f"The file cannot be written: {error.strerror}. Name another one.",
            field=str(path),
        ) from None


def _say(section: Section, figures: dict[str, Any]) -> None:
    ui.print_line()
    ui.print_line(section.title)
    if "error" in figures:
        ui.print_line(figures["error"])
        return
    ui.table(*section.table(figures))
    for line in section.lines(figures):
        ui.print_line(line)


def _draw(path: Path | None, found: Mapping[str, Any]) -> None:
    if path is not None:
        panels = panels_of(SECTIONS.values(), found)
        text = picture("hookseal, measured", machine_line(found["machine"]), panels)
        _write(path, text.encode())


def _check(exact: bool) -> None:  # noqa: FBT001 - the only argument
    if not exact:
        ui.err.print(
            "A measurement failed, or an event was lost or repeated. Compare the figures "
            "`received`, `accepted` and `exact`."
        )
        raise typer.Exit(1)
