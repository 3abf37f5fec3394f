from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from hookseal.domain import command as commands
from hookseal.domain.command import (
    AddApiKey,
    AddEndpoint,
    AddPublicKey,
    ChangeEndpoint,
    Command,
    CreateTenant,
    DeleteTenant,
    DisableTenant,
    EnableTenant,
    RemoveApiKey,
    RemoveEndpoint,
    RemovePublicKey,
    RotateSecret,
    apply,
)
from hookseal.domain.endpoint import EndpointLimits
from hookseal.domain.tenant import ApiKey
from hookseal.errors import InvalidCommandError
from tests.builders import a_tenant, an_endpoint, public_key

if TYPE_CHECKING:
    from hookseal.domain.tenant import Tenant

JWK = {"kty": "OKP", "crv": "X25519", "x": "AAAA"}


def do(tenant: Tenant | None, kind: type, command_id: str = "c", **fields: Any) -> Tenant | None:
    return apply(tenant, kind(customer_id="acme", id=command_id, at=1000.0, **fields))


def changed(tenant: Tenant | None, kind: type, **fields: Any) -> Tenant:
    after = do(tenant, kind, **fields)
    assert after is not None
    assert after.result_of("c") == "ok"
    return after


def refusal(tenant: Tenant, kind: type, **fields: Any) -> str | None:
    after = do(tenant, kind, **fields)
    assert after is not None
    assert after.revision == tenant.revision
    return after.result_of("c")


class TestTenants:
    def test_are_created_with_the_first_revision(self) -> None:
        tenant = changed(None, CreateTenant, name="Acme")

        assert (tenant.customer_id, tenant.name, tenant.revision) == ("acme", "Acme", 1)
        assert tenant.enabled

    def test_exist_once(self) -> None:
        assert refusal(a_tenant(), CreateTenant) == "tenant_exists"

    def test_are_disabled_and_enabled(self) -> None:
        disabled = changed(a_tenant(), DisableTenant)

        assert not disabled.enabled
        enabled = do(disabled, EnableTenant, "other")
        assert enabled is not None
        assert enabled.enabled

    def test_are_deleted(self) -> None:
        assert do(a_tenant(), DeleteTenant) is None

    def test_that_do_not_exist_stay_so(self) -> None:
        assert do(None, DisableTenant) is None
        assert do(None, DeleteTenant) is None


def an_api_key(key_id: str, *scopes: str) -> ApiKey:
    return ApiKey(key_id, "digest", 0, scopes or ("events:write",))


class TestApiKeys:
    def test_the_first_comes_with_the_tenant(self) -> None:
        tenant = changed(None, CreateTenant, api_key=an_api_key("k1"))

        assert tenant.api_key("k1") == an_api_key("k1")

    def test_there_are_two_at_most(self) -> None:
        one = a_tenant(api_keys=(an_api_key("k1"),))
        two = changed(one, AddApiKey, api_key=an_api_key("k2"))

        assert two.api_keys == (an_api_key("k1"), an_api_key("k2"))
        again = do(two, AddApiKey, "another", api_key=an_api_key("k3"))
        assert again is not None
        assert again.result_of("another") == "too_many_api_keys"
        assert refusal(one, AddApiKey, api_key=an_api_key("k1")) == "api_key_exists"

    def test_are_revoked(self) -> None:
        tenant = a_tenant(api_keys=(an_api_key("k1"), an_api_key("k2")))

        assert changed(tenant, RemoveApiKey, key_id="k1").api_keys == (an_api_key("k2"),)
        assert refusal(tenant, RemoveApiKey, key_id="k3") == "unknown_api_key"

    def test_need_a_scope_that_there_is(self) -> None:
        key = an_api_key("k1", "everything")

        assert refusal(a_tenant(), AddApiKey, api_key=key) == "scopes_invalid"
        assert do(None, CreateTenant, api_key=key) is None


class TestPublicKeys:
    def test_a_new_one_is_active_and_the_one_before_retires(self) -> None:
        tenant = changed(a_tenant(), AddPublicKey, kid="key-2", alg="ECDH-ES", jwk=JWK)

        assert [(key.kid, key.state) for key in tenant.public_keys] == [
            ("key-1", "retiring"),
            ("key-2", "active"),
        ]
        assert tenant.active_key is not None
        assert tenant.active_key.kid == "key-2"

    def test_stand_once(self) -> None:
        code = refusal(a_tenant(), AddPublicKey, kid="key-1", alg="ECDH-ES", jwk=JWK)

        assert code == "key_exists"

    def test_are_bounded(self) -> None:
        keys = tuple(public_key(f"key-{n}") for n in range(10))

        code = refusal(a_tenant(public_keys=keys), AddPublicKey, kid="x", alg="ECDH-ES", jwk=JWK)

        assert code == "too_many_keys"

    def test_the_last_one_removed_leaves_none_to_seal_to(self) -> None:
        assert changed(a_tenant(), RemovePublicKey, kid="key-1").active_key is None

    def test_an_unknown_one_cannot_be_removed(self) -> None:
        assert refusal(a_tenant(), RemovePublicKey, kid="nope") == "unknown_key"


