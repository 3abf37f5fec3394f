"""Make the frozen sealed requests again: `python -m tests.vectors.make_sealed`.

Private keys and randomness are kept where a file has them, so that only what the code
does differently shows in the difference. The exception is `encrypted_key` of RSA: its
seed is drawn inside OpenSSL, so it changes each time, and the signature with it.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from hookseal.seal.keys import generate_private_key, load_public_key, parse_public_key
from hookseal.seal.request import envelope, seal_request
from hookseal.seal.sign import SigningSecrets
from tests.sealed import FOLDER, FixedRandomness, b64u, public_pem

if TYPE_CHECKING:
    from pathlib import Path

    from hookseal.seal.keys import KeyKind

TIMESTAMP = 1_767_225_600  # 2026-01-01T00:00:00Z
MASTER_KEY = bytes(range(32))
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
LARGEST_BYTES = 32 * 1024

# Big number, repeated member, odd spacing, escapes: what a parser would not give back.
DATA = '{"amount": 18446744073709551617, "n": 1, "n" : 2,\n "who": "Zo\\u00eb \\u2713 é", "x": 1.0}'


def main() -> None:
    """Write all files."""
    FOLDER.mkdir(exist_ok=True)
    make("rsa-2048", "rsa-2048", "RSA-2048: RSA-OAEP-256")
    make("rsa-3072", "rsa-3072", "RSA-3072: RSA-OAEP-256")
    make("rsa-4096", "rsa-4096", "RSA-4096: RSA-OAEP-256")
    make("p256", "p256", "P-256: ECDH-ES, direct key agreement")
    make("x25519", "x25519", "X25519: ECDH-ES, direct key agreement")
    make("rotating", "x25519", "While a signing secret rotates: two signatures", versions=(2, 1))
    largest = '{"text": "%s"}' % ("é" * ((LARGEST_BYTES - len('{"text": ""}')) // 2))
    make("largest", "rsa-4096", "Data of 32 KiB, the default limit", data=largest)


def make(
    name: str,
    kind: KeyKind,
    description: str,
    *,
    versions: tuple[int, ...] = (1,),
    data: str = DATA,
) -> None:
    """Write one file; its key is that of the file named after the kind of key."""
    file = FOLDER / f"{name}.json"
    key_file = FOLDER / f"{kind}.json"
    private_key = _kept(key_file, "private_key") or generate_private_key(kind)[0].decode()
    randomness = _kept(file, "randomness") or _drawn(kind)
    secrets = SigningSecrets(MASTER_KEY)
    event_id = f"evt_{name.replace('-', '_')}"
    plaintext = envelope(
        event_id=event_id,
        event_type="order.paid",
        timestamp="2025-12-31T23:59:59.123Z",
        customer_id="acme",
        endpoint_id="ep_1",
        data=data.encode(),
    )
    public = parse_public_key(public_pem(private_key.encode()))
    headers, body = seal_request(
        plaintext=plaintext,
        event_id=event_id,
        timestamp=TIMESTAMP,
        key=load_public_key(json.dumps(public.jwk).encode()),
        secrets=[secrets.derive("acme", "ep_1", version) for version in versions],
        headers={"X-Tenant": "acme"},
        traceparent=TRACEPARENT,
        randomness=FixedRandomness.read(randomness),
    )
    # It names the release, which says nothing about the format.
    del headers["user-agent"]
    _write(
        file,
        {
            "description": description,
            "private_key": private_key,
            "public_key": public.jwk,
            "signing_secrets": [secrets.show("acme", "ep_1", version) for version in versions],
            "randomness": randomness,
            "plaintext": plaintext.decode(),
            "headers": headers,
            "body": body.decode(),
        },
    )


def _kept(file: Path, member: str) -> Any:
    return json.loads(file.read_text())[member] if file.exists() else None


def _drawn(kind: KeyKind) -> dict[str, str]:
    iv = b64u(os.urandom(12))
    if kind == "p256":
        own = ec.generate_private_key(ec.SECP256R1())
        return {"ephemeral": b64u(own.private_numbers().private_value.to_bytes(32)), "iv": iv}
    if kind == "x25519":
        return {"ephemeral": b64u(X25519PrivateKey.generate().private_bytes_raw()), "iv": iv}
    return {"cek": b64u(os.urandom(32)), "iv": iv}


def _write(file: Path, content: dict[str, Any]) -> None:
    file.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
