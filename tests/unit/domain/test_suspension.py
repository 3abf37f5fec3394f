from __future__ import annotations

from typing import Any

import pytest

from hookseal.domain.command import (
    AddEndpoint,
    ChangeEndpoint,
    ClaimSuspension,
    EndSuspension,
    NoteDrained,
    PauseEndpoint,
    ResumeEndpoint,
    SuspendEndpoint,
    apply,
)
from hookseal.domain.endpoint import Suspension
from hookseal.domain.tenant import Tenant, decode, encode
from hookseal.domain.verdict import Blame, Judgement, Verdict, blame, suspends
from tests.builders import a_tenant, an_endpoint


def do(tenant: Tenant, kind: type, **fields: Any) -> Tenant:
    number = len(tenant.recent)
    asked = {"customer_id": "acme", "id": f"{kind.__name__}-{number}", "at": 1000.0 + number}
    after = apply(tenant, kind(**asked, endpoint_id="ep_1", **fields))
    assert after is not None
    return after


def suspension(tenant: Tenant) -> Suspension | None:
    return tenant.endpoints[0].suspension


@pytest.fixture
def suspended() -> Tenant:
    return do(a_tenant(), SuspendEndpoint, why="exhausted", owner="a", letters_from=7)


def refusal(tenant: Tenant) -> str:
    return tenant.recent[-1].code


class TestAnEndpoint:
    def test_is_suspended(self, suspended: Tenant) -> None:
        assert suspension(suspended) == Suspension(1000.0, "exhausted", "a", 7)
        assert suspended.endpoints[0].state == "suspended"
        assert suspended.revision == 2

    def test_is_suspended_once(self, suspended: Tenant) -> None:
        again = do(suspended, SuspendEndpoint, why="behind", owner="b", letters_from=9)

        assert refusal(again) == "endpoint_suspended_already"
        assert suspension(again) == suspension(suspended)

    def test_is_delivered_to_again_when_its_owner_says_so(self, suspended: Tenant) -> None:
        after = do(suspended, EndSuspension, owner="a")

        assert suspension(after) is None
        assert after.endpoints[0].state == "active"

    def test_stays_suspended_while_it_is_disabled(self, suspended: Tenant) -> None:
        disabled = do(suspended, ChangeEndpoint, enabled=False)
        enabled = do(disabled, ChangeEndpoint, enabled=True)

        assert disabled.endpoints[0].state == "disabled"
        assert enabled.endpoints[0].state == "suspended"

    @pytest.mark.parametrize(
        ("kind", "fields"), [(ResumeEndpoint, {}), (EndSuspension, {"owner": "a"})]
    )
    def test_must_be_suspended(self, kind: type, fields: dict[str, str]) -> None:
        assert refusal(do(a_tenant(), kind, **fields)) == "endpoint_not_suspended"

    def test_of_another_id_is_left_alone(self, suspended: Tenant) -> None:
        other = do(
            a_tenant("acme", an_endpoint("ep_2")),
            SuspendEndpoint,
            why="behind",
            owner="a",
            letters_from=1,
        )

        assert refusal(other) == "unknown_endpoint"

    def test_and_its_suspension_survive_the_topic(self, suspended: Tenant) -> None:
        asked = do(suspended, ResumeEndpoint)

        assert decode(encode(asked)) == asked
        assert suspension(asked) == Suspension(1000.0, "exhausted", "a", 7, 1001.0)


class TestAPausedEndpoint:
    def test_is_paused_before_a_worker_suspends_it(self) -> None:
        paused = do(a_tenant(), PauseEndpoint)
        suspended = do(paused, SuspendEndpoint, why="paused", owner="a", letters_from=7)

        assert (paused.endpoints[0].state, suspension(paused)) == ("paused", None)
        assert suspended.endpoints[0].state == "paused"
        assert decode(encode(suspended)) == suspended

    def test_is_paused_once(self) -> None:
        paused = do(a_tenant(), PauseEndpoint)

        assert do(paused, PauseEndpoint).endpoints == paused.endpoints

    def test_resumed_before_that_is_not_suspended_any_more(self) -> None:
        resumed = do(do(a_tenant(), PauseEndpoint), ResumeEndpoint)
        late = do(resumed, SuspendEndpoint, why="paused", owner="a", letters_from=7)

        assert refusal(late) == "endpoint_not_suspended"
        assert late.endpoints[0].state == "active"

    def test_resumed_has_a_backlog(self) -> None:
        paused = do(a_tenant(), PauseEndpoint)
        suspended = do(paused, SuspendEndpoint, why="paused", owner="a", letters_from=7)
        resumed = do(suspended, ResumeEndpoint)

        assert resumed.endpoints[0].state == "suspended"
        assert suspension(resumed) == Suspension(1001.0, "behind", "a", 7, 1002.0)

    def test_that_was_suspended_stays_suspended_when_resumed(self, suspended: Tenant) -> None:
        resumed = do(do(suspended, PauseEndpoint), ResumeEndpoint)

        assert suspension(resumed) == Suspension(1000.0, "exhausted", "a", 7, 1002.0)


