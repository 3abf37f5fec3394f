from __future__ import annotations

import json

import pytest

from hookseal.seal.request import envelope


def an_envelope(data: bytes = b"{}", **changes: str) -> bytes:
    return envelope(
        **{
            "event_id": "evt_1",
            "event_type": "order.paid",
            "timestamp": "2026-01-01T00:00:00Z",
            "customer_id": "acme",
            "endpoint_id": "ep_1",
        }
        | changes,
        data=data,
    )


class TestTheEnvelope:
    def test_says_what_it_is_and_whom_it_is_for(self) -> None:
        assert an_envelope(b'{"n":1}') == (
            b'{"id":"evt_1","type":"order.paid","timestamp":"2026-01-01T00:00:00Z",'
            b'"customer_id":"acme","endpoint_id":"ep_1","data":{"n":1}}'
        )

    @pytest.mark.parametrize(
        "data",
        [
            b"18446744073709551617",
            b"1.0",
            b'{"n": 1, "n": 2}',
            b"[ 1,\n\t2 ]",
            rb'"\u00e9\/"',
            '"é\u2028"'.encode(),
            b"[" * 300 + b"]" * 300,
            b"null",
        ],
    )
    def test_keeps_the_bytes_of_the_data(self, data: bytes) -> None:
        assert an_envelope(data).endswith(b'"data":' + data + b"}")

    @pytest.mark.parametrize(
        "text", ['"', "\\", '","data":0,"x":"', "é✓", "\x00\n\x7f", "\U0001f600"]
    )
    def test_lets_no_id_or_type_break_out_of_its_string(self, text: str) -> None:
        opened = json.loads(an_envelope(customer_id=text, event_type=text, event_id=text))

        assert [opened[name] for name in ("customer_id", "type", "id")] == [text] * 3
        assert opened["data"] == {}
