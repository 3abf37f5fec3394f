"""Liveness, readiness and metrics."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from aiohttp import web
from msgspec import Struct
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from hookseal.api.operations import Access, Operation, Reply
from hookseal.api.problems import problem_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hookseal.api.operations import Call
    from hookseal.api.ports import Readiness

_TAG = "Health"


class Health(Struct, frozen=True):
    """Fine."""

    status: str = "ok"


class HealthOperations:
    """`/healthz`, `/readyz`, `/metrics`.

    Ready when all parts are ready.
    """

    def __init__(self, parts: Sequence[Readiness]) -> None:
        self._parts = parts

    def operations(self) -> Sequence[Operation]:
        return (
            Operation(
                "GET",
                "/healthz",
                "isAlive",
                "Whether the process lives.",
                _TAG,
                self._alive,
                access=Access.PUBLIC,
                returns=Health,
            ),
            Operation(
                "GET",
                "/readyz",
                "isReady",
                "Whether Kafka, or the queue in its place, is reachable and the tenants are known.",
                _TAG,
                self._ready,
                access=Access.PUBLIC,
                returns=Health,
                problems={HTTPStatus.SERVICE_UNAVAILABLE: ("tenants_recovering",)},
            ),
            Operation(
                "GET",
                "/metrics",
                "metrics",
                "Metrics in Prometheus' text format.",
                _TAG,
                self._metrics,
                access=Access.PUBLIC,
            ),
        )

    async def _alive(self, _: Call) -> Reply:
        return Reply(Health())

    async def _ready(self, _: Call) -> Reply:
        for part in self._parts:
            if reason := part.why_not_ready():
                raise problem_of(reason)
        return Reply(Health())

    async def _metrics(self, _: Call) -> Reply:
        return Reply(
            web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})
        )
