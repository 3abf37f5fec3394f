from __future__ import annotations

from hookseal.telemetry.observer import StormWatch


class Minutes:
    """A clock in the test's hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class TestStormWatch:
    def test_tells_once_a_minute_while_it_lasts(self) -> None:
        clock = Minutes()
        watch = StormWatch(3, clock=clock)

        first = [watch.note("acme") for _ in range(5)]
        clock.now += 60
        second = [watch.note("acme") for _ in range(5)]

        assert first == second == [False, False, True, False, False]

    def test_counts_each_tenant_by_itself(self) -> None:
        watch = StormWatch(3, clock=Minutes())

        for customer_id in ("acme", "acme", "other", "acme", "other"):
            watch.note(customer_id)

        assert watch.count() == 1

    def test_is_over_when_the_minute_is(self) -> None:
        clock = Minutes()
        watch = StormWatch(1, clock=clock)
        watch.note("acme")

        clock.now += 60

        assert watch.count() == 0

    def test_is_bounded_however_many_tenants_fail(self) -> None:
        watch = StormWatch(1, clock=Minutes())

        for number in range(10_050):
            watch.note(f"c{number}")

        assert watch.count() == 10_000
