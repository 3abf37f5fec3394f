"""The path of one event: how many of our files it enters, how many coroutines it waits in.

Measured from `PartitionScheduler.submit` to the done offset. The engine, the HTTP transport, the
observer and the socket are real; Kafka is not there. Lower the bounds when the path gets shorter.
Do not raise them to make a change pass: flatten the change.
"""

from __future__ import annotations

import inspect
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from msgspec.structs import replace

from hookseal.delivery.ordering.keys import OrderingKeyFinder
from hookseal.delivery.ordering.offsets import OffsetTracker
from hookseal.delivery.ordering.partition import PartitionContext
from hookseal.delivery.ordering.scheduler import Limits, PartitionScheduler
from hookseal.telemetry.observer import Observer
from tests import hostile
from tests.builders import a_record, a_tenant, an_endpoint
from tests.engine import Engine
from tests.fakes import FakeGate, FakeTenants
from tests.hostile import ACCEPTED, receiving
from tests.outbound import a_transport

if TYPE_CHECKING:
    from types import FrameType

    from hookseal.domain.tenant import Tenant

REPOSITORY = Path(__file__).parents[2]
OURS = tuple(str(REPOSITORY / name) + "/" for name in ("hookseal", "agents", "streams"))

# Coroutines that await one another when the first byte goes out, the scheduler's included.
COROUTINES_MAX = 8
# Our files that one event enters.
FILES_MAX = 25
# How a log line is written depends on the logging that a process configures, in one file, and on
# whether the second on the clock is a new one, in another.
NOT_COUNTED = {"hookseal/telemetry/logs.py", "hookseal/domain/utc_time.py"}
# By the handler, before the permit, and right before the first byte.
OWNERSHIP_CHECKS_MAX = 3
# For the ordering mode, by the handler, and by the attempt.
TENANT_LOOKUPS_MAX = 3


class CountingGate(FakeGate):
    asked = 0

    @property
    def is_open(self) -> bool:
        self.asked += 1
        return super().is_open


class CountingTenants(FakeTenants):
    asked = 0

    def get(self, customer_id: str) -> Tenant | None:
        self.asked += 1
        return super().get(customer_id)


class EventPath:
    """Records each call of our code while it is entered."""

    def __init__(self) -> None:
        self.files: Counter[str] = Counter()
        self.at_socket: list[str] = []

    def __enter__(self) -> Self:
        sys.setprofile(self._profile)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)

    def _profile(self, frame: FrameType, event: str, _: Any) -> None:
        file = frame.f_code.co_filename
        if event != "call" or not file.startswith(OURS):
            return
        self.files[str(Path(file).relative_to(REPOSITORY))] += 1
        if frame.f_code.co_name == "may_start":
            # Asked right before the first byte.
            self.at_socket = _coroutines(frame)


def _coroutines(frame: FrameType | None) -> list[str]:
    found = []
    while frame is not None:
        code = frame.f_code
        if code.co_flags & inspect.CO_COROUTINE and code.co_filename.startswith(OURS):
            found.append(f"{Path(code.co_filename).stem}.{code.co_name}")
        frame = frame.f_back
    return found[::-1]


async def test_one_event_takes_a_short_path() -> None:
    async with (
        receiving(hostile.answering(ACCEPTED), keep_alive=True) as receiver,
        a_transport() as transport,
    ):
        engine = Engine(a_tenant("acme", an_endpoint(url=receiver.url())))
        engine.tenants = tenants = CountingTenants(*engine.tenants.held.values())
        engine.transport, engine.observer = _any(transport), _any(Observer())
        engine.restart()
        gate = CountingGate()
        gate.open()
        tracker = OffsetTracker()
        scheduler = PartitionScheduler(
            PartitionContext(0, clock=engine.clock, observer=engine.observer, gate=gate),
            tracker=tracker,
            work=engine.deliver,
            ordering_keys=OrderingKeyFinder("customer", engine.deliver.split),
            limits=Limits(events=10, waiting=10),
            now=engine.clock.now,
        )

        async def deliver(offset: int) -> None:
            await scheduler.submit(replace(a_record(), offset=offset))
            await scheduler.ended()

        # The first event fills the caches of keys and secrets and opens the connection.
        await deliver(0)
        gate.asked = tenants.asked = 0
        with EventPath() as path:
            await deliver(1)

    assert tracker.low_watermark == 2
    assert len(receiver.requests) == 2
    assert path.at_socket[0].endswith("._run")
    assert len(path.at_socket) <= COROUTINES_MAX, path.at_socket
    files = sorted(path.files.keys() - NOT_COUNTED)
    assert len(files) <= FILES_MAX, files
    assert gate.asked <= OWNERSHIP_CHECKS_MAX
    assert tenants.asked <= TENANT_LOOKUPS_MAX


def _any(value: Any) -> Any:
    return value
