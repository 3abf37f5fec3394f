from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from hookseal.delivery.tracing import Tracing
from hookseal.domain.attempt import Outcome
from hookseal.errors import ConfigurationError
from hookseal.runtime.process import tracing_to
from tests.builders import a_record, an_event
from tests.engine import Engine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.sdk.trace import ReadableSpan

    from hookseal.domain.event import Event

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


class Case:
    def __init__(self) -> None:
        self.tracing = Tracing("http://127.0.0.1:1", "test")
        self._kept = InMemorySpanExporter()
        self.tracing._provider._active_span_processor._span_processors = ()
        self.tracing._provider.add_span_processor(SimpleSpanProcessor(self._kept))

    def spans(self) -> dict[str, ReadableSpan]:
        return {span.name: span for span in self._kept.get_finished_spans()}


@pytest.fixture
def case() -> Iterator[Case]:
    made = Case()
    yield made
    made.tracing.close()


def an_event_with(traceparent: str | None) -> Event:
    headers = () if traceparent is None else (("traceparent", traceparent.encode()),)
    return an_event(a_record(None, *headers))


class TestSpans:
    @pytest.mark.parametrize(
        ("outcome", "code", "is_error"),
        [
            (Outcome(accepted=True, code="accepted", attempts=1), "accepted", False),
            (Outcome(accepted=False, code="endpoint_gone", attempts=2), "endpoint_gone", True),
            (None, "cut_off", False),
        ],
    )
    def test_of_a_delivery_say_what_became_of_it(
        self, case: Case, outcome: Outcome | None, code: str, *, is_error: bool
    ) -> None:
        trace = case.tracing.delivery(an_event_with(PARENT), "acme", "ep_1")
        trace.ended(outcome)

        span = case.spans()["hookseal.deliver"]
        assert span.attributes is not None
        assert span.attributes["hookseal.outcome"] == code
        assert (span.status.status_code is StatusCode.ERROR) is is_error
        assert format(span.context.trace_id, "032x") == PARENT.split("-")[1]

    def test_hold_no_payload_and_no_url(self, case: Case) -> None:
        event = an_event(a_record({"type": "a.b", "data": "CANARY"}))
        attempt = case.tracing.delivery(event, "acme", "ep_1").attempt(1)
        attempt.sealed(0.001)
        attempt.ended("timeout", None)

        shown = "".join(span.to_json() for span in case.spans().values())
        assert "CANARY" not in shown
        assert set(case.spans()) == {"hookseal.wait", "hookseal.seal", "hookseal.attempt"}

    @pytest.mark.parametrize("came", [None, "", "CANARY", PARENT.upper(), PARENT + "-x", "\xff"])
    def test_without_a_context_that_is_one_begin_a_trace_of_their_own(
        self, case: Case, came: str | None
    ) -> None:
        trace = case.tracing.delivery(an_event_with(came), "acme", "ep_1")
        context = trace.attempt(1).traceparent
        trace.ended(None)

        assert context is not None
        spans = case.spans()
        ids = {span.context.trace_id for span in spans.values()}
        assert {format(one, "032x") for one in ids} == {context.split("-")[1]}
        assert spans["hookseal.deliver"].parent is None

    def test_of_what_was_written_in_the_future_have_no_wait(self, case: Case) -> None:
        record = replace(a_record(), timestamp_ms=9_000_000_000_000)
        case.tracing.delivery(an_event(record), "acme", "ep_1").ended(None)

        assert set(case.spans()) == {"hookseal.deliver"}


class TestOff:
    @pytest.mark.parametrize("traceparent", [PARENT, None])
    async def test_hands_on_what_came(self, traceparent: str | None) -> None:
        engine = Engine()

        event = an_event_with(traceparent)
        await engine.deliverer.deliver(event, "acme", "ep_1", engine.context())

        (request,) = engine.transport.requests
        assert request.headers.get("traceparent") == traceparent

    def test_is_the_default(self) -> None:
        assert tracing_to("", "test") is None

    def test_needs_the_extra_only_where_it_is_asked_for(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("hookseal.delivery.tracing", "opentelemetry.sdk.resources"):
            monkeypatch.setitem(__import__("sys").modules, name, None)

        with pytest.raises(ConfigurationError) as refused:
            tracing_to("http://collector:4318", "test")

        assert refused.value.code == "extra_missing"
