"""The sections of the suite: each is whole, none takes the others down, all are drawn."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
import typer
from typer.testing import CliRunner

from benchmarks.__main__ import app, bench
from benchmarks.deployment import Deployment
from benchmarks.picture import panels_of
from benchmarks.publish_load import KINDS
from benchmarks.reference_run import install_reference, run_reference, why_no_reference
from benchmarks.scenario import FULL, POINTS, QUICK, Setup
from benchmarks.suite import SECTIONS, Section, is_exact, run_suite
from hookseal.errors import ConfigurationError, HooksealError
from hookseal.kafka.cluster import Cluster

if TYPE_CHECKING:
    from collections.abc import Callable

NO_SETUP = Setup(cast("Any", SimpleNamespace(kind="apache")), {}, cast("Any", None))
BY_THEMSELVES = ("sizes", "distance", "latency", "scale", "recovery")


def a_section(name: str, measure: Callable[..., dict[str, Any]]) -> Section:
    return Section(name, name, measure, lambda _: ((), []), (), ())


class TestRunSuite:
    def test_a_section_that_fails_does_not_end_the_suite(self) -> None:
        def fail(*_: object) -> dict[str, Any]:
            raise HooksealError("bench_stalled", "Nothing happened.")

        sections = [a_section("one", fail), a_section("two", lambda *_: {"exact": True})]

        found = {s.name: figures for s, figures in run_suite(NO_SETUP, QUICK, sections)}

        assert found == {
            "one": {"error": "bench_stalled: Nothing happened."},
            "two": {"exact": True},
        }

    def test_a_section_is_given_what_those_before_it_found(self) -> None:
        given: list[dict[str, Any]] = []

        def look(_: object, __: object, found: dict[str, Any]) -> dict[str, Any]:
            given.append(dict(found))
            return {"per_s": 1.0}

        list(run_suite(NO_SETUP, QUICK, [a_section("one", look), a_section("two", look)]))

        assert given == [{}, {"one": {"per_s": 1.0}}]


class TestSections:
    def test_they_are_measured_in_this_order(self) -> None:
        assert list(SECTIONS) == [
            "rounds",
            "sizes",
            "distance",
            "latency",
            "scale",
            "memory",
            "recovery",
            "publish",
        ]

    @pytest.mark.parametrize("name", BY_THEMSELVES)
    def test_a_module_has_what_its_section_asks_for(self, name: str) -> None:
        section = SECTIONS[name]
        module = import_module(f"benchmarks.{name}_run")

        columns = getattr(module, f"{name.upper()}_COLUMNS")

        assert {*section.labels, *section.bars} <= set(columns)
        for what in (f"run_{name}", f"{name}_figures", f"{name}_rows"):
            assert callable(getattr(module, what))

    def test_latency_is_measured_at_the_rate_that_was_just_drained(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: dict[str, Any] = {}
        module = SimpleNamespace(
            run_latency=lambda *_, **keywords: asked.update(keywords),
            latency_figures=lambda _, kind: {"broker": kind},
        )
        monkeypatch.setattr("benchmarks.suite.import_module", lambda _: module)

        figures = SECTIONS["latency"].measure(
            NO_SETUP, QUICK, {"rounds": {"worker": {"per_s": 2000.0}}}
        )

        assert asked == {"per_s": 2000.0, "seconds": 2.0, "rounds": 1, "shares": (0.5,)}
        assert figures == {"broker": "apache"}


class TestIsExact:
    @pytest.mark.parametrize(
        ("figures", "exact"),
        [
            ({"exact": True}, True),
            ({"exact": False}, False),
            ({"worker": {"exact": False}}, False),
            ({"worker": {"exact": True}}, True),
            ({"full_rss_bytes": 1}, True),
            ({"error": "bench_stalled: Nothing happened."}, False),
        ],
    )
    def test_it_is_what_the_figures_say(self, figures: dict[str, Any], *, exact: bool) -> None:
        assert is_exact(figures) is exact


class TestPanels:
    def test_figures_become_bars(self) -> None:
        point = {"per_s": 1234.5, "bytes_per_s": 1.0, "cpu_us": 1.0, "rates": [1.0]}
        sizes = {
            "points": [
                {"kind": "x25519", "event_bytes": 4096, "peak_rss_bytes": 1, **point},
                {"kind": "p256", "event_bytes": 1024, "peak_rss_bytes": 1, **point},
            ]
        }

        (panel,) = panels_of(SECTIONS.values(), {"machine": {}, "sizes": sizes})

        assert panel.unit == "per s"
        assert [(bar.label, bar.value, bar.text) for bar in panel.bars] == [
            ("x25519, 4 KB each", 1234.0, "1234"),
            ("p256, 1 KB each", 1234.0, "1234"),
        ]

    def test_what_hookseal_is_compared_with_is_not_ours(self) -> None:
        pace = {"per_s": 10.0, "cpu_us": 1.0, "rates": [10.0]}
        names = ("worker", "reference", "bare_loop", "idle_agent")

        (panel,) = panels_of(SECTIONS.values(), {"rounds": dict.fromkeys(names, pace)})

        assert [bar.is_ours for bar in panel.bars] == [True, False, False, False]

    def test_a_section_that_failed_is_not_drawn(self) -> None:
        assert (
            panels_of(SECTIONS.values(), {"sizes": {"error": "bench_stalled: Nothing happened."}})
            == []
        )

    def test_memory_and_publishing_are_drawn(self) -> None:
        run = {
            "requests": 10,
            "errors": 0,
            "requests_per_s": 10.0,
            "events_per_s": 100.0,
            "p50_s": 0.1,
            "p99_s": 0.2,
            "cpu_us": 1.0,
            "rss_bytes": 1,
            "written": 100,
        }
        memory = {
            "waiting": 600,
            "ready_rss_bytes": 80_000_000,
            "full_rss_bytes": 90_000_000,
            "peak_rss_bytes": 100_000_000,
        }

        panels = panels_of(
            SECTIONS.values(),
            {"memory": memory, "publish": {"runs": [{"kind": kind.name, **run} for kind in KINDS]}},
        )

        assert [bar.value for bar in panels[0].bars] == [80.0, 90.0, 100.0]
        assert [bar.value for bar in panels[1].bars] == [100.0] * len(KINDS)


def test_quick_is_less_of_all() -> None:
    assert QUICK.events < FULL.events
    assert set(QUICK.points) <= {*POINTS}
    assert replace(FULL, rounds=1).turns == FULL.turns


class TestReference:
    def test_without_node_the_refusal_says_what_to_install(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))

        with pytest.raises(ConfigurationError) as refusal:
            install_reference()

        assert refusal.value.code == "node_missing"
        assert "install Node" in refusal.value.message
        assert why_no_reference(NO_SETUP.broker) == refusal.value.message

    def test_it_is_not_run_against_a_cluster_that_it_cannot_log_in_to(self) -> None:
        cluster = Cluster("localhost:1", security_protocol="SASL_SSL")

        with pytest.raises(ConfigurationError) as refusal:
            run_reference(Deployment(cluster, {}), cast("Any", None), events=1)

        assert refusal.value.code == "reference_cluster_secured"


class TestCommand:
    def test_a_subcommand_is_run_instead_of_the_benchmark(self) -> None:
        group = typer.Typer()
        group.callback(invoke_without_command=True)(bench)
        group.command("other")(lambda: typer.echo("nothing was measured"))

        result = CliRunner().invoke(group, ["other"])

        assert (result.exit_code, result.output) == (0, "nothing was measured\n")

    def test_an_error_is_one_line(self, tmp_path: Path) -> None:
        run = subprocess.run(
            [sys.executable, "-m", "benchmarks", "--smoke", "--logs", str(tmp_path)],
            cwd=Path(__file__).parents[3],
            capture_output=True,
            text=True,
            check=False,
        )

        assert (run.returncode, run.stdout) == (2, "")
        assert run.stderr.startswith("folder_not_made ")
        assert len(run.stderr.splitlines()) == 1

    def test_a_picture_of_what_has_none_is_refused_before_anything_is_measured(self) -> None:
        result = CliRunner().invoke(app, ["--log", "--svg", "figures.svg"])

        assert result.exit_code == 2
        assert "--svg" in result.output
