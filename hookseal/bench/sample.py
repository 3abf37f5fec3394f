"""The event that is measured with, and what sealing it takes; without Kafka."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from hookseal.bench.scenario import EVENT_BYTES
from hookseal.seal.envelope import envelope
from hookseal.seal.request import seal_request

if TYPE_CHECKING:
    from hookseal.seal.keys import EncryptionKey

__all__ = ["TIMESTAMP", "event_value", "sealed"]

TIMESTAMP = 1_764_000_000


def event_value(number: int, size_bytes: int = EVENT_BYTES) -> bytes:
    """Return an event of exactly this size: an order with a few lines, then filler."""
    lines = [
        {"sku": f"sku-{number % 997}-{line}", "quantity": line + 1, "price": "19.90"}
        for line in range(6)
    ]
    data = {"order": number, "currency": "EUR", "lines": lines, "note": ""}
    event = {"type": "order.paid", "id": f"evt_{number:012d}", "data": data}
    data["note"] = "x" * (size_bytes - len(orjson.dumps(event)))
    return orjson.dumps(event)


def sealed(key: EncryptionKey, data: bytes, secret: bytes) -> tuple[dict[str, str], bytes]:
    """Return headers and body of one request."""
    plaintext = envelope(
        event_id="evt_000000000001",
        event_type="order.paid",
        timestamp="2026-11-24T10:00:00Z",
        customer_id="customer-1",
        endpoint_id="ep_1",
        data=data,
    )
    return seal_request(
        plaintext=plaintext,
        event_id="evt_000000000001",
        timestamp=TIMESTAMP,
        key=key,
        secrets=[secret],
    )
