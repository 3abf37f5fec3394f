"""Moments, their pairing with arrivals, percentiles; the receiver that notes arrivals."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from benchmarks.latency_receiver import Book, Receiver, StatusPage
from benchmarks.latency_run import (
    LATENCY_COLUMNS,
    LatencyRun,
    latencies_of,
    latency_figures,
    latency_rows,
    spread_of,
)
from benchmarks.latency_sink import TimedSink, arrivals_of
from benchmarks.open_loop import Plan, Sent, due_moments, event_id
from benchmarks.process import page_at
from benchmarks.sample import event_value

if TYPE_CHECKING:
    from pathlib import Path

PLAN = Plan(per_s=2, seconds=3, first=100, seed=1, customers=[("customer-1", 0)])
SENT = Sent(began_s=1000.0, lag_max_s=0.003, lag_p99_s=0.002)


def request(name: str, body: bytes = b"sealed") -> bytes:
    return (
        f"POST /customer-1 HTTP/1.1\r\nHost: a\r\nWebhook-Id: {name}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body


class TestDueMoments:
    def test_are_in_order_and_within_the_time(self) -> None:
        moments = due_moments(500, 4, seed=7)

        assert moments == sorted(moments)
        assert moments[0] > 0
        assert moments[-1] < 4

    def test_are_as_many_as_the_rate_asks_for(self) -> None:
        # Of a Poisson process: 20,000 and a standard deviation of 141.
        assert len(due_moments(1000, 20, seed=7)) == pytest.approx(20_000, abs=1000)

    def test_come_by_chance(self) -> None:
        moments = due_moments(1000, 20, seed=7)

        gaps = [later - sooner for sooner, later in pairwise(moments)]
        # Gaps of an exponential distribution: 1 - 1/e of them are shorter than the mean.
        assert sum(gap < 0.001 for gap in gaps) / len(gaps) == pytest.approx(0.632, abs=0.02)

    def test_of_one_seed_are_the_same_everywhere(self) -> None:
        assert due_moments(100, 1, seed=3) == due_moments(100, 1, seed=3)
        assert due_moments(100, 1, seed=3) != due_moments(100, 1, seed=4)


def test_the_id_is_the_one_in_the_event() -> None:
    assert f'"id":"{event_id(42)}"'.encode() in event_value(42)


class TestLatenciesOf:
    MOMENTS = (0.5, 1.0, 1.5, 2.5)

    def paired(self, *arrivals: tuple[float, str]) -> LatencyRun:
        return latencies_of(PLAN, self.MOMENTS, SENT, arrivals, warm_up_s=1.0)

    def test_count_from_when_an_event_was_due_and_leave_out_the_warm_up(self) -> None:
        run = self.paired(
            (1000.6, event_id(100)),
            (1001.25, event_id(101)),
            (1002.0, event_id(102)),
            (1002.5625, event_id(103)),
        )

        assert run.latencies_s == pytest.approx((0.25, 0.5, 0.0625))
        assert run.is_exact
        assert (run.events, run.arrived, run.repeats) == (4, 4, 0)

    def test_of_an_event_end_with_its_first_arrival(self) -> None:
        run = self.paired(
            (1001.5, event_id(101)), (1001.25, event_id(101)), (1009.0, event_id(101))
        )

        assert run.latencies_s == pytest.approx((0.25,))
        assert run.repeats == 2
        assert not run.is_exact

    def test_leave_out_what_did_not_arrive_but_say_so(self) -> None:
        run = self.paired((1000.6, event_id(100)), (1001.25, event_id(101)))

        assert run.latencies_s == pytest.approx((0.25,))
        assert (run.events, run.arrived) == (4, 2)
        assert not run.is_exact

    def test_know_nothing_of_another_plan(self) -> None:
        run = self.paired((1001.25, event_id(99)), (1001.25, event_id(104)))

        assert run.latencies_s == ()
        assert run.arrived == 0

    def test_of_a_worker_that_falls_behind_lower_the_rate(self) -> None:
        in_time = self.paired(*((1001.0 + n, event_id(100 + n)) for n in range(4)))
        late = self.paired(*((1009.0, event_id(100 + n)) for n in range(4)))

        assert in_time.due_per_s == late.due_per_s == 1.5
        assert in_time.arrived_per_s == pytest.approx(3 / 3)
        assert late.arrived_per_s == pytest.approx(3 / 8)


class TestSpreadOf:
    def test_has_percentiles_in_milliseconds(self) -> None:
        spread = spread_of([number / 1000 for number in range(101)])

        assert spread == pytest.approx((50, 90, 99, 100))

    def test_does_not_ask_for_order(self) -> None:
        assert spread_of([0.003, 0.001, 0.002]).p50_ms == pytest.approx(2)


def a_run(share: float, latency_s: float, *, repeats: int = 0) -> LatencyRun:
    return LatencyRun(
        due_per_s=share * 1000,
        arrived_per_s=share * 999,
        latencies_s=(latency_s,) * 10,
        events=13,
        arrived=13,
        repeats=repeats,
        sent=SENT,
        share=share,
        ordering="customer",
        machine_busy=0.8,
    )


class TestFigures:
    RUNS = (a_run(0.25, 0.002), a_run(0.5, 0.004), a_run(0.5, 0.008), a_run(0.5, 0.005))

    def test_are_medians_of_each_share(self) -> None:
        figures = latency_figures(self.RUNS, "apache")

        assert (figures["broker"], figures["ordering"]) == ("apache", "customer")
        assert figures["exact"]
        assert len(figures["runs"]) == 4
        quarter, half = figures["loads"]
        assert (quarter["share"], quarter["p99_ms"]) == (0.25, pytest.approx(2))
        assert (half["share"], half["p99_ms"]) == (0.5, pytest.approx(5))
        assert half["p99s_ms"] == pytest.approx([4, 8, 5])
        assert half["lag_max_ms"] == pytest.approx(3)

    def test_say_if_an_event_came_twice(self) -> None:
        assert not latency_figures([a_run(0.5, 0.004, repeats=1)] * 2, "apache")["exact"]

    def test_fill_the_table(self) -> None:
        rows = latency_rows(latency_figures(self.RUNS, "apache"))

        assert rows == [
            ("25%", 250, 250, "2.0", "2.0", "2.0", "2.0", "2.0", "3.0", "80%"),
            ("50%", 500, 500, "5.0", "5.0", "5.0", "5.0", "4.0, 8.0, 5.0", "3.0", "80%"),
        ]
        assert {len(row) for row in rows} == {len(LATENCY_COLUMNS)}


class Wire(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.closed = False
        self._wrote = asyncio.Event()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(bytes(data))
        self._wrote.set()

    async def answered(self) -> None:
        async with asyncio.timeout(10):
            await self._wrote.wait()

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True


def connected(book: Book, delay_s: float = 0.0) -> tuple[Receiver, Wire]:
    receiver, wire = Receiver(book, delay_s), Wire()
    receiver.connection_made(wire)
    return receiver, wire


class TestReceiver:
    def test_takes_a_request_in_pieces(self) -> None:
        book = Book(keeps=True)
        receiver, wire = connected(book)
        whole = request("evt_1")

        for place in range(len(whole) - 1):
            receiver.data_received(whole[place : place + 1])
        before = (book.count, list(wire.written))
        receiver.data_received(whole[-1:])

        assert before == (0, [])
        assert book.count == 1
        assert [name for _, name in book.notes] == [b"evt_1"]
        assert len(wire.written) == 1

    def test_takes_several_requests_at_once(self) -> None:
        book = Book(keeps=True)
        receiver, wire = connected(book)

        receiver.data_received(request("evt_1") + request("evt_2", b"") + request("evt_3")[:-1])

        assert [name for _, name in book.notes] == [b"evt_1", b"evt_2"]
        assert len(wire.written) == 2

    def test_keeps_no_notes_unless_it_is_asked_to(self) -> None:
        book = Book(keeps=False)

        connected(book)[0].data_received(request("evt_1"))

        assert (book.count, book.notes, book.text()) == (1, [], "")

    async def test_answers_after_the_delay_not_at_once(self) -> None:
        receiver, wire = connected(Book(keeps=False), delay_s=0.001)

        receiver.data_received(request("evt_1"))

        assert wire.written == []
        await wire.answered()
        assert wire.written[0].startswith(b"HTTP/1.1 200 ")

    async def test_does_not_answer_who_hung_up(self) -> None:
        book = Book(keeps=False)
        receiver, wire = connected(book, delay_s=0.001)
        other, still_there = connected(book, delay_s=0.002)

        receiver.data_received(request("evt_1"))
        wire.close()
        other.data_received(request("evt_2"))

        await still_there.answered()
        assert wire.written == []
        assert book.count == 2


def test_the_status_page_says_how_many_came() -> None:
    book, wire = Book(keeps=False), Wire()
    connected(book)[0].data_received(request("evt_1"))
    page = StatusPage(book)
    page.connection_made(wire)

    page.data_received(b"GET / HTTP/1.1\r\n\r\n")

    assert wire.written[0].endswith(b"\r\n\r\n1")
    assert wire.closed


def test_notes_are_read_as_they_were_written() -> None:
    book = Book(keeps=True)
    book.notes += [(12.125, b"evt_1"), (13.0, b"evt_2")]

    assert arrivals_of(book.text().splitlines()) == [(12.125, "evt_1"), (13.0, "evt_2")]


class TestTimedSink:
    def test_counts_and_notes_in_a_process_of_its_own(self, tmp_path: Path) -> None:
        with TimedSink(tmp_path, notes=True) as sink:
            before = sink.received()
            pages = [page_at(sink.port, "/customer-1") for _ in range(3)]
            received = sink.received()

        assert (before, received) == (0, 3)
        # Whatever is asked for, it accepts. No request had an event id to be noted.
        assert pages == ["", "", ""]
        assert sink.arrivals() == []

    def test_spreads_customers_over_hosts_always_in_the_same_way(self, tmp_path: Path) -> None:
        hosts = ["127.0.0.1", "127.0.0.2", "127.0.0.3"]
        sink = TimedSink(tmp_path, hosts=hosts)

        urls = [sink.url(f"customer-{number}") for number in range(100)]

        assert urls == [sink.url(f"customer-{number}") for number in range(100)]
        assert {url.split(":")[1].strip("/") for url in urls} == set(hosts)
