"""What is changed about Faust, each beside what Faust does by itself."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from faust.transport.conductor import Conductor
from mode import Service
from mode.supervisors import OneForOneSupervisor
from mode.utils.queues import FlowControlEvent, FlowControlQueue

from streams.faust_patches.actor_restarts import RebalanceSafeSupervisor
from streams.faust_patches.flow_control import KeepingFlowControl
from streams.faust_patches.static_subscription import StaticSubscriptionConductor

if TYPE_CHECKING:
    from faust import TopicT

    from streams.faust_app import HooksealApp


async def queued_after_resume(flow_control: FlowControlEvent) -> int:
    queue: FlowControlQueue[int] = FlowControlQueue(
        10, flow_control=flow_control, clear_on_resume=True
    )
    flow_control.resume()
    queue.put_nowait(1)
    flow_control.resume()
    return queue.qsize()


class TestFlowControl:
    async def test_faust_empties_the_queues_when_the_flow_is_resumed(self) -> None:
        assert await queued_after_resume(FlowControlEvent()) == 0

    async def test_ours_keeps_them(self) -> None:
        assert await queued_after_resume(KeepingFlowControl()) == 1

    async def test_what_is_stale_is_still_cleared_on_revocation(self) -> None:
        flow_control = KeepingFlowControl()
        queue: FlowControlQueue[int] = FlowControlQueue(
            10, flow_control=flow_control, clear_on_resume=True
        )
        queue.put_nowait(1)

        flow_control.clear()

        assert queue.empty()

    async def test_the_application_uses_it(self, app: HooksealApp) -> None:
        assert isinstance(app.flow_control, KeepingFlowControl)


class TestConductor:
    async def subscription_changes(self, conductor: Conductor, app: HooksealApp) -> bool:
        topic: TopicT = app.topic("events")
        conductor._topics.add(topic)
        conductor._subscription_changed = asyncio.Event()
        conductor.discard(topic)
        assert topic not in conductor
        return conductor._subscription_changed.is_set()

    async def test_faust_s_subscribes_anew_when_an_actor_ends(self, app: HooksealApp) -> None:
        assert await self.subscription_changes(Conductor(app), app)

    async def test_ours_leaves_the_subscription_alone(self, app: HooksealApp) -> None:
        assert not await self.subscription_changes(StaticSubscriptionConductor(app), app)

    async def test_the_application_uses_it(self, app: HooksealApp) -> None:
        assert isinstance(app.topics, StaticSubscriptionConductor)


class _Actor(Service):
    pass


class TestSupervisor:
    async def restarts_until_it_gives_up(self, kind: type[OneForOneSupervisor]) -> int:
        # As Faust makes it: `faust/agents/agent.py`, `_new_supervisor`.
        supervisor = kind(max_restarts=100.0, over=1.0)
        for count in range(50):
            actor = _Actor()
            try:
                await supervisor.restart_service(actor)
            except SystemExit:
                return count
        return 50

    async def test_mode_s_gives_up_after_a_few_crashes(self) -> None:
        # One, unless the machine is so busy that time passes between them.
        assert await self.restarts_until_it_gives_up(OneForOneSupervisor) < 50

    async def test_ours_has_the_budget_it_says(self) -> None:
        assert await self.restarts_until_it_gives_up(RebalanceSafeSupervisor) == 50

    async def test_a_stopped_actor_stays_stopped(self) -> None:
        actor = _Actor()
        actor._crash(RuntimeError("cancelled"))
        assert not RebalanceSafeSupervisor(max_restarts=100.0, over=1.0).service_operational(actor)

        actor._stopped.set()

        assert RebalanceSafeSupervisor(max_restarts=100.0, over=1.0).service_operational(actor)


class TestSettings:
    def test_a_fetched_batch_fits_into_a_queue_at_high_water(self, app: HooksealApp) -> None:
        size = app.conf.stream_buffer_maxsize
        high_water = size / FlowControlQueue.pressure_high_ratio

        assert high_water + (app.conf.broker_max_poll_records or size) <= size

    def test_the_web_server_stays_off_whatever_the_command_line_says(
        self, app: HooksealApp
    ) -> None:
        app.conf.web_enabled = True

        assert not app.boot_strategy._should_enable_web()
