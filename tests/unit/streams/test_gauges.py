from __future__ import annotations

import pytest
from faust.types import TP
from prometheus_client import REGISTRY

from streams.gauges import Lag, Recovery


class FakeEnds:
    def __init__(self) -> None:
        self.ends: dict[int, int] = {}
        self.done: dict[int, int] = {}

    def highwater(self, tp: TP) -> int | None:
        return self.ends.get(tp.partition)

    def low_watermark(self, tp: TP) -> int:
        return self.done.get(tp.partition, 0)


def lag_of(partition: int) -> float | None:
    return REGISTRY.get_sample_value("hookseal_lag", {"partition": str(partition)})


def places(*partitions: int) -> set[TP]:
    return {TP("events", partition) for partition in partitions}


class TestLag:
    def test_is_what_is_not_finished(self) -> None:
        lag, ends = Lag(), FakeEnds()
        ends.ends, ends.done = {71: 10, 72: 5}, {71: 4, 72: 6}

        lag.now_of(ends, places(71, 72))
        lag.report()

        assert (lag_of(71), lag_of(72)) == (6, 0)

    def test_that_is_not_known_yet_is_not_told(self) -> None:
        lag = Lag()
        lag.report()
        lag.now_of(FakeEnds(), places(73))

        lag.report()

        assert lag_of(73) is None

    def test_of_a_partition_that_went_is_told_by_somebody_else(self) -> None:
        lag, ends = Lag(), FakeEnds()
        ends.ends = {74: 10, 75: 10}
        lag.now_of(ends, places(74, 75))
        lag.report()

        lag.now_of(ends, places(75, 76))
        lag.report()

        assert (lag_of(74), lag_of(75)) == (None, 10)


class TestRecovery:
    def test_is_told_while_it_lasts_and_how_long_it_took(self) -> None:
        recovery = Recovery()

        recovery.report(is_recovering=True)
        during = REGISTRY.get_sample_value("hookseal_recovering")
        recovery.report(is_recovering=True)
        recovery.report(is_recovering=False)

        assert (during, REGISTRY.get_sample_value("hookseal_recovering")) == (1, 0)
        took = REGISTRY.get_sample_value("hookseal_recovery_seconds")
        assert took == pytest.approx(0, abs=10)
        recovery.report(is_recovering=False)
        assert REGISTRY.get_sample_value("hookseal_recovery_seconds") == took
