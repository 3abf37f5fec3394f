from __future__ import annotations

import time
from typing import Any

import pytest

from hookseal import __version__
from hookseal.errors import SealError
from hookseal.seal.sign import signature_header
from tests.oracles import verify
from tests.sealed import vectors

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
VECTOR = vectors()["rotating"]


def headers_of(**changes: Any) -> dict[str, str]:
    return VECTOR.seal(**changes)[0]


class TestTheHeaders:
    def test_are_those_of_standard_webhooks_and_no_more(self) -> None:
        headers, body = VECTOR.seal(event_id="evt_1", timestamp=1_767_225_601)

        assert headers == {
            "content-type": "application/jose+json",
            "webhook-id": "evt_1",
            "webhook-timestamp": "1767225601",
            "webhook-signature": signature_header(VECTOR.secrets, "evt_1", 1_767_225_601, body),
            "user-agent": f"hookseal/{__version__}",
        }

    def test_hold_two_signatures_while_a_secret_rotates(self) -> None:
        now = int(time.time())

        headers, body = VECTOR.seal(timestamp=now)

        assert headers["webhook-signature"].count("v1,") == 2
        for secret in VECTOR.signing_secrets:
            assert verify(secret, headers, body)

    def test_pass_the_trace_on(self) -> None:
        assert headers_of(traceparent=TRACEPARENT)["traceparent"] == TRACEPARENT

    @pytest.mark.parametrize(
        "traceparent",
        [None, "", "x", TRACEPARENT.upper(), TRACEPARENT + "\r\nx-a: b", TRACEPARENT[:-1], "é"],
    )
    def test_leave_out_a_trace_that_is_none(self, traceparent: str | None) -> None:
        assert "traceparent" not in headers_of(traceparent=traceparent)

    def test_carry_the_endpoints_own(self) -> None:
        assert headers_of(headers={"X-Tenant": "acme"})["X-Tenant"] == "acme"

    @pytest.mark.parametrize(
        "name",
        ["content-type", "Webhook-Id", "WEBHOOK-TIMESTAMP", "webhook-Signature", "User-Agent"],
    )
    def test_are_not_the_endpoints_to_override(self, name: str) -> None:
        headers = headers_of(headers={name: "forged"}, traceparent=TRACEPARENT)

        assert "forged" not in headers.values()
        assert sum(each.lower() == name.lower() for each in headers) == 1

    def test_override_a_trace_only_with_a_trace(self) -> None:
        own = {"Traceparent": "mine"}

        assert "mine" not in headers_of(headers=own, traceparent=TRACEPARENT).values()
        assert headers_of(headers=own)["Traceparent"] == "mine"

    def test_of_the_endpoint_stay_as_they_were(self) -> None:
        own = {"X-Tenant": "acme", "webhook-id": "forged"}

        VECTOR.seal(headers=own)

        assert own == {"X-Tenant": "acme", "webhook-id": "forged"}


def test_no_request_goes_out_unsigned() -> None:
    with pytest.raises(SealError):
        VECTOR.seal(secrets=[])
