from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest
from faust.types import TP
from prometheus_client import REGISTRY

from streams.lifecycle import Gauges

if TYPE_CHECKING:
    from streams.consumer import OffsetTrackingConsumer


class FakeEnds:
    def __init__(self) -> None:
        self.ends: dict[int, int] = {}
        self.uncommitted: dict[int, int] = {}
        self.done: dict[int, int] = {}

    def highwater(self, tp: TP) -> int | None:
        return self.ends.get(tp.partition)

    def stable_end(self, tp: TP) -> int | None:
        end = self.highwater(tp)
        return None if end is None else end - self.uncommitted.get(tp.partition, 0)

    def low_watermark(self, tp: TP) -> int:
        return self.done.get(tp.partition, 0)


def consumer(ends: FakeEnds) -> OffsetTrackingConsumer:
    return cast("OffsetTrackingConsumer", ends)


def lag_of(partition: int) -> float | None:
    return REGISTRY.get_sample_value("hookseal_lag", {"partition": str(partition)})


def uncommitted_of(partition: int) -> float | None:
    return REGISTRY.get_sample_value("hookseal_uncommitted_records", {"partition": str(partition)})


def places(*partitions: int) -> set[TP]:
    return {TP("events", partition) for partition in partitions}


class TestLag:
    def test_is_what_is_not_finished(self) -> None:
        gauges, ends = Gauges(), FakeEnds()
        ends.ends, ends.done = {71: 10, 72: 5}, {71: 4, 72: 6}

        gauges.assign(places(71, 72))
        gauges.report(consumer(ends), is_recovering=False)

        assert (lag_of(71), lag_of(72)) == (6, 0)

    def test_ends_before_an_open_transaction(self) -> None:
        gauges, ends = Gauges(), FakeEnds()
        ends.ends, ends.done, ends.uncommitted = {77: 10}, {77: 4}, {77: 3}

        gauges.assign(places(77))
        gauges.report(consumer(ends), is_recovering=False)

        assert (lag_of(77), uncommitted_of(77)) == (3, 3)
        gauges.assign(set())
        assert (lag_of(77), uncommitted_of(77)) == (None, None)

    def test_that_is_not_known_yet_is_not_told(self) -> None:
        gauges = Gauges()
        gauges.assign(places(73))

        gauges.report(consumer(FakeEnds()), is_recovering=False)

        assert lag_of(73) is None

    def test_of_a_partition_that_went_is_told_by_somebody_else(self) -> None:
        gauges, ends = Gauges(), FakeEnds()
        ends.ends = {74: 10, 75: 10}
        gauges.assign(places(74, 75))
        gauges.report(consumer(ends), is_recovering=False)

        gauges.assign(places(75, 76))
        gauges.report(consumer(ends), is_recovering=False)

        assert (lag_of(74), lag_of(75)) == (None, 10)


class TestRecovery:
    def test_is_told_while_it_lasts_and_how_long_it_took(self) -> None:
        gauges, ends = Gauges(), consumer(FakeEnds())

        gauges.report(ends, is_recovering=True)
        during = REGISTRY.get_sample_value("hookseal_recovering")
        gauges.report(ends, is_recovering=True)
        gauges.report(ends, is_recovering=False)

        assert (during, REGISTRY.get_sample_value("hookseal_recovering")) == (1, 0)
        took = REGISTRY.get_sample_value("hookseal_recovery_seconds")
        assert took == pytest.approx(0, abs=10)
        gauges.report(ends, is_recovering=False)
        assert REGISTRY.get_sample_value("hookseal_recovery_seconds") == took
