"""Other people's libraries, unmodified: what a tenant would verify and open with."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import jwcrypto.common
import jwcrypto.jwe
import jwcrypto.jwk
from joserfc import jwe, jwk
from joserfc.errors import InvalidKeyTypeError, JoseError
from standardwebhooks.webhooks import Webhook

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = [
    "OPENERS",
    "REFUSED",
    "NodeOpener",
    "NodeRequest",
    "Opened",
    "node_opener",
    "npm_installed",
    "verify",
]

REFUSED = (JoseError, jwcrypto.common.JWException)
ALGORITHMS = ["RSA-OAEP-256", "ECDH-ES", "A256GCM"]
NODE_FOLDER = Path(__file__).parent / "node"
_NODE_TIMEOUT_S = 50


class Opened(NamedTuple):
    """What came out of a body."""

    header: dict[str, Any]
    plaintext: bytes


def verify(signing_secret: str, headers: Mapping[str, str], body: bytes) -> Any:
    """Verify a request that is not older than five minutes; return its body, parsed."""
    return Webhook(signing_secret).verify(body, dict(headers))


def open_with_joserfc(private_pem: bytes, body: bytes) -> Opened:
    opened = jwe.decrypt_json(json.loads(body), joserfc_key(private_pem), algorithms=ALGORITHMS)
    assert opened.plaintext is not None
    return Opened(dict(opened.protected), opened.plaintext)


def open_with_jwcrypto(private_pem: bytes, body: bytes) -> Opened:
    opened = jwcrypto.jwe.JWE(algs=ALGORITHMS)
    opened.deserialize(body.decode(), jwcrypto_key(private_pem))
    return Opened(opened.jose_header, opened.payload)


OPENERS: dict[str, Callable[[bytes, bytes], Opened]] = {
    "joserfc": open_with_joserfc,
    "jwcrypto": open_with_jwcrypto,
}


@lru_cache
def joserfc_key(text: bytes) -> jwk.RSAKey | jwk.ECKey | jwk.OKPKey:
    """Return the key of a PEM or a JWK."""
    if text.startswith(b"{"):
        key = jwk.import_key(json.loads(text))
        assert not isinstance(key, jwk.OctKey)
        return key
    for kind in (jwk.RSAKey, jwk.ECKey, jwk.OKPKey):
        try:
            return kind.import_key(text)
        except InvalidKeyTypeError:
            continue
    raise AssertionError("joserfc reads no such key")


@lru_cache
def jwcrypto_key(pem: bytes) -> jwcrypto.jwk.JWK:
    return jwcrypto.jwk.JWK.from_pem(pem)


class NodeRequest(NamedTuple):
    """A request for `tests/node/open.mjs`, which names the members."""

    private_key: str
    kind: str
    signing_secret: str
    headers: dict[str, str]
    body: str
    now: int | None = None


@contextmanager
def _alone(file: Path) -> Iterator[None]:
    """Hold other test processes off while this one installs."""
    with file.open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def npm_installed(folder: Path) -> bool:
    """Install what a folder's lock names, if need be; False without Node or npm."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        return False
    wanted = folder / "package-lock.json"
    with _alone(wanted):
        # npm writes this one last.
        installed = folder / "node_modules" / ".package-lock.json"
        if not installed.exists() or installed.stat().st_mtime < wanted.stat().st_mtime:
            subprocess.run(
                [npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts"],
                cwd=folder,
                check=True,
                capture_output=True,
                timeout=_NODE_TIMEOUT_S,
            )
    return True


NodeOpener = Callable[[Sequence[NodeRequest]], list[dict[str, dict[str, Any]]]]


def node_opener() -> NodeOpener | None:
    """Return what opens requests with Node, installed if need be; None without Node."""
    node = shutil.which("node")
    if node is None or not npm_installed(NODE_FOLDER):
        return None

    def open_all(requests: Sequence[NodeRequest]) -> list[dict[str, dict[str, Any]]]:
        asked = [
            {name: value for name, value in request._asdict().items() if value is not None}
            for request in requests
        ]
        done = subprocess.run(
            [node, NODE_FOLDER / "open.mjs"],
            input=json.dumps(asked).encode(),
            check=True,
            capture_output=True,
            timeout=_NODE_TIMEOUT_S,
            env={"PATH": os.environ["PATH"], "NODE_NO_WARNINGS": "1"},
        )
        answers: list[dict[str, dict[str, Any]]] = json.loads(done.stdout)
        return answers

    return open_all
