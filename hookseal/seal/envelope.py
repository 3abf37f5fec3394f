"""The plaintext of a sealed request."""

from __future__ import annotations

import orjson


def envelope(
    *,
    event_id: str,
    event_type: str,
    timestamp: str,
    customer_id: str,
    endpoint_id: str,
    data: bytes,
) -> bytes:
    """Return the JSON that a receiver finds once it has opened the body.

    Ids and event type are repeated inside so that a receiver can tell that a request
    was meant for it, and is what its headers say.

    Args:
        event_id: As in the `webhook-id` header.
        timestamp: RFC 3339, of the event and not of the attempt.
        data: JSON that was validated before. Goes in byte for byte: parsed and written
            again, big numbers and repeated members would come out changed.
    """
    return orjson.dumps(
        {
            "id": event_id,
            "type": event_type,
            "timestamp": timestamp,
            "customer_id": customer_id,
            "endpoint_id": endpoint_id,
            "data": orjson.Fragment(data),
        }
    )
