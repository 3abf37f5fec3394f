from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from hookseal.seal.encrypt import EncryptionKey, encrypt
from hookseal.seal.keys import load_public_key
from tests.oracles import OPENERS, open_with_joserfc
from tests.sealed import KEYS, FixedRandomness, b64u_decode, vectors

AGREED = ("p256", "x25519")

each_key = pytest.mark.parametrize("name", KEYS)

FORK = """
import os, sys
from hookseal.seal.encrypt import encrypt
from hookseal.seal.keys import load_public_key

key = load_public_key(sys.argv[1].encode())
encrypt(b"warm", key)
here, there = os.pipe()
child = os.fork()
os.write(there, encrypt(b"same", key) + b"\\n")
if child:
    os.waitpid(child, 0)
    os.close(there)
    sys.stdout.buffer.write(os.fdopen(here, "rb").read())
"""


def a_key(name: str) -> EncryptionKey:
    return load_public_key(json.dumps(vectors()[name].public_jwk).encode())


def members(body: bytes) -> dict[str, str]:
    parsed: dict[str, str] = json.loads(body)
    return parsed


class TestTheBody:
    @each_key
    def test_is_flattened_json_with_nothing_unprotected(self, name: str) -> None:
        body = encrypt(b"{}", a_key(name))

        wrapped = [] if name in AGREED else ["encrypted_key"]
        assert list(members(body)) == ["protected", *wrapped, "iv", "ciphertext", "tag"]
        assert body.isascii()
        assert b" " not in body

    @each_key
    def test_is_base64url_without_padding(self, name: str) -> None:
        for size in range(4):
            for value in members(encrypt(b"x" * size, a_key(name))).values():
                assert not set(value) & set("=+/")

    def test_has_no_encrypted_key_where_the_key_is_agreed_on(self) -> None:
        assert b"encrypted_key" not in encrypt(b"{}", a_key("x25519"))

    @each_key
    def test_holds_nothing_of_the_plaintext(self, name: str) -> None:
        body = encrypt(b'{"iban":"DE89370400440532013000"}', a_key(name))

        shown = body + b"".join(b64u_decode(value) for value in members(body).values())
        assert b"iban" not in shown
        assert b"DE89" not in shown

    @each_key
    def test_grows_by_a_third_of_the_plaintext(self, name: str) -> None:
        small, large = (len(encrypt(b"x" * size, a_key(name))) for size in (0, 3000))

        assert large - small == 4000
        assert small < 1100

    @each_key
    def test_of_nothing_is_opened_too(self, name: str) -> None:
        body = encrypt(b"", a_key(name))

        # jwcrypto 1.6 takes an empty plaintext for a failure.
        assert open_with_joserfc(vectors()[name].private_key, body).plaintext == b""


class TestTheHeader:
    @each_key
    def test_says_how_to_open_and_nothing_else(self, name: str) -> None:
        key = a_key(name)

        header = json.loads(b64u_decode(members(encrypt(b"{}", key))["protected"]))

        epk = header.pop("epk", None)
        assert header == {"alg": key.alg, "enc": "A256GCM", "kid": key.kid, "cty": "json"}
        assert (epk is not None) == (name in AGREED)

    @pytest.mark.parametrize(
        ("name", "kind"),
        [("p256", {"kty": "EC", "crv": "P-256"}), ("x25519", {"kty": "OKP", "crv": "X25519"})],
    )
    def test_holds_the_public_half_of_a_key_used_once(
        self, name: str, kind: dict[str, str]
    ) -> None:
        headers = [
            json.loads(b64u_decode(members(encrypt(b"{}", a_key(name)))["protected"]))
            for _ in range(2)
        ]

        first, second = (header["epk"] for header in headers)
        assert first["x"] != second["x"]
        assert "d" not in first
        assert kind.items() <= first.items()
        assert {len(b64u_decode(first[member])) for member in first.keys() - kind.keys()} == {32}

    @pytest.mark.parametrize(("scalar", "member"), [(379, "x"), (43, "y")])
    def test_keeps_the_zeros_in_front_of_a_coordinate(self, scalar: int, member: str) -> None:
        once = FixedRandomness(iv=bytes(12), ephemeral=scalar.to_bytes(32))

        body = encrypt(b"hi", a_key("p256"), randomness=once)

        epk = json.loads(b64u_decode(members(body)["protected"]))["epk"]
        assert b64u_decode(epk[member])[0] == 0
        assert [len(b64u_decode(epk[each])) for each in "xy"] == [32, 32]
        for opener in OPENERS.values():
            assert opener(vectors()["p256"].private_key, body).plaintext == b"hi"


class TestRandomness:
    @each_key
    def test_is_drawn_anew_for_each_body(self, name: str) -> None:
        first, second = (members(encrypt(b"same", a_key(name))) for _ in range(2))

        assert first["iv"] != second["iv"]
        assert first["ciphertext"] != second["ciphertext"]
        assert first.get("encrypted_key", first["protected"]) != second.get(
            "encrypted_key", second["protected"]
        )

    @pytest.mark.parametrize("name", ["rsa-2048", "p256", "x25519"])
    def test_is_not_shared_with_a_forked_process(self, name: str) -> None:
        # In a process of its own: a fork would take threads of other tests along.
        done = subprocess.run(
            [sys.executable, "-c", FORK, json.dumps(vectors()[name].public_jwk)],
            cwd=Path(__file__).parents[3],
            capture_output=True,
            check=True,
            timeout=30,
        )

        parent, child = map(json.loads, done.stdout.splitlines())
        assert parent["iv"] != child["iv"]
        assert parent["ciphertext"] != child["ciphertext"]
        assert parent["protected" if name in AGREED else "encrypted_key"] not in child.values()
