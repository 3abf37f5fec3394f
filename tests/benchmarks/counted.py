"""What is done for each delivery, in a row, to be counted in instructions and not in seconds.

Run under `valgrind --tool=callgrind --dump-before=getppid`: a number that no other program on
the machine changes. It imports little, since start-up is fifty times slower there.
"""

from __future__ import annotations

import gc
import os
import sys
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import orjson

from benchmarks.sample import TIMESTAMP, event_value, sealed
from hookseal.domain.event import parse_event
from hookseal.domain.json_text import data_member
from hookseal.domain.record import Record
from hookseal.domain.verdict import judge
from hookseal.seal.encrypt import OS
from hookseal.seal.keys import load_public_key

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hookseal.seal.encrypt import EncryptionKey


_MAX_BYTES = 32 * 1024
_CAP_S = 300.0
_SECRET = bytes(range(32))
# Caches are filled, and the interpreter has settled on its specialised bytecode (PEP 659).
_WARM_UP = 20

# Always the same, since the numbers in a key change the count. They are the public keys of
# tests/vectors/sealed.
_RSA_2048 = (
    "rDtoqqp-X-4c_oM6Ytw0wkQ4OvWIMHGUFTQ224zgnknxgLedN_rHH91zD3xnBIwQtMNJ5pEvzLynDXug22tH_2HQoqVy"
    "GwMcUIHlIxgxWFQyzSNje1Oob9im690FZGTzlI3oCe_4qm31iusJHcqXuQEomoM0Y4fn2_c2cg-8tZzFyaS1zPkSgozM"
    "zsepv8FyyEpaQkelPSYpUXfHX7iOiC2WLiUpL0Pf30vXSH3TfDhwN3fKkIB8l8AZYQLUQvxcB24i-bszByGhs1eR67GB"
    "YYFh2yTDIJ-EVlLcQdhAW4tdspjFcaFfmcCTkRv_Mi7EKZoGbdNrCvWzJ_SU55S0_Q"
)
_P256 = (
    "OfWK5IHIb66QKxvQPb1jDS_1CldZOAnwOBy6eF6PbmY",
    "bRx93jeWB1t-ZNpbWTEEMDBemYITK_QKcjkU5CCkzbk",
)
_X25519 = "YP0aKI5N-0iek-mWhIN3f-odL3nDzRXl8cKGwKH5QQE"
_KEYS: Mapping[str, Mapping[str, str]] = {
    "rsa-2048": {"kty": "RSA", "n": _RSA_2048, "e": "AQAB"},
    "p256": {"kty": "EC", "crv": "P-256", "x": _P256[0], "y": _P256[1]},
    "x25519": {"kty": "OKP", "crv": "X25519", "x": _X25519},
}


def run(times: int) -> None:
    """Do each of `PATHS` this many times, with a call of `getppid` before and after.

    Between the two stands nothing but the path and an empty loop.
    """
    for name in PATHS:
        operation = PATHS[name]()
        _repeat(operation, _WARM_UP)
        # What was made at start-up is no part of what a path leaves to collect.
        gc.collect()
        gc.freeze()
        os.getppid()
        _repeat(operation, times)
        os.getppid()


def _repeat(operation: Callable[[], object], times: int) -> None:
    for _ in range(times):
        operation()


def _parsing() -> Callable[[], object]:
    record = Record("events", 3, 118, key=b"customer-1", value=event_value(1))
    return partial(parse_event, record, max_bytes=_MAX_BYTES)


def _sealing(kind: str) -> Callable[[], object]:
    return partial(sealed, _key(kind), data_member(event_value(1)) or b"", _SECRET)


def _sealing_around_the_key() -> Callable[[], object]:
    key = _key("x25519")
    recipient = key.address(OS)
    addressed = replace(key, address=lambda _: recipient)
    return partial(sealed, addressed, data_member(event_value(1)) or b"", _SECRET)


def _key(kind: str) -> EncryptionKey:
    return load_public_key(orjson.dumps(_KEYS[kind]))


def _judging(status: int, retry_after: str | None = None) -> Callable[[], object]:
    return partial(judge, status, retry_after, now=float(TIMESTAMP), cap_s=_CAP_S)


# A name, and what prepares the call that is counted.
PATHS: Mapping[str, Callable[[], Callable[[], object]]] = {
    "parse": _parsing,
    "seal rsa-2048": partial(_sealing, "rsa-2048"),
    "seal p256": partial(_sealing, "p256"),
    "seal x25519": partial(_sealing, "x25519"),
    # Most of the above is OpenSSL's arithmetic on keys; here is what is left of it: envelope,
    # AES, base64, signature, headers.
    "around the key": _sealing_around_the_key,
    "verdict 200": partial(_judging, 200),
    "verdict 410": partial(_judging, 410),
    "verdict 429": partial(_judging, 429, "120"),
    "verdict 503": partial(_judging, 503),
}

if __name__ == "__main__":
    run(int(sys.argv[1]))
