from __future__ import annotations

import structlog
from prometheus_client import REGISTRY

from hookseal.domain.attempt import Attempt
from hookseal.domain.dead_letter import DeadLetter
from hookseal.telemetry.observer import Observer, write_failure_counter
from tests.builders import a_record, an_event


def value_of(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def a_letter(reason: str) -> DeadLetter:
    return DeadLetter(a_record(), reason, "It failed.", "evt_7", 1.0, key=b"acme")


class AttemptNotes:
    """Keeps which attempts it was told of."""

    def __init__(self) -> None:
        self.noted: list[tuple[str, int]] = []

    def attempted(self, event: object, customer_id: str, attempt: Attempt) -> None:
        self.noted.append((customer_id, attempt.number))


class TestDeadLetters:
    def test_count_under_whose_they_are_to_mend(self) -> None:
        labels = {"reason": "misrouted", "category": "platform"}
        before = value_of("hookseal_dead_letters_total", **labels)

        Observer().buried(a_letter("misrouted"))

        assert value_of("hookseal_dead_letters_total", **labels) == before + 1

    def test_that_cannot_be_written_are_held_until_they_are(self) -> None:
        failures = value_of("hookseal_dead_letter_write_failures_total")
        observer = Observer()

        observer.bury_failed(1)
        observer.bury_failed(2)
        assert value_of("hookseal_dead_letter_writes_held") == 1
        observer.bury_ended()

        assert value_of("hookseal_dead_letter_writes_held") == 0
        assert value_of("hookseal_dead_letter_write_failures_total") == failures + 2

    def test_of_one_tenant_in_great_number_are_a_storm(self) -> None:
        observer = Observer(storm_per_minute=3)

        for _ in range(2):
            observer.buried(a_letter("endpoint_disabled"))
        assert value_of("hookseal_tenants_in_storm") == 0
        observer.buried(a_letter("endpoint_disabled"))

        assert value_of("hookseal_tenants_in_storm") == 1


class TestAttempts:
    def test_are_noted_one_by_one(self) -> None:
        notes = AttemptNotes()
        observer = Observer(attempts=notes)

        observer.attempted(an_event(), "acme", Attempt("ep_1", 2, 5, "http_503", 503, 0.1, "key-1"))

        assert notes.noted == [("acme", 2)]


class TestWriteFailures:
    def test_of_a_topic_begin_at_0_and_count_by_code(self) -> None:
        count = write_failure_counter(["t1", "t2"])

        count("t1", "record_refused")
        count("t1", "publish_failed")

        name = "hookseal_write_failures_total"
        assert REGISTRY.get_sample_value(name, {"topic": "t2", "code": "record_refused"}) == 0
        assert value_of(name, topic="t1", code="record_refused") == 1
        assert value_of(name, topic="t1", code="publish_failed") == 1


class TestShortages:
    def test_are_counted_and_logged_at_once_then_once_a_minute(self) -> None:
        now = [1000.0]
        observer = Observer(monotonic=lambda: now[0])
        labels = {"resource": "descriptors"}
        before = value_of("hookseal_resource_exhausted_total", **labels)

        with structlog.testing.capture_logs() as lines:
            for at_s in (0, 1, 59, 60, 61, 119.9, 121):
                now[0] = 1000 + at_s
                observer.resource_exhausted("descriptors")
            observer.resource_exhausted("ports")

        assert value_of("hookseal_resource_exhausted_total", **labels) == before + 7
        assert [(line["resource"], line["requests"]) for line in lines] == [
            ("descriptors", 1),
            ("descriptors", 3),
            ("descriptors", 3),
            ("ports", 1),
        ]
        assert all(line["event"] == "delivery.resource_exhausted" for line in lines)
        assert "ulimit" in lines[0]["hint"]
