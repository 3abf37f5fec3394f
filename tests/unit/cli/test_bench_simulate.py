from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
import pytest
import typer
from typer.testing import CliRunner

from hookseal.bench.capacity_blocks import PRICES
from hookseal.bench.capacity_bytes import Assumptions
from hookseal.bench.capacity_table import demands, plan_figures
from hookseal.cli.bench_simulate import simulate
from hookseal.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

app = typer.Typer()
app.command()(simulate)


@pytest.fixture(autouse=True)
def _defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ORDERING", "PARTITIONS", "MAX_IN_FLIGHT", "COMMIT_INTERVAL_S"):
        monkeypatch.delenv(f"HOOKSEAL_{name}", raising=False)


def say(*arguments: str) -> str:
    """Return what the command prints."""
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def table(*arguments: str) -> dict[str, list[str]]:
    """Return the cells of its table, by the first of each row."""
    head, *lines = say(*arguments).splitlines()
    at, then = head.index("simulated"), head.index("formula")
    return {line[:at].strip(): [line[at:then].strip(), line[then:].strip()] for line in lines}


def figures(folder: Path, *arguments: str) -> Any:
    """Return what the command writes."""
    say(*arguments, "--json", str(folder / "figures.json"))
    return orjson.loads((folder / "figures.json").read_bytes())


class TestSimulation:
    def test_drains_what_is_there_and_says_what_binds(self) -> None:
        found = table("--events", "2000", "--even", "--cpu-us", "400", "--latency-ms", "49.6")

        assert found["webhooks per s"] == ["120", "120"]
        assert found["CPU us each"] == ["400", "400"]
        assert found["bound first by"] == ["", "lines"]
        assert found["CPU, per s"] == ["", "2,500"]

    def test_says_how_long_events_take_at_a_rate(self) -> None:
        each = ("--latency-ms", "49.6", "--cpu-us", "400", "--events", "1000")

        found = table("--rate", "100", "--ordering", "unordered", *each)

        assert found["p50 ms"][0] == "50.0"
        assert found["webhooks per s"] == ["100", "at most 2,500"]
        assert found["left at the end"][1] == "from 5"

    def test_says_so_where_more_comes_than_goes(self) -> None:
        found = table("--rate", "1000", "--events", "1000")

        assert found["left at the end"][1] == "grows"
        assert int(found["left at the end"][0]) > 500

    def test_says_so_where_one_partition_has_more_than_it_carries(self, tmp_path: Path) -> None:
        asked = ("--rate", "1000", "--partitions", "84", "--customers", "84", "--events", "1000")

        hashed, even = figures(tmp_path, *asked), figures(tmp_path, *asked, "--even")

        assert hashed["per_s"] < hashed["formula"]["per_s"]
        assert hashed["formula"]["fullest"] > 1 > even["formula"]["fullest"]
        assert hashed["simulated"]["p99_s"] > even["simulated"]["p99_s"]

    def test_fails_attempts_and_spreads_latencies_where_that_is_asked_for(
        self, tmp_path: Path
    ) -> None:
        asked = ("--events", "500", "--ordering", "unordered", "--failing", "0.3", "--spread")

        found = figures(tmp_path, *asked)

        assert found["simulated"]["attempts"] > 500
        assert found["model"]["spread"] == "exponential"
        assert found["formula"]["dead_letters"] == pytest.approx(500 * 0.3**5)

    def test_of_one_seed_is_always_the_same(self, tmp_path: Path) -> None:
        asked = ("--rate", "100", "--events", "500", "--seed")

        assert figures(tmp_path, *asked, "7") == figures(tmp_path, *asked, "7")
        assert figures(tmp_path, *asked, "7") != figures(tmp_path, *asked, "8")

    def test_takes_the_shell_s_settings(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HOOKSEAL_ORDERING", "customer")
        monkeypatch.setenv("HOOKSEAL_MAX_IN_FLIGHT", "5")
        monkeypatch.setenv("HOOKSEAL_PARTITIONS", "3")

        model = figures(tmp_path, "--events", "500")["model"]

        assert (model["ordering"], model["partitions"]) == ("customer", 3)
        assert model["bounds"]["at_a_time"] == 5

    def test_refuses_settings_that_are_none(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HOOKSEAL_PARTITIONS", "none")

        with pytest.raises(ConfigurationError, match="HOOKSEAL_PARTITIONS"):
            say("--events", "500")


class TestPlan:
    def test_has_a_row_for_each_rate_latency_and_order(self) -> None:
        lines = say("--plan").splitlines()

        assert len(lines) == 1 + 4 * 2 * 3
        assert lines[-1].split()[:3] == ["1000000", "200", "unordered"]

    def test_takes_the_page_s_defaults(self, tmp_path: Path) -> None:
        found = figures(tmp_path, "--plan")

        expected = plan_figures(demands(), PRICES, Assumptions())
        assert found["plans"] == orjson.loads(orjson.dumps(expected))

    def test_of_a_rate_is_for_that(self, tmp_path: Path) -> None:
        asked = ("--rate", "5000", "--latency-ms", "120", "--ordering", "customer")

        (found,) = figures(tmp_path, "--plan", *asked, "--cpu-us", "400")["plans"]

        assert (found["per_s"], found["ordering"]) == (5000, "customer")
        assert (found["workers"], found["partitions"]) == (4, 32)
        assert found["customers"] == 1004

    def test_counts_with_other_prices_and_sizes(self, tmp_path: Path) -> None:
        asked = ("--rate", "1000", "--latency-ms", "50", "--ordering", "customer")
        one = ("--plan", *asked, "--cpu-us", "250")
        prices = ("--vcpu-hour", "3.6", "--egress-gb", "0", "--broker-vcpus", "8")

        small = figures(tmp_path, *one)
        dear = figures(tmp_path, *one, *prices, "--event-bytes", "100000")

        assert dear["plans"][0]["per_million"] == {"machines": pytest.approx(25), "egress": 0}
        assert dear["plans"][0]["traffic"]["egress"] > 50 * small["plans"][0]["traffic"]["egress"]


class TestMarkdown:
    def test_renews_a_page_between_its_marks(self, tmp_path: Path) -> None:
        page = tmp_path / "page.md"
        page.write_text("Before\n<!-- begin: plan -->\n<!-- end: plan -->\n")

        say("--plan", "--markdown", str(page))

        assert page.read_text().startswith("Before\n<!-- begin: plan -->\n\nCPU of a webhook")
        assert "| 1,000,000 | 200 ms | `unordered` |" in page.read_text()

    def test_refuses_a_page_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigurationError, match="file_not_read"):
            say("--markdown", str(tmp_path / "none.md"))