class TestAnOwner:
    def test_is_followed_by_the_next_one(self, suspended: Tenant) -> None:
        after = do(suspended, ClaimSuspension, owner="b")

        assert suspension(after) == Suspension(1000.0, "exhausted", "b", 7)

    def test_that_was_followed_can_do_nothing_more(self, suspended: Tenant) -> None:
        claimed = do(suspended, ClaimSuspension, owner="b")
        late = do(claimed, NoteDrained, owner="a", letters_from=99)
        ended = do(claimed, EndSuspension, owner="a")

        assert suspension(late) == suspension(claimed)
        assert refusal(ended) == "suspension_taken_over"
        assert suspension(ended) == suspension(claimed)

    def test_s_notes_never_go_back(self, suspended: Tenant) -> None:
        noted = do(suspended, NoteDrained, owner="a", letters_from=9)
        older = do(noted, NoteDrained, owner="a", letters_from=8)

        assert [held.letters_from for held in (suspension(noted), suspension(older)) if held] == [
            9,
            9,
        ]

    def test_s_notes_tell_the_first_attempt_at_the_oldest_event(self, suspended: Tenant) -> None:
        noted = do(suspended, NoteDrained, owner="a", letters_from=9, attempted_at=50.0)
        newer = do(noted, NoteDrained, owner="a", letters_from=10)

        assert [held.attempted_at for held in (suspension(noted), suspension(newer)) if held] == [
            50.0,
            None,
        ]

    def test_s_notes_are_no_change_of_the_tenant_s(self, suspended: Tenant) -> None:
        """A change that the tenant sends meanwhile meets no conflict, nor loses its result."""
        after = suspended
        for number in range(100):
            after = do(after, NoteDrained, owner="a", letters_from=number)
            after = do(after, ClaimSuspension, owner="a")
        refused = do(after, ClaimSuspension, owner="a")

        assert after.revision == suspended.revision
        assert after.recent == suspended.recent == refused.recent

    def test_of_a_suspension_that_is_over_changes_nothing(self) -> None:
        tenant = a_tenant()

        assert do(tenant, ClaimSuspension, owner="a") == tenant
        assert do(tenant, NoteDrained, owner="a", letters_from=1) == tenant

    def test_does_not_make_an_endpoint_that_was_removed_and_added_anew(
        self, suspended: Tenant
    ) -> None:
        fresh = a_tenant("acme", revision=9)
        added = do(
            a_tenant("acme", an_endpoint("ep_9"), revision=9),
            AddEndpoint,
            url="https://x.test/",
            event_types=("*",),
        )

        assert suspension(do(fresh, NoteDrained, owner="a", letters_from=9)) is None
        assert added.endpoints[-1].suspension is None


class TestBlame:
    @pytest.mark.parametrize("status", [None, 301, 307, 408, 410, 425, 429])
    def test_is_the_receiver_s(self, status: int | None) -> None:
        assert blame(status) is Blame.RECEIVER

    @pytest.mark.parametrize("status", [400, 406, 409, 411, 413, 414, 415, 422, 451, 501, 505])
    def test_is_the_event_s(self, status: int) -> None:
        assert blame(status) is Blame.EVENT

    @pytest.mark.parametrize(
        "status", [401, 402, 403, 404, 405, 407, 421, 423, 500, 502, 503, 504, 507, 599]
    )
    def test_is_unclear(self, status: int) -> None:
        assert blame(status) is Blame.UNCLEAR


class TestAnExhaustedEvent:
    @pytest.mark.parametrize("status", [None, 408, 425, 429, 500, 502, 503, 504, 507])
    def test_suspends_its_endpoint_by_the_endpoint_s_fault(self, status: int | None) -> None:
        assert suspends(Judgement(Verdict.RETRY, "any"), status)

    @pytest.mark.parametrize("status", [302, 400, 401, 403, 404, 409, 422, 501, 505])
    def test_suspends_nothing_by_its_own_fault(self, status: int) -> None:
        assert not suspends(Judgement(Verdict.RETRY, "any"), status)

    def test_suspends_nothing_by_a_fault_of_ours(self) -> None:
        assert not suspends(Judgement(Verdict.RETRY, "internal_error"), None)