class TestEndpoints:
    def test_are_added_in_order(self) -> None:
        tenant = changed(
            a_tenant(), AddEndpoint, endpoint_id="ep_2", url="https://b.test/", event_types=("a.*",)
        )

        assert [endpoint.id for endpoint in tenant.endpoints] == ["ep_1", "ep_2"]

    def test_change_what_is_given_and_keep_the_rest(self) -> None:
        tenant = changed(a_tenant(), ChangeEndpoint, endpoint_id="ep_1", url="https://b.test/")

        endpoint = tenant.endpoint("ep_1")
        assert endpoint == an_endpoint(url="https://b.test/")

    def test_say_why_they_are_disabled_until_enabled(self) -> None:
        gone = changed(
            a_tenant(), ChangeEndpoint, endpoint_id="ep_1", enabled=False, disabled_reason="gone"
        )

        assert gone.endpoints[0].disabled_reason == "gone"
        back = do(gone, ChangeEndpoint, "other", endpoint_id="ep_1", enabled=True)
        assert back is not None
        assert back.endpoints[0] == an_endpoint()

    def test_are_removed(self) -> None:
        assert changed(a_tenant(), RemoveEndpoint, endpoint_id="ep_1").endpoints == ()

    def test_rotation_keeps_the_secret_before_for_a_while(self) -> None:
        tenant = changed(a_tenant(), RotateSecret, endpoint_id="ep_1", overlap_s=100)

        endpoint = tenant.endpoints[0]
        assert endpoint.secret_versions(1099) == (2, 1)
        assert endpoint.secret_versions(1100) == (2,)

    @pytest.mark.parametrize(
        ("kind", "fields", "code"),
        [
            (
                AddEndpoint,
                {"endpoint_id": "ep_1", "url": "u", "event_types": ("*",)},
                "endpoint_exists",
            ),
            (
                AddEndpoint,
                {"endpoint_id": "n", "url": "u", "event_types": ()},
                "event_types_invalid",
            ),
            (
                AddEndpoint,
                {
                    "endpoint_id": "n",
                    "url": "u",
                    "event_types": ("*",),
                    "limits": EndpointLimits(rate_per_s=float("nan")),
                },
                "limits_invalid",
            ),
            (
                AddEndpoint,
                {"endpoint_id": "n", "url": "u", "event_types": ("*",), "retry_delays_s": (-1.0,)},
                "retry_delays_invalid",
            ),
            (ChangeEndpoint, {"endpoint_id": "nope"}, "unknown_endpoint"),
            (
                ChangeEndpoint,
                {"endpoint_id": "ep_1", "event_types": ("a*",)},
                "event_types_invalid",
            ),
            (RemoveEndpoint, {"endpoint_id": "nope"}, "unknown_endpoint"),
            (RotateSecret, {"endpoint_id": "nope"}, "unknown_endpoint"),
        ],
    )
    def test_refusals_are_noted_for_whoever_asked(
        self, kind: type, fields: dict[str, Any], code: str
    ) -> None:
        assert refusal(a_tenant(), kind, **fields) == code

    def test_are_bounded(self) -> None:
        tenant = a_tenant("acme", *(an_endpoint(f"ep_{n}") for n in range(50)))

        code = refusal(tenant, AddEndpoint, endpoint_id="n", url="u", event_types=("*",))

        assert code == "too_many_endpoints"


class TestApply:
    def test_twice_is_once(self) -> None:
        once = do(a_tenant(), RotateSecret, "c", endpoint_id="ep_1")

        assert do(once, RotateSecret, "c", endpoint_id="ep_1") == once

    def test_counts_revisions(self) -> None:
        assert changed(a_tenant(), DisableTenant).revision == 2

    def test_refuses_a_command_for_an_older_revision(self) -> None:
        assert refusal(a_tenant(revision=5), DisableTenant, if_revision=4) == "revision_conflict"
        assert changed(a_tenant(revision=5), DisableTenant, if_revision=5).revision == 6

    def test_forgets_old_commands(self) -> None:
        tenant: Tenant | None = a_tenant()
        for n in range(100):
            tenant = do(tenant, EnableTenant, f"c{n}")

        assert tenant is not None
        assert len(tenant.recent) == 32
        assert tenant.result_of("c99") == "ok"


ALL: list[Command] = [
    CreateTenant(customer_id="acme", id="c", at=1.0, name="Acme"),
    EnableTenant(customer_id="acme", id="c", at=1.0),
    DisableTenant(customer_id="acme", id="c", at=1.0, if_revision=3),
    DeleteTenant(customer_id="acme", id="c", at=1.0),
    AddPublicKey(customer_id="acme", id="c", at=1.0, kid="k", alg="ECDH-ES", jwk=JWK),
    RemovePublicKey(customer_id="acme", id="c", at=1.0, kid="k"),
    AddEndpoint(customer_id="acme", id="c", at=1.0, endpoint_id="e", url="u", event_types=("*",)),
    ChangeEndpoint(customer_id="acme", id="c", at=1.0, endpoint_id="e", enabled=False),
    RemoveEndpoint(customer_id="acme", id="c", at=1.0, endpoint_id="e"),
    RotateSecret(customer_id="acme", id="c", at=1.0, endpoint_id="e"),
]


class TestWire:
    @pytest.mark.parametrize("command", ALL, ids=lambda command: type(command).__name__)
    def test_a_command_survives_the_topic(self, command: Command) -> None:
        text = commands.encode(command)

        assert commands.decode(text) == command
        assert b'"v":1' in text

    @pytest.mark.parametrize(
        "text",
        [b"", b"null", b"[]", b"{}", b'{"type":"nope"}', b"\xff", b'{"type":"tenant.delete"}'],
    )
    def test_anything_else_is_refused(self, text: bytes) -> None:
        with pytest.raises(InvalidCommandError) as refused:
            commands.decode(text)

        assert refused.value.code == "command_invalid"

    def test_a_newer_version_is_refused(self) -> None:
        with pytest.raises(InvalidCommandError) as refused:
            commands.decode(
                b'{"v":2,"type":"tenant.delete","customer_id":"acme","id":"c","at":1.0}'
            )

        assert refused.value.code == "command_version"
