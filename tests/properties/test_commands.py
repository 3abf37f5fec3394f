from __future__ import annotations

from contextlib import suppress
from itertools import pairwise
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from hookseal.domain import command as commands
from hookseal.domain import tenant as tenants
from hookseal.domain.command import Command, apply
from hookseal.domain.tenant import (
    API_KEYS_MAX,
    DOCUMENT_HARD_MAX_BYTES,
    RECENT_MAX_BYTES,
    SCOPES,
    ApiKey,
)
from hookseal.errors import InvalidCommandError, InvalidInputError
from tests.builders import a_registry
from tests.strategies import mutations

if TYPE_CHECKING:
    from hookseal.domain.tenant import Tenant

_few = st.sampled_from(["a", "b", "c"])
_event_types = st.lists(st.sampled_from(["*", "order.*", "order.paid", "bad*"]), max_size=3).map(
    tuple
)

_api_keys = st.builds(
    ApiKey,
    id=_few,
    digest=st.just("digest"),
    pepper=st.integers(0, 3),
    scopes=st.lists(st.sampled_from([*SCOPES, "other"]), max_size=3).map(tuple),
    created_at=st.floats(0, 2e9),
)


def _of(kind: type, **fields: Any) -> st.SearchStrategy[Any]:
    return st.builds(
        kind,
        customer_id=st.just("acme"),
        id=st.integers(0, 60).map(str),
        at=st.floats(0, 2e9),
        if_revision=st.none() | st.integers(0, 5),
        fingerprint=st.sampled_from(["", "f"]),
        **fields,
    )


# Large enough for a few of them to be too much, with whatever JSON has to escape.
_texts = st.builds(
    lambda character, length: character * length,
    st.sampled_from(["x", '"', "\x01", "é", "😀"]),
    st.sampled_from([0, 10, 1_000, 60_000, 200_000]),
)
_headers = st.dictionaries(st.sampled_from(["A", "B"]), _texts, max_size=2)

any_large_command: st.SearchStrategy[Command] = st.one_of(
    _of(commands.CreateTenant, name=_texts),
    _of(
        commands.AddEndpoint,
        endpoint_id=_few,
        url=_texts,
        event_types=st.just(("*",)),
        headers=_headers,
        description=_texts,
    ),
    _of(commands.ChangeEndpoint, endpoint_id=_few, headers=_headers, description=_texts),
    _of(
        commands.ChangeEndpoint,
        endpoint_id=_few,
        disabled_reason=_texts,
        enabled=st.sampled_from([False]),
    ),
    _of(
        commands.SuspendEndpoint,
        endpoint_id=_few,
        why=st.just("behind"),
        owner=_texts,
        letters_from=st.integers(0, 2**60),
    ),
    _of(commands.ClaimSuspension, endpoint_id=_few, owner=_texts),
    _of(commands.AddPublicKey, kid=_few, alg=_texts, jwk=_headers),
    _of(commands.RemoveEndpoint, endpoint_id=_few),
    _of(commands.RotateSecret, endpoint_id=_few),
)

any_command: st.SearchStrategy[Command] = st.one_of(
    _of(commands.CreateTenant),
    _of(commands.CreateTenant, api_key=st.none() | _api_keys),
    _of(commands.EnableTenant),
    _of(commands.DisableTenant),
    _of(commands.DeleteTenant),
    _of(commands.AddApiKey, api_key=_api_keys),
    _of(commands.RemoveApiKey, key_id=_few),
    _of(commands.AddPublicKey, kid=_few, alg=st.just("ECDH-ES"), jwk=st.just({"kty": "OKP"})),
    _of(commands.RemovePublicKey, kid=_few),
    _of(
        commands.AddEndpoint, endpoint_id=_few, url=st.just("https://x/"), event_types=_event_types
    ),
    _of(commands.ChangeEndpoint, endpoint_id=_few, enabled=st.none() | st.booleans()),
    _of(commands.RemoveEndpoint, endpoint_id=_few),
    _of(commands.RotateSecret, endpoint_id=_few, overlap_s=st.floats(0, 1e6)),
    _of(
        commands.SuspendEndpoint,
        endpoint_id=_few,
        why=st.sampled_from(["exhausted", "behind"]),
        owner=_few,
        letters_from=st.integers(0, 2**60),
    ),
    _of(commands.ResumeEndpoint, endpoint_id=_few),
    _of(commands.EndSuspension, endpoint_id=_few, owner=_few),
    _of(commands.ClaimSuspension, endpoint_id=_few, owner=_few),
    _of(commands.NoteDrained, endpoint_id=_few, owner=_few, letters_from=st.integers(0, 2**60)),
)


