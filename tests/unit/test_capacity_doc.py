"""What `docs/capacity.md` says is what is computed, and its advice holds."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hookseal.bench.capacity import UTILISATION
from hookseal.bench.capacity_blocks import plan
from hookseal.bench.capacity_bounds import fullest
from hookseal.bench.capacity_bytes import BROKER_PRODUCED_BYTES_PER_S, BROKER_REPLICAS_MAX
from hookseal.bench.capacity_page import BLOCKS, renewed
from hookseal.bench.capacity_table import PARTITIONS_MAX, demands, plan_for
from hookseal.bench.sim_blocks import NOT_MEASURED, Case, runs, wait
from hookseal.config import Settings
from hookseal.errors import ConfigurationError
from hookseal.outbound.client import CONNECTIONS, CONNECTIONS_PER_HOST, IDLE_S

if TYPE_CHECKING:
    from hookseal.bench.simulation import Waits
    from hookseal.delivery.lanes.turns import Ordering

PAGE = Path(__file__).parents[2] / "docs" / "capacity.md"


class TestPage:
    def test_says_what_is_computed(self) -> None:
        page = PAGE.read_text()

        assert renewed(page) == page, (
            "write it anew: `hookseal bench simulate --plan --markdown docs/capacity.md`"
        )

    def test_has_each_block_once(self) -> None:
        assert sorted(re.findall("<!-- begin: (.*) -->", PAGE.read_text())) == sorted(BLOCKS)

    def test_has_a_row_for_each_demand(self) -> None:
        lines = plan().splitlines()[4:]

        for line, demand in zip(lines, demands(), strict=True):
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            found = plan_for(demand)
            assert cells[2] == f"`{demand.ordering}`"
            assert cells[3:6] == [
                f"{n:,}" for n in (found.partitions, found.workers, found.customers)
            ]

    def test_knows_how_many_partitions_there_may_be(self) -> None:
        (most,) = [
            bound.le
            for bound in Settings.model_fields["partitions"].metadata
            if hasattr(bound, "le")
        ]

        assert most == PARTITIONS_MAX

    def test_says_what_is_not_a_setting_as_it_is(self) -> None:
        page = " ".join(PAGE.read_text().split())

        assert f"{CONNECTIONS:,} connections besides" in page
        assert f"a process has {CONNECTIONS_PER_HOST} of them" in page
        assert f"idle for more than {IDLE_S:.0f} s" in page
        assert f"{BROKER_PRODUCED_BYTES_PER_S / 1e6:.0f} MB/s written by clients" in page
        assert f"{BROKER_REPLICAS_MAX:,} replicas on each" in page
        assert f"{PARTITIONS_MAX:,} that `HOOKSEAL_PARTITIONS` takes" in page
        assert f"is in use, {UTILISATION} on this page" in page


class TestRenewed:
    def test_leaves_alone_what_is_not_between_marks(self) -> None:
        page = "before\n<!-- begin: rates -->\nold\n<!-- end: rates -->\nafter\n"

        made = renewed(page)

        assert made.startswith("before\n<!-- begin: rates -->\n\nWebhooks a second")
        assert made.endswith("|\n\n<!-- end: rates -->\nafter\n")
        assert "old" not in made
        assert renewed(made) == made

    def test_keeps_what_was_measured(self) -> None:
        first = runs("")
        line = next(line for line in first.splitlines() if "`--scale`, 2" in line)

        again = runs(first.replace(line, line.replace(NOT_MEASURED, "1,234 (one machine)")))

        assert again.count(NOT_MEASURED) == first.count(NOT_MEASURED) - 1
        assert again == first.replace(line, line.replace(NOT_MEASURED, "1,234 (one machine)"))

    @pytest.mark.parametrize(
        "page", ["no marks", "<!-- begin: other -->\n<!-- end: other -->"], ids=["none", "unknown"]
    )
    def test_refuses_a_page_without_its_marks(self, page: str) -> None:
        with pytest.raises(ConfigurationError, match="marks_missing"):
            renewed(page)


class TestAdvice:
    """As in "How full a partition may be": 1,000 webhooks a second at 50 ms."""

    @pytest.mark.parametrize(("times", "full", "late_s"), [(1, 1.0, 1.0), (10, 0.9, 0.35)])
    def test_few_customers_by_hash_are_too_many_for_some_partition(
        self, times: int, full: float, late_s: float
    ) -> None:
        used, found = a_wait("partition", times, 0.6)

        assert used > full
        assert found.p99_s > late_s

    def test_some_partition_has_four_customers_where_there_is_one_for_each(self) -> None:
        used, _ = a_wait("partition", 1, 0.6)

        assert used / 0.6 == pytest.approx(4, rel=0.02)

    @pytest.mark.parametrize(("times", "utilisation"), [(100, 0.6), (100, 0.3), (10, 0.3)])
    def test_many_customers_or_half_as_full_are_not(self, times: int, utilisation: float) -> None:
        used, found = a_wait("partition", times, utilisation)

        assert used < 0.8
        assert found.p99_s < 0.35

    @pytest.mark.parametrize("ordering", ["customer", "unordered"])
    def test_lines_of_their_own_need_no_more_than_that_there_are_enough(
        self, ordering: Ordering
    ) -> None:
        used, found = a_wait(ordering, 1, 0.6)

        assert used < 0.8
        assert found.p99_s < 0.35

    @pytest.mark.parametrize(("utilisation", "latencies"), [(0.6, 5), (0.3, 3)])
    def test_a_line_s_chance_costs_some_latencies(
        self, utilisation: float, latencies: float
    ) -> None:
        _, found = a_wait("customer", 1, utilisation)

        assert found.p99_s / 0.05 == pytest.approx(latencies, rel=0.1)


def a_wait(ordering: Ordering, times: int, utilisation: float) -> tuple[float, Waits]:
    model, found = wait(Case(ordering, "hashed", times, utilisation))
    return fullest(model, 1000), found
