"""API keys: generated once, shown once, stored as a digest.

The format is that of GitHub's tokens ("Behind GitHub's new authentication token formats", 2021):
a prefix, and a checksum at the end, so that a scanner recognises real keys offline.
"""

from __future__ import annotations

import hmac
import re
import secrets
import string
import zlib
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING

from hookseal.domain.tenant import ApiKey, check_scopes
from hookseal.errors import ConfigurationError
from hookseal.seal import base64url
from hookseal.seal.derive import derived, framed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

TENANT_PREFIX = "whk_live_"
ADMIN_PREFIX = "wha_"
PEPPER_BYTES_MIN = 32

_ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
_ID_CHARS = 12
# 62^43 is a little more than 2^256.
_SECRET_CHARS = 43
_CHECKSUM_CHARS = 6
# 62^22 is a little more than 2^128.
_SALT_CHARS = 22
_KEY = re.compile(
    rf"{TENANT_PREFIX}(?P<id>[0-9A-Za-z]{{{_ID_CHARS}}})_"
    rf"[0-9A-Za-z]{{{_SECRET_CHARS}}}(?P<checksum>[0-9A-Za-z]{{{_CHECKSUM_CHARS}}})",
    re.ASCII,
)
_PEPPER_PURPOSE = b"hookseal api key pepper 1"
_KEY_PURPOSE = b"hookseal api key 2"
_ID_PURPOSE = b"hookseal api key id 2"
_DIGEST_BYTES = 32


@dataclass(frozen=True, slots=True)
class ReadKey:
    """A well-formed API key of a request, not yet verified; `text` is the whole key, a secret."""

    id: str
    text: str = field(repr=False)


def read_key(text: str) -> ReadKey | None:
    """Return the key; None = wrong format or checksum."""
    match = _KEY.fullmatch(text)
    if match is None or _checksum(text[:-_CHECKSUM_CHARS]) != match["checksum"]:
        return None
    return ReadKey(match["id"], text)


def new_admin_key() -> str:
    """Return a new admin key: `wha_`, 256 bits in base62, and a checksum."""
    text = ADMIN_PREFIX + _random(_SECRET_CHARS)
    return text + _checksum(text)


class ApiKeys:
    """Generates and verifies API keys.

    A stored key is an HMAC under a pepper, so write access to the changelog is not enough to add a
    key. A slow hash would cost 150 ms a request without benefit: 256 random bits cannot be guessed.

    New keys use the pepper of the highest version. Without any, they use version 0, derived from
    the first of `master_keys`; the others verify. Raises ConfigurationError: `pepper_short`.
    """

    __slots__ = ("_derived", "_master_keys", "_newest", "_peppers")

    def __init__(self, peppers: Mapping[int, bytes], *, master_keys: Sequence[bytes]) -> None:
        if any(len(pepper) < PEPPER_BYTES_MIN for pepper in peppers.values()):
            raise ConfigurationError(
                "pepper_short", f"A pepper must have at least {PEPPER_BYTES_MIN} random bytes."
            )
        self._master_keys = tuple(master_keys)
        self._derived = [derived(key, _PEPPER_PURPOSE) for key in master_keys]
        self._peppers = dict(peppers)
        self._newest = max(self._peppers, default=0)

    def new(
        self, scopes: tuple[str, ...], *, now: float, seed: tuple[str, ...] | None = None
    ) -> tuple[str, ApiKey]:
        """Generate a key: the secret text, to be shown once, and the digest to store.

        A seed gives the same key id each time. The secret depends on a random salt as well, which
        is stored with the key: `again` shows the key of a retried request, and a revoked key never
        returns. `now` is in Unix seconds. Raises InvalidCommandError: `scopes_invalid`.
        """
        salt = ""
        if seed is None:
            key = _text(_random(_ID_CHARS), _random(_SECRET_CHARS))
        else:
            salt = _random(_SALT_CHARS)
            key = _seeded(self._master_keys[0], seed, salt)
        digest = base64url.encode(next(self._digests(key, self._newest))).decode()
        key_id = key.removeprefix(TENANT_PREFIX)[:_ID_CHARS]
        return key, ApiKey(key_id, digest, self._newest, check_scopes(scopes), now, salt)

    def again(self, stored: ApiKey, seed: tuple[str, ...]) -> str | None:
        """Return the secret text of a stored key that has this seed; None = it has another one."""
        for master_key in self._master_keys:
            key = _seeded(master_key, seed, stored.salt, key_id=stored.id)
            if self.fits(ReadKey(stored.id, key), stored):
                return key
        return None

    def fits(self, key: ReadKey, stored: ApiKey | None) -> bool:
        """Return whether this is the stored key, in the same time for an unknown key."""
        expected = b"" if stored is None else stored.digest.encode()
        digests = self._digests(key.text, self._newest if stored is None else stored.pepper)
        # All of them are compared: the time must not depend on which one fits.
        return any([hmac.compare_digest(base64url.encode(each), expected) for each in digests])  # noqa: C419

    def _digests(self, key: str, version: int) -> Iterator[bytes]:
        peppers = [self._peppers[version]] if version in self._peppers else []
        for pepper in self._derived if version == 0 else peppers:
            yield hmac.digest(pepper, key.encode(), "sha256")


def same_secret(given: str, expected: str) -> bool:
    """Compare two secrets in constant time, whatever their lengths."""
    one, other = (
        sha256(text.encode("utf-8", "surrogatepass")).digest() for text in (given, expected)
    )
    return hmac.compare_digest(one, other)


def _seeded(master_key: bytes, seed: tuple[str, ...], salt: str, *, key_id: str = "") -> str:
    parts = [text.encode() for text in seed]
    named = int.from_bytes(derived(master_key, framed(_ID_PURPOSE, *parts), length=_DIGEST_BYTES))
    info = framed(_KEY_PURPOSE, salt.encode(), *parts)
    number = int.from_bytes(derived(master_key, info, length=_DIGEST_BYTES * 2))
    return _text(key_id or _base62(named, _ID_CHARS)[0], _base62(number, _SECRET_CHARS)[0])


def _text(key_id: str, secret: str) -> str:
    text = f"{TENANT_PREFIX}{key_id}_{secret}"
    return text + _checksum(text)


def _random(characters: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(characters))


def _base62(number: int, characters: int) -> tuple[str, int]:
    """Return the lowest digits of the number, the lowest first, and the remaining number."""
    text = ""
    for _ in range(characters):
        number, digit = divmod(number, len(_ALPHABET))
        text += _ALPHABET[digit]
    return text, number


def _checksum(text: str) -> str:
    digits, _ = _base62(zlib.crc32(text.encode()), _CHECKSUM_CHARS)
    return digits
