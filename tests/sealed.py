"""The frozen sealed requests of `tests/vectors/sealed`, and the randomness they were made with."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)
from joserfc import jwk

from hookseal.seal.encrypt import Randomness
from hookseal.seal.keys import load_public_key, parse_public_key
from hookseal.seal.request import seal_request

if TYPE_CHECKING:
    from hookseal.domain.tenant import PublicKey

__all__ = [
    "KEYS",
    "FixedRandomness",
    "SealedVector",
    "b64u",
    "b64u_decode",
    "public_pem",
    "vectors",
]

FOLDER = Path(__file__).parent / "vectors" / "sealed"
# One vector of each kind of key, by name; its key serves wherever a test needs one.
KEYS = ("rsa-2048", "rsa-3072", "rsa-4096", "p256", "x25519")
_CEK_BYTES = 32


def b64u(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def b64u_decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@dataclass(frozen=True)
class FixedRandomness(Randomness):
    """Hands out what a vector names; `cek` and `ephemeral` exclude each other."""

    iv: bytes
    cek: bytes | None = None
    ephemeral: bytes | None = None

    @classmethod
    def read(cls, members: dict[str, str]) -> FixedRandomness:
        return cls(**{name: b64u_decode(value) for name, value in members.items()})

    def octets(self, count: int) -> bytes:
        drawn = self.cek if count == _CEK_BYTES else self.iv
        assert drawn is not None
        assert len(drawn) == count
        return drawn

    def p256(self) -> ec.EllipticCurvePrivateKey:
        assert self.ephemeral is not None
        return ec.derive_private_key(int.from_bytes(self.ephemeral), ec.SECP256R1())

    def x25519(self) -> X25519PrivateKey:
        assert self.ephemeral is not None
        return X25519PrivateKey.from_private_bytes(self.ephemeral)


@dataclass(frozen=True)
class SealedVector:
    """One frozen request; see `tests/vectors/README.md` for its members."""

    name: str
    private_key: bytes
    public_jwk: dict[str, str]
    signing_secrets: tuple[str, ...]
    randomness: FixedRandomness
    event_id: str
    timestamp: int
    plaintext: bytes
    headers: dict[str, str]
    body: bytes

    @property
    def public_key(self) -> PublicKey:
        return parse_public_key(json.dumps(self.public_jwk))

    @property
    def public_pem(self) -> bytes:
        # From the JWK, since reading an RSA private key takes long: its primes are tested.
        key = jwk.import_key(dict(self.public_jwk))
        assert not isinstance(key, jwk.OctKey)
        return key.as_pem(private=False)

    @property
    def secrets(self) -> list[bytes]:
        return [base64.b64decode(text.removeprefix("whsec_")) for text in self.signing_secrets]

    @property
    def jwe(self) -> dict[str, str]:
        members: dict[str, str] = json.loads(self.body)
        return members

    def seal(self, **changes: Any) -> tuple[dict[str, str], bytes]:
        """Seal the vector's plaintext again, by default with everything as it was."""
        asked: dict[str, Any] = {
            "plaintext": self.plaintext,
            "event_id": self.event_id,
            "timestamp": self.timestamp,
            "key": load_public_key(json.dumps(self.public_jwk).encode()),
            "secrets": self.secrets,
            "randomness": self.randomness,
        }
        return seal_request(**(asked | changes))


@lru_cache
def public_pem(private_pem: bytes) -> bytes:
    public = load_pem_private_key(private_pem, None).public_key()
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


@lru_cache
def vectors() -> dict[str, SealedVector]:
    return {file.stem: _read(file) for file in sorted(FOLDER.glob("*.json"))}


def _read(file: Path) -> SealedVector:
    content = json.loads(file.read_text())
    return SealedVector(
        name=file.stem,
        private_key=content["private_key"].encode(),
        public_jwk=content["public_key"],
        signing_secrets=tuple(content["signing_secrets"]),
        randomness=FixedRandomness.read(content["randomness"]),
        event_id=content["headers"]["webhook-id"],
        timestamp=int(content["headers"]["webhook-timestamp"]),
        plaintext=content["plaintext"].encode(),
        headers=content["headers"],
        body=content["body"].encode(),
    )
