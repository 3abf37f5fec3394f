"""Hypothesis strategies for what comes from outside."""

from __future__ import annotations

from functools import partial

import orjson
from hypothesis import strategies as st

from hookseal.domain.record import Record

__all__ = ["hostile_records", "json_values", "mutations"]

# What parsers stumble over.
_TOKENS = (
    *(b"{", b"}", b"[", b"]", b'"', b",", b":", b"\\", b"\\u0000", b"\\ud800", b"null", b"NaN"),
    *(b"-0", b"1e999", b"9" * 40, b"\x00", b"\xff", b"\xc3(", b"\xef\xbb\xbf", b"[" * 3000, b'"":'),
)


def _flipped(part: bytes, bits: int) -> bytes:
    return bytes(byte ^ bits for byte in part)


@st.composite
def mutations(draw: st.DrawFn, original: bytes) -> bytes:
    """Return the bytes changed in a few places, as a fuzzer that knows the format would."""
    value = original
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(value)))
        end = draw(st.integers(start, min(len(value), start + 40)))
        part = value[start:end]
        instead = draw(
            st.sampled_from([b"", part * 2, part[::-1], *_TOKENS])
            | st.binary(max_size=8)
            | st.integers(1, 255).map(partial(_flipped, part))
        )
        value = value[:start] + instead + value[end:]
    return value


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=4)
    ),
    max_leaves=10,
)

_names = st.sampled_from(
    [
        "content-type",
        "ce_specversion",
        "ce_id",
        "ce_type",
        "ce_time",
        "hookseal-broadcast",
        "hookseal-event-id",
        "hookseal-replay-of",
        "hookseal-endpoint-id",
        "traceparent",
    ]
)
_contents = st.binary(max_size=20) | st.sampled_from(
    [b"1.0", b"application/cloudevents+json", b"application/json", b"a.b", b"order.paid"]
)
_documents = st.dictionaries(
    st.sampled_from(["type", "data", "id", "timestamp", "specversion", "time", "data_base64"]),
    json_values,
).map(orjson.dumps)

hostile_records = st.builds(
    Record,
    topic=st.just("events"),
    partition=st.integers(0, 5),
    offset=st.integers(0, 2**62),
    key=st.none() | st.binary(max_size=200),
    value=st.none() | st.binary(max_size=200) | _documents | json_values.map(orjson.dumps),
    headers=st.lists(st.tuples(_names, _contents), max_size=5).map(tuple),
    timestamp_ms=st.integers(0, 4_000_000_000_000),
)
