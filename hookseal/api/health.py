"""Liveness, readiness and metrics."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING

from aiohttp import web
from msgspec import Struct
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from hookseal.api.operations import Access, Operation, Reply, Resource

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hookseal.api.operations import Call
    from hookseal.api.ports import Readiness

_operation = partial(Operation, tag="Health", access=Access.PUBLIC)


class Health(Struct, frozen=True):
    """The process is alive, or ready."""

    status: str = "ok"


@dataclass(frozen=True)
class HealthOperations(Resource):
    """`/healthz`, `/readyz`, `/metrics`. The process is ready when all parts are ready."""

    parts: Sequence[Readiness]

    @_operation("GET", "/healthz", returns=Health)
    async def is_alive(self, _: Call) -> Reply:
        """Return 200 while the process is alive."""
        return Reply(Health())

    @_operation(
        "GET",
        "/readyz",
        returns=Health,
        problems={HTTPStatus.SERVICE_UNAVAILABLE: ("tenants_recovering",)},
    )
    async def is_ready(self, _: Call) -> Reply:
        """Return 200 when Kafka (or the queue) is reachable and the tenants are read."""
        for part in self.parts:
            if reason := part.why_not_ready():
                raise reason
        return Reply(Health())

    @_operation("GET", "/metrics")
    async def metrics(self, _: Call) -> Reply:
        """Return metrics in the Prometheus text format."""
        return Reply(
            web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})
        )