def run(log: list[Command]) -> list[Tenant | None]:
    states: list[Tenant | None] = [None]
    for command in log:
        states.append(apply(states[-1], command))
    return states


@given(st.lists(any_command, max_size=30))
def test_a_tenant_is_always_in_order(log: list[Command]) -> None:
    for before, after in pairwise(run(log)):
        if after is None:
            continue
        assert sum(key.state == "active" for key in after.public_keys) <= 1
        assert len({key.kid for key in after.public_keys}) == len(after.public_keys)
        assert len({item.id for item in after.endpoints}) == len(after.endpoints)
        assert len({item.id for item in after.api_keys}) == len(after.api_keys) <= API_KEYS_MAX
        assert after.revision - (before.revision if before else 0) in (0, 1)
        assert tenants.decode(tenants.encode(after)) == after


@given(st.lists(any_large_command | any_command, max_size=30))
def test_no_document_is_too_large_for_its_changelog(log: list[Command]) -> None:
    codec, state = a_registry(), None
    at: dict[str, Any] = {"customer_id": "acme", "id": "", "at": 0.0}
    url = "https://x/" + "x" * 80_000
    # Near the limit already: few examples would come there by themselves.
    nearly = [
        commands.CreateTenant(**at),
        *(
            commands.AddEndpoint(**at, endpoint_id=name, url=url, event_types=("*",))
            for name in ("a", "b", "c")
        ),
    ]
    for number, command in enumerate([*nearly, *log]):
        # An id of its own each: what is repeated changes nothing in any case.
        before = state
        command = cast("Command", replace(command, id=f"{number}-{'i' * 100}"))  # noqa: PLW2901
        state = apply(before, command)
        if state is None:
            continue
        code = state.result_of(command.id)
        if before is not None and code not in (None, "ok"):
            assert state == replace(before, recent=state.recent)
        size = len(codec.document(replace(state, recent=())))
        assert size <= DOCUMENT_HARD_MAX_BYTES
        assert len(codec.document(state)) <= DOCUMENT_HARD_MAX_BYTES + RECENT_MAX_BYTES


@given(st.lists(any_command, max_size=30), st.data())
def test_commands_that_kafka_brings_again_change_nothing(
    log: list[Command], data: st.DataObject
) -> None:
    distinct = list({command.id: command for command in log}.values())[:30]
    state = run(distinct)[-1]
    if state is None:
        return
    created = max(
        n for n, command in enumerate(distinct) if isinstance(command, commands.CreateTenant)
    )
    again = data.draw(st.integers(created, len(distinct)))

    for command in distinct[again:]:
        if state.result_of(command.id) is not None:
            assert apply(state, command) == state


@given(any_command)
def test_a_command_survives_the_topic(command: Command) -> None:
    assert commands.decode(commands.encode(command)) == command


@given(any_command, st.data())
def test_no_mutation_of_a_record_is_taken(command: Command, data: st.DataObject) -> None:
    """As a fuzzer would: bytes flipped, cut out, doubled, exchanged, over the whole record."""
    codec = a_registry()
    key = command.customer_id.encode()
    genuine = codec.command(command)
    value = data.draw(mutations(genuine))
    if value != genuine:
        with pytest.raises(InvalidCommandError):
            codec.command_in(key, value)


@given(any_command, st.data())
def test_no_mutation_of_a_signed_command_raises_anything_else(
    command: Command, data: st.DataObject
) -> None:
    """Behind the MAC as well: what is signed may be of another release."""
    value = data.draw(mutations(commands.encode(command)))
    with suppress(InvalidCommandError):
        commands.decode(value)


@given(st.lists(any_command, min_size=1, max_size=8), st.data())
def test_no_mutation_of_a_document_raises_anything_else(
    log: list[Command], data: st.DataObject
) -> None:
    created = commands.CreateTenant(customer_id="acme", id="first", at=0.0)
    tenant = next((state for state in reversed(run([created, *log])) if state is not None), None)
    assert tenant is not None
    genuine = a_registry().document(tenant)
    for value in (data.draw(mutations(genuine)), data.draw(mutations(tenants.encode(tenant)))):
        if value != genuine:
            with pytest.raises(InvalidInputError):
                a_registry().tenant_in(b"acme", value)
        with suppress(InvalidInputError):
            tenants.decode(value)


@given(st.binary(max_size=300))
def test_hostile_bytes_are_refused_as_ours(text: bytes) -> None:
    for decode, error in (
        (commands.decode, InvalidCommandError),
        (tenants.decode, InvalidInputError),
    ):
        with suppress(error):
            decode(text)
