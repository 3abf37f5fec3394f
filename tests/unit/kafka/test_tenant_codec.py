from __future__ import annotations

from typing import Any

import orjson
import pytest

from hookseal.domain.command import AddEndpoint, ChangeEndpoint
from hookseal.errors import InvalidCommandError, InvalidInputError
from hookseal.kafka.topics import TopicNames
from hookseal.tenants.codec import TenantCodec
from tests.builders import a_registry, a_tenant, an_endpoint

SECRET = "CANARY-token"
HEADERS = {"X-Token": SECRET, "X-Team": "billing"}
NEW, OLD = bytes(range(40, 72)), bytes(range(32))


def added(**changes: Any) -> AddEndpoint:
    fields = {"customer_id": "acme", "id": "c", "at": 1.0, "endpoint_id": "ep_1"}
    return AddEndpoint(
        **{**fields, "url": "https://x.test/", "event_types": ("*",), "headers": HEADERS, **changes}
    )


class TestHeaders:
    def test_of_a_command_are_sealed_on_the_topic_and_opened_again(self) -> None:
        value = a_registry().command(added())

        assert SECRET.encode() not in value
        assert list(orjson.loads(value)["headers"]) == list(HEADERS)
        assert a_registry().command_in(b"acme", value) == added()

    def test_that_are_not_changed_stay_unsaid(self) -> None:
        command = ChangeEndpoint(
            customer_id="acme", id="c", at=1.0, endpoint_id="ep_1", enabled=True
        )

        assert a_registry().command_in(b"acme", a_registry().command(command)) == command

    def test_of_a_document_are_sealed_on_the_topic_and_opened_again(self) -> None:
        tenant = a_tenant("acme", an_endpoint(headers=HEADERS), an_endpoint("ep_2"))
        value = a_registry().document(tenant)

        assert SECRET.encode() not in value
        assert a_registry().tenant_in(b"acme", value) == tenant

    def test_that_look_sealed_are_sealed_as_any_other(self) -> None:
        command = added(headers={"X-Token": "sealed:1:AAAA"})

        assert a_registry().command_in(b"acme", a_registry().command(command)) == command


class TestRotation:
    def test_what_the_key_before_wrote_is_read_and_written_anew(self) -> None:
        names, tenant = TopicNames(), a_tenant("acme", an_endpoint(headers=HEADERS))
        before = TenantCodec(names, [OLD]).document(tenant)
        both = TenantCodec(names, [NEW, OLD])

        assert not both.checked_document(b"acme", before).is_current
        assert both.tenant_in(b"acme", before) == tenant
        assert TenantCodec(names, [NEW]).tenant_in(b"acme", both.document(tenant)) == tenant

    def test_without_the_key_before_it_is_somebody_else_s(self) -> None:
        names = TopicNames()
        before = TenantCodec(names, [OLD])

        with pytest.raises(InvalidInputError, match="tenant_document_forged"):
            TenantCodec(names, [NEW]).tenant_in(b"acme", before.document(a_tenant()))
        with pytest.raises(InvalidCommandError, match="command_forged"):
            TenantCodec(names, [NEW]).command_in(b"acme", before.command(added()))
