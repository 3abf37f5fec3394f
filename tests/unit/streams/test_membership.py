from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from streams.membership import Membership

if TYPE_CHECKING:
    from streams.faust_app import HooksealApp


class Group:
    """A membership of which the test says what time it is and whether it moves."""

    def __init__(self) -> None:
        self.now = 100.0
        self.rebalancing = False
        self.membership = Membership(
            30, rebalancing=lambda: self.rebalancing, monotonic=lambda: self.now
        )


class TestMembership:
    def test_is_closed_until_the_group_answers(self) -> None:
        group = Group()
        assert not group.membership.is_open

        group.membership.confirm(asked_at=group.now)

        assert group.membership.is_open

    def test_lasts_one_session_timeout_from_when_the_heartbeat_was_sent(self) -> None:
        group = Group()
        group.membership.confirm(asked_at=90)

        group.now = 119.9
        assert group.membership.is_open
        group.now = 120
        assert not group.membership.is_open

    def test_an_answer_that_comes_late_does_not_shorten_it(self) -> None:
        group = Group()
        group.membership.confirm(asked_at=100)

        group.membership.confirm(asked_at=50)
        group.now = 129

        assert group.membership.is_open

    def test_is_closed_while_partitions_are_shared_anew(self) -> None:
        group = Group()
        group.membership.confirm(asked_at=group.now)

        group.rebalancing = True

        assert not group.membership.is_open

    async def test_who_waits_goes_on_when_it_opens(self) -> None:
        group = Group()
        waiting = asyncio.create_task(group.membership.opened())
        await asyncio.sleep(0)
        assert not waiting.done()

        group.membership.confirm(asked_at=group.now)

        await asyncio.wait_for(waiting, 5)


class _Answer:
    def __init__(self, error_code: int) -> None:
        self.error_code = error_code


class HeartbeatRequest:
    """By its name is it known."""


class OffsetCommitRequest(HeartbeatRequest):
    pass


class TestHeartbeats:
    @pytest.mark.parametrize(
        ("request_", "error_code", "confirmed"),
        [
            (HeartbeatRequest(), 0, True),
            (HeartbeatRequest(), 27, True),
            (HeartbeatRequest(), 25, False),
            (HeartbeatRequest(), 22, False),
            (OffsetCommitRequest(), 0, False),
        ],
        ids=["known", "about to join", "unknown", "of an older generation", "a commit"],
    )
    async def test_confirm_membership_if_they_are_answered_well(
        self, app: HooksealApp, request_: object, error_code: int, *, confirmed: bool
    ) -> None:
        consumer = app.consumer

        async def ask(_: object) -> _Answer:
            return _Answer(error_code)

        answer = await consumer._thread.send_and_track_heartbeat(ask, request_)

        assert answer.error_code == error_code
        assert consumer.membership.is_open is confirmed
