from __future__ import annotations

from dataclasses import replace

from benchmarks.recovery_run import (
    RECOVERY_COLUMNS,
    RecoveryRun,
    recovery_figures,
    recovery_rows,
)
from benchmarks.tenants_load import one_of_each, small_tenant
from hookseal.domain.tenant import decode, encode
from hookseal.kafka.partitioner import partition_of

COLD = RecoveryRun(
    store="memory",
    start="cold",
    tenants=1000,
    document_bytes=900_000,
    records=1006,
    refused=0,
    expected=1006,
    ready_s=4.0,
    read_s=1.25,
    ready_cpu_s=3.5,
    settled_s=5.0,
    settled_cpu_s=4.5,
    rss_bytes=150_000_000,
    peak_rss_bytes=160_000_000,
)
WARM = replace(COLD, store="rocksdb", start="warm", records=6)


class TestFigures:
    def test_tell_of_each_run_and_its_rate(self) -> None:
        figures = recovery_figures([COLD, WARM], "apache")

        assert figures["broker"] == "apache"
        assert [run["tenants_per_s"] for run in figures["runs"]] == [250.0, 250.0]
        assert [run["start"] for run in figures["runs"]] == ["cold", "warm"]
        assert figures["exact"]

    def test_a_cold_start_reads_every_record(self) -> None:
        assert not recovery_figures([replace(COLD, records=1005)], "apache")["exact"]

    def test_a_warm_start_reads_what_it_had_not(self) -> None:
        assert not recovery_figures([replace(WARM, records=1006)], "apache")["exact"]

    def test_nothing_of_ours_is_refused(self) -> None:
        assert not recovery_figures([replace(COLD, refused=1)], "apache")["exact"]


class TestRows:
    def test_have_a_cell_for_each_column(self) -> None:
        rows = recovery_rows(recovery_figures([COLD, WARM], "apache"))

        assert rows[0] == ("memory", "cold", 1000, "4.0", "1.2", 250, "3.5", "5.0", 160)
        assert [len(row) for row in rows] == [len(RECOVERY_COLUMNS)] * 2


class TestLoad:
    def test_a_tenant_of_it_is_one(self) -> None:
        tenant = small_tenant(7)

        assert decode(encode(tenant)) == tenant
        assert (len(tenant.public_keys), len(tenant.endpoints)) == (1, 1)
        assert tenant.public_keys == small_tenant(8).public_keys

    def test_each_partition_has_a_customer(self) -> None:
        found = one_of_each(6)

        assert [partition_of(customer_id, 6) for customer_id in found] == list(range(6))
