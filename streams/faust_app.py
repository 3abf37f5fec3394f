"""The Faust application: checks its topics at the start, and ends running attempts at a stop."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import faust
import structlog
from mode.utils.objects import cached_property

from hookseal.errors import BrokerError, HooksealError
from streams.consumer import OffsetTrackingTransport
from streams.fast_path.partition_queue import PartitionQueue
from streams.faust_patches.byte_pressure import ByteBoundedQueue
from streams.faust_patches.flow_control import KeepingFlowControl
from streams.faust_patches.no_web import WithoutWeb

if TYPE_CHECKING:
    from streams.lifecycle import Lifecycle

_log = structlog.stdlib.get_logger("hookseal.worker")
# Of sysexits.h. With the first, starting again will not help; with the second it may.
_EX_CONFIG = 78
_EX_UNAVAILABLE = 69


class HooksealApp(faust.App):
    """A Faust application that starts and stops what its agents need.

    Attributes:
        lifecycle: What is started before, and let go of after, the agents.
        fetch_max_wait_s: Seconds that brokers gather records before they answer a fetch.
        fast_path: Whether the speed-ups of `streams/fast_path` are on.
    """

    BootStrategy = WithoutWeb
    lifecycle: Lifecycle
    fetch_max_wait_s: float
    fast_path = True

    @cached_property
    def flow_control(self) -> KeepingFlowControl:
        """The switch between the consumer and the queues."""
        return KeepingFlowControl(loop=self.loop)

    def FlowControlQueue(  # noqa: N802 - Faust's name
        self, maxsize: int | None = None, *, clear_on_resume: bool = False
    ) -> ByteBoundedQueue:
        """Return a queue for whatever Faust needs one for."""
        queue = PartitionQueue if self.fast_path else ByteBoundedQueue
        return queue(
            maxsize=maxsize or 0, flow_control=self.flow_control, clear_on_resume=clear_on_resume
        )

    def _new_transport(self) -> Any:
        return OffsetTrackingTransport(self.conf.broker_consumer, self)

    async def on_first_start(self) -> None:
        """Refuse to start on topics that do not fit; connect what the agents need."""
        await super().on_first_start()
        try:
            await self.lifecycle.start()
        except HooksealError as error:
            raise self.refused(error) from None

    def refused(self, error: HooksealError) -> SystemExit:
        """Log why the worker ends; return what ends it: 69 if a broker is away, else 78."""
        _log.critical(
            "worker.start_failed", code=error.code, field=error.field, message=error.message
        )
        sys.stderr.flush()
        retry = isinstance(error, BrokerError)
        return SystemExit(_EX_UNAVAILABLE if retry else _EX_CONFIG)

    async def on_stop(self) -> None:
        """Let running attempts end, then stop reading and commit."""
        await self.lifecycle.shutdown()
        await super().on_stop()

    async def on_shutdown(self) -> None:
        """Disconnect what the agents needed."""
        await super().on_shutdown()
        await self.lifecycle.close()
