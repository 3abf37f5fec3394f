"""Types of the settings: how the text of one value is parsed and checked."""

from __future__ import annotations

import base64
import binascii
import os
from contextlib import suppress
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_settings import NoDecode

from hookseal.domain.endpoint import RETRY_DELAY_MAX_S
from hookseal.seal.sign import MASTER_KEY_BYTES_MIN

if TYPE_CHECKING:
    from collections.abc import Callable

ADMIN_KEY_MIN = 8
PORT_MAX = 65_535


def _split(value: object) -> tuple[object, ...]:
    if value is None:
        return ()
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    if isinstance(value, tuple | list):
        return tuple(value)
    raise ValueError("give a comma-separated list")


def _hosts(value: object) -> tuple[str, ...]:
    return tuple(str(part).lower().rstrip(".") for part in _split(value))


def _port_ranges(value: object) -> tuple[object, ...]:
    return tuple(_port_range(part) if isinstance(part, str) else part for part in _split(value))


def _port_range(text: str) -> tuple[int, int]:
    first, _, last = text.partition("-")
    try:
        low, high = int(first), int(last or first)
    except ValueError:
        raise ValueError("give ports as `8080` or `9000-9100`") from None
    if not 1 <= low <= high <= PORT_MAX:
        raise ValueError(f"ports are from 1 to {PORT_MAX}, the lower one first")
    return low, high


def _are_brokers(value: str) -> str:
    if any(not 1 <= int(part.rpartition(":")[2]) <= PORT_MAX for part in value.split(",")):
        raise ValueError(f"ports are from 1 to {PORT_MAX}")
    return value


def _is_url(value: str) -> str:
    if not value or value == "memory://":
        return value
    try:
        parts = urlsplit(value)
        has_address = bool(parts.path if parts.scheme == "unix" else parts.hostname)
        valid = has_address and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise ValueError("must be a URL with a host and, if it has a port, one from 1 to 65535")
    return value


def _is_host(value: str) -> str:
    if not value or any(part.isspace() or part in "/@,[]" for part in value):
        raise ValueError("must be an IP address or a host name, without a port")
    return value


def _readable(value: Path | None) -> Path | None:
    if value is None:
        return None
    # ValueError: a zero byte in the name.
    with suppress(OSError, ValueError):
        if value.is_file() and os.access(value, os.R_OK):
            return value
    raise ValueError("the file does not exist or cannot be read")


def _is_long(value: SecretStr) -> SecretStr:
    if 0 < len(value.get_secret_value()) < ADMIN_KEY_MIN:
        raise ValueError(
            f"has fewer than {ADMIN_KEY_MIN} characters and can be guessed; generate one with "
            "`hookseal keys admin`"
        )
    return value


def _decodes(decode: Callable[[SecretStr], object]) -> AfterValidator:
    def check(value: SecretStr) -> SecretStr:
        decode(value)
        return value

    return AfterValidator(check)


def decode_key(secret: SecretStr) -> bytes | None:
    """Return the bytes of a base64 key, None for an empty one, or raise ValueError."""
    return _decode_secret(secret.get_secret_value()) if secret.get_secret_value() else None


def decode_keys(secret: SecretStr) -> list[bytes]:
    """Return the bytes of comma-separated base64 keys, or raise ValueError."""
    return [_decode_secret(str(key)) for key in _split(secret.get_secret_value())]


def _decode_secret(secret: str) -> bytes:
    text = secret.strip().replace("-", "+").replace("_", "/")
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error:
        raise ValueError("is not base64; generate one with `openssl rand -base64 32`") from None
    if len(key) < MASTER_KEY_BYTES_MIN:
        raise ValueError("has fewer than 32 bytes; generate one with `openssl rand -base64 32`")
    return key


def decode_peppers(secret: SecretStr) -> dict[int, bytes]:
    """Return peppers by version, from `1:<base64>,2:<base64>`, or raise ValueError."""
    peppers: dict[int, bytes] = {}
    for part in _split(secret.get_secret_value()):
        version, colon, text = str(part).partition(":")
        if not colon or not version.isascii() or not version.isdigit() or int(version) < 1:
            raise ValueError("give each pepper as `1:<base64>`, with versions from 1")
        if int(version) in peppers:
            raise ValueError("give each version once")
        peppers[int(version)] = _decode_secret(text)
    return peppers


PemFile = Annotated[Path | None, AfterValidator(_readable)]
Networks = Annotated[tuple[IPv4Network | IPv6Network, ...], NoDecode, BeforeValidator(_split)]
Ports = Annotated[tuple[tuple[int, int], ...], NoDecode, BeforeValidator(_port_ranges)]
Delay = Annotated[float, Field(ge=0, le=RETRY_DELAY_MAX_S, allow_inf_nan=False)]
Delays = Annotated[
    tuple[Delay, ...] | None, NoDecode, BeforeValidator(lambda value: _split(value) or None)
]
HostNames = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_hosts)]
Host = Annotated[str, AfterValidator(_is_host)]
Url = Annotated[str, AfterValidator(_is_url)]
Brokers = Annotated[str, AfterValidator(_are_brokers)]
MasterKey = Annotated[SecretStr, _decodes(decode_key)]
MasterKeys = Annotated[SecretStr, _decodes(decode_keys)]
Peppers = Annotated[SecretStr, _decodes(decode_peppers)]
AdminKey = Annotated[SecretStr, AfterValidator(_is_long)]
