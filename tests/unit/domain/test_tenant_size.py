"""The budget of a tenant's whole document."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from hookseal.domain.command import (
    AddApiKey,
    AddEndpoint,
    AddPublicKey,
    ChangeEndpoint,
    ClaimSuspension,
    Command,
    CreateTenant,
    DisableTenant,
    NoteDrained,
    RemoveEndpoint,
    RewriteTenant,
    RotateSecret,
    SuspendEndpoint,
    apply,
    command_result,
    decode,
    encode,
)
from hookseal.domain.conflicts import ENDPOINTS_MAX, PUBLIC_KEYS_MAX
from hookseal.domain.tenant import (
    DOCUMENT_HARD_MAX_BYTES,
    DOCUMENT_MAX_BYTES,
    RECENT_COMMANDS,
    RECENT_MAX_BYTES,
    ApiKey,
    CommandResult,
    PublicKey,
    Tenant,
    document_bytes,
)
from hookseal.errors import ConflictError, InvalidCommandError
from tests.builders import a_registry, a_tenant, an_endpoint

BROKER_MAX_BYTES = 1024 * 1024
# What an endpoint may ask for in a request of 64 KiB.
EVENT_TYPES = tuple(f"{number:06}." + "x" * 239 for number in range(100))


def of(kind: type, **fields: Any) -> Any:
    return kind(**{"customer_id": "acme", "id": "c", "at": 1.0, **fields})


def adding(number: int, **fields: Any) -> Command:
    adds: Command = of(
        AddEndpoint,
        id=f"add-{number}",
        **{
            "endpoint_id": f"ep_{number}",
            "url": "https://hooks.acme.test/",
            "event_types": EVENT_TYPES,
            **fields,
        },
    )
    return adds


def filled(event_types: tuple[str, ...] = EVENT_TYPES) -> Tenant:
    """Return a tenant with all the endpoints, of these event types each, that it may have."""
    held = a_tenant()
    for number in range(2, ENDPOINTS_MAX + 1):
        after = apply(held, adding(number, event_types=event_types))
        assert after is not None
        if after.result_of(f"add-{number}") == "tenant_too_large":
            break
        held = after
    return held


def brimming(event_types: tuple[str, ...] = EVENT_TYPES) -> Tenant:
    """Return a tenant with not a byte of its budget left."""
    held = filled(event_types)
    first = held.endpoints[0]
    room = DOCUMENT_MAX_BYTES - document_bytes(held) - len(',"description":""')
    padded = replace(first, description="d" * room)
    held = replace(held, endpoints=(padded, *held.endpoints[1:]))
    assert document_bytes(held) == DOCUMENT_MAX_BYTES
    return held


class TestDocumentBytes:
    @pytest.mark.parametrize(
        "tenant",
        [
            a_tenant(),
            a_tenant("acme", an_endpoint(headers={"X-Token": "s3cret", "X-Empty": ""})),
            a_tenant("acme", *(an_endpoint(f"e{n}", headers={"A": "x" * n}) for n in range(9))),
            a_tenant("acmé", an_endpoint(description='tab\t "quoted" \u2028 \x01')),
        ],
    )
    def test_is_what_stands_on_the_changelog(self, tenant: Tenant) -> None:
        assert document_bytes(tenant) == len(a_registry().document(tenant))

    def test_leaves_out_the_recent_commands(self) -> None:
        noted = a_tenant().noting(CommandResult("c", "ok"))

        assert document_bytes(noted) == document_bytes(a_tenant())

    def test_the_recent_commands_have_a_bound_of_their_own(self) -> None:
        tenant = a_tenant()
        for number in range(RECENT_COMMANDS + 1):
            result = CommandResult(f"{number:03}" + "\x01" * 125, "c" * 64, "\x01" * 64)
            tenant = tenant.noting(result)

        added = len(a_registry().document(tenant)) - document_bytes(tenant)

        assert added <= RECENT_MAX_BYTES
        assert DOCUMENT_HARD_MAX_BYTES + RECENT_MAX_BYTES < BROKER_MAX_BYTES * 0.9


class TestBudget:
    def test_endpoints_within_all_other_limits_are_refused_with_a_code(self) -> None:
        held = filled()

        after = apply(held, adding(49))

        assert after is not None
        assert after == replace(held, recent=after.recent)
        assert after.result_of("add-49") == "tenant_too_large"
        assert len(a_registry().document(after)) < DOCUMENT_MAX_BYTES + RECENT_MAX_BYTES

    def test_its_sender_reads_the_size_the_limit_and_what_to_remove(self) -> None:
        tenant = apply(filled(), adding(49))

        with pytest.raises(ConflictError) as refused:
            command_result(tenant, adding(49))

        assert tenant is not None
        assert refused.value.code == "tenant_too_large"
        assert f"{document_bytes(tenant):,}" in refused.value.message
        assert f"{DOCUMENT_MAX_BYTES:,}" in refused.value.message
        assert "largest endpoint is ep_" in refused.value.message
        assert "x" * 20 not in refused.value.message

    def test_headers_count_as_they_are_stored(self) -> None:
        headers = {f"X-{number}": "v" * 1024 for number in range(20)}
        tenant: Tenant | None = a_tenant()
        for number in range(2, 22):
            tenant = apply(tenant, adding(number, event_types=("*",), headers=headers))

        assert tenant is not None
        assert {result.code for result in tenant.recent} == {"ok", "tenant_too_large"}
        assert document_bytes(tenant) <= DOCUMENT_MAX_BYTES
        assert len(a_registry().document(replace(tenant, recent=()))) == document_bytes(tenant)

    @pytest.mark.parametrize(
        "grows",
        [
            {"description": "d" * 10_000},
            {"event_types": (*EVENT_TYPES[1:], "y" * 255)},
            {"headers": {"X-A": "v"}},
            {"url": "https://hooks.acme.test/" + "u" * 1000},
            {"retry_delays_s": (1.0,) * 50},
        ],
    )
    def test_a_change_that_makes_an_endpoint_larger_is_refused(self, grows: Any) -> None:
        held = brimming()

        after = apply(held, of(ChangeEndpoint, endpoint_id="ep_2", **grows))

        assert after is not None
        assert after.result_of("c") == "tenant_too_large"
        assert after.endpoints == held.endpoints

    @pytest.mark.parametrize(
        "shrinks",
        [
            of(RemoveEndpoint, endpoint_id="ep_2"),
            of(ChangeEndpoint, endpoint_id="ep_2", event_types=("*",)),
            of(ChangeEndpoint, endpoint_id="ep_2", description="", event_types=EVENT_TYPES[:99]),
        ],
    )
    def test_a_change_that_makes_it_smaller_is_taken(self, shrinks: Command) -> None:
        held = brimming()
        # Above the budget, as after a suspension.
        held = replace(held, name="n" * 30_000)

        after = apply(held, shrinks)

        assert after is not None
        assert after.result_of("c") == "ok"
        assert DOCUMENT_MAX_BYTES < document_bytes(after) < document_bytes(held)

    @pytest.mark.parametrize(
        "command",
        [
            of(DisableTenant),
            of(RotateSecret, endpoint_id="ep_2"),
            of(ChangeEndpoint, endpoint_id="ep_2", enabled=False, disabled_reason="gone"),
            of(
                SuspendEndpoint,
                endpoint_id="ep_2",
                why="behind",
                owner="o" * 32,
                letters_from=2**60,
            ),
            of(AddPublicKey, kid="k" * 43, alg="RSA-OAEP-256", jwk={"n": "n" * 683}),
            of(
                AddApiKey,
                api_key=ApiKey("id", "d" * 43, 1, ("events:write",), 1.0),
            ),
        ],
        ids=lambda command: type(command).__name__,
    )
    def test_what_secures_and_spares_works_at_the_limit(self, command: Command) -> None:
        after = apply(brimming(), command)

        assert after is not None
        assert after.result_of("c") == "ok"

    def test_everything_that_workers_write_fits_into_the_head_room(self) -> None:
        tenant: Tenant | None = brimming(EVENT_TYPES[:20])
        assert tenant is not None
        assert len(tenant.endpoints) == ENDPOINTS_MAX
        for endpoint in tenant.endpoints:
            owner = {"endpoint_id": endpoint.id, "owner": "o" * 32}
            for number, command in enumerate(
                (
                    of(SuspendEndpoint, why="exhausted", letters_from=0, **owner),
                    of(RotateSecret, endpoint_id=endpoint.id),
                    of(ClaimSuspension, endpoint_id=endpoint.id, owner="p" * 32),
                    of(NoteDrained, endpoint_id=endpoint.id, owner="p" * 32, letters_from=2**62),
                    of(RewriteTenant),
                )
            ):
                tenant = apply(tenant, replace(command, id=f"{endpoint.id}-{number}"))
        assert tenant is not None
        assert {result.code for result in tenant.recent} == {"ok"}
        assert all(item.suspension.letters_from == 2**62 for item in tenant.endpoints)  # type: ignore[union-attr]
        keys = tuple(
            PublicKey(f"{number:043}", "RSA-OAEP-256", {"n": "n" * 683, "e": "AQAB", "kty": "RSA"})
            for number in range(PUBLIC_KEYS_MAX)
        )

        assert document_bytes(replace(tenant, public_keys=keys)) < DOCUMENT_HARD_MAX_BYTES * 0.75

    def test_nothing_exceeds_the_hard_limit(self) -> None:
        held = brimming()
        jwk = {"n": "n" * DOCUMENT_HARD_MAX_BYTES}

        after = apply(held, of(AddPublicKey, kid="k", alg="RSA-OAEP-256", jwk=jwk))

        assert after is not None
        assert after.result_of("c") == "tenant_too_large"
        assert after.public_keys == held.public_keys

    def test_a_worker_s_own_command_that_would_exceed_it_changes_nothing(self) -> None:
        suspends = of(SuspendEndpoint, endpoint_id="ep_1", why="behind", owner="o", letters_from=0)
        held = apply(a_tenant(), suspends)
        owner = "o" * DOCUMENT_HARD_MAX_BYTES

        assert apply(held, of(ClaimSuspension, id="d", endpoint_id="ep_1", owner=owner)) == held

    def test_a_tenant_is_not_created_beyond_it(self) -> None:
        assert apply(None, of(CreateTenant, name="n" * DOCUMENT_MAX_BYTES)) is None


class TestCommands:
    @pytest.mark.parametrize(
        "fields",
        [{"id": "c" * 129}, {"id": "c", "fingerprint": "f" * 65}],
        ids=["id", "fingerprint"],
    )
    def test_what_a_tenant_must_remember_is_bounded(self, fields: dict[str, str]) -> None:
        text = encode(CreateTenant(customer_id="acme", at=1.0, **fields))  # type: ignore[arg-type]

        with pytest.raises(InvalidCommandError, match="command_invalid"):
            decode(text)

    def test_the_largest_request_of_the_api_fits_into_a_record(self) -> None:
        headers = {f"{'X' * 120}-{number}": "v" * 1024 for number in range(20)}
        rest = "x" * (64 * 1024 - 20 * (1024 + 128))

        value = a_registry().command(adding(1, event_types=(rest,), headers=headers))

        assert len(value) < BROKER_MAX_BYTES / 8

    def test_a_larger_one_is_refused_before_it_is_written(self) -> None:
        with pytest.raises(InvalidCommandError, match="command_too_large"):
            a_registry().command(adding(1, event_types=("x" * 128 * 1024,)))
