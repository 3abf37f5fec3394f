"""Wycheproof's vectors for JSON Web Encryption, as far as a sender can use them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from hookseal.errors import InvalidKeyError
from hookseal.seal.encrypt import encrypt, encryption_key
from hookseal.seal.keys import parse_public_key
from tests.oracles import OPENERS, REFUSED, joserfc_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.oracles import Opened

FILE = Path(__file__).parents[1] / "vectors" / "wycheproof_json_web_encryption_test.json"
GROUPS: list[dict[str, Any]] = json.loads(FILE.read_text())["testGroups"]
OURS = ("RSA-OAEP-256", "ECDH-ES")
# RFC 7518 section 6.2.2.1 and 6.3.2, and section 6.4.1 of a symmetric key.
SECRET = {"d", "p", "q", "dp", "dq", "qi", "k"}

each_opener = pytest.mark.parametrize("opener", OPENERS.values(), ids=OPENERS)


def keys(*types: str) -> list[dict[str, str]]:
    """All distinct private keys of these types."""
    found = [group["private"] for group in GROUPS if group["private"]["kty"] in types]
    return list({json.dumps(key, sort_keys=True): key for key in found}.values())


def public(private: dict[str, str]) -> dict[str, str]:
    return {name: private[name] for name in private.keys() - SECRET}


def code_of(jwk: dict[str, str]) -> str:
    try:
        parse_public_key(json.dumps(jwk))
    except InvalidKeyError as error:
        return error.code
    return "accepted"


def expected_code(private: dict[str, str]) -> str:
    ours = private["alg"] in OURS and private.get("crv") != "P-384"
    return "accepted" if ours else "key_unsupported"


def flattened(compact: str) -> bytes:
    names = ("protected", "encrypted_key", "iv", "ciphertext", "tag")
    parts = zip(names, compact.split("."), strict=True)
    return json.dumps({name: part for name, part in parts if part}).encode()


def decided(result: str) -> list[tuple[dict[str, str], dict[str, Any]]]:
    """Key and vector of each JWE in our algorithms, or with a key for them, that is so."""
    return [
        (group["private"], test)
        for group in GROUPS
        if group["private"].get("alg") in OURS
        for test in group["tests"]
        if test["result"] == result and (result == "invalid" or test["enc"] == "A256GCM")
    ]


@pytest.mark.parametrize("private", keys("RSA", "EC"), ids=lambda key: key["kid"])
class TestTheKeys:
    def test_are_accepted_or_refused_for_what_they_are_bound_to(
        self, private: dict[str, str]
    ) -> None:
        assert code_of(public(private)) == expected_code(private)

    def test_are_refused_as_private_keys(self, private: dict[str, str]) -> None:
        assert code_of(private) == "private_key_submitted"

    @each_opener
    def test_open_what_was_sealed_to_them(
        self, opener: Callable[[bytes, bytes], Opened], private: dict[str, str]
    ) -> None:
        unbound = {name: value for name, value in private.items() if name not in ("alg", "use")}
        if private.get("crv") == "P-384":
            assert code_of(public(unbound)) == "key_unsupported"
            return

        key = parse_public_key(json.dumps(public(unbound)))
        body = encrypt(b"foo", encryption_key(key.kid, key.jwk))

        pem = joserfc_key(json.dumps(unbound).encode()).as_pem(private=True)
        assert opener(pem, body).plaintext == b"foo"


@pytest.mark.parametrize("secret", keys("oct"), ids=lambda key: key["kid"])
def test_symmetric_keys_are_refused(secret: dict[str, str]) -> None:
    assert code_of(secret) == "key_unsupported"


@each_opener
class TestTheOracles:
    """They are alive: they tell good from bad by other people's bodies, too."""

    @pytest.mark.parametrize(("private", "vector"), decided("valid"))
    def test_open_valid_bodies(
        self,
        opener: Callable[[bytes, bytes], Opened],
        private: dict[str, str],
        vector: dict[str, Any],
    ) -> None:
        pem = joserfc_key(json.dumps(private).encode()).as_pem(private=True)

        assert opener(pem, flattened(vector["jwe"])).plaintext.hex() == vector["pt"]

    @pytest.mark.parametrize(("private", "vector"), decided("invalid"))
    def test_refuse_invalid_bodies(
        self,
        opener: Callable[[bytes, bytes], Opened],
        private: dict[str, str],
        vector: dict[str, Any],
    ) -> None:
        pem = joserfc_key(json.dumps(private).encode()).as_pem(private=True)

        with pytest.raises(REFUSED):
            opener(pem, flattened(vector["jwe"]))
