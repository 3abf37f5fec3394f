from __future__ import annotations

import json
import logging
import time

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from hookseal.errors import InvalidKeyError, SealError
from hookseal.seal.encrypt import encrypt
from hookseal.seal.keys import (
    MAX_BYTES,
    KeyKind,
    generate_private_key,
    load_public_key,
    parse_public_key,
)
from tests.oracles import joserfc_key, jwcrypto_key
from tests.public_keys import jwk_of, p256_pem, point, private
from tests.sealed import KEYS, b64u, public_pem, vectors

# openssl ec -pubout -conv_form compressed
COMPRESSED = """\
-----BEGIN PUBLIC KEY-----
MDkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDIgACRsj5Ib9R430oQx6NlhHy9l8UD7pD
N59znkFjMRPIR9Y=
-----END PUBLIC KEY-----
"""
# Private keys whose points have a zero in front of x, and of y.
SHORT_COORDINATES = (379, 43)

each_key = pytest.mark.parametrize("name", KEYS)


def pem(name: str) -> bytes:
    return vectors()[name].public_pem


class TestAcceptedKeys:
    @each_key
    def test_are_the_same_whichever_way_they_come(self, name: str) -> None:
        key = parse_public_key(pem(name))

        assert parse_public_key(pem(name).decode()) == key
        assert parse_public_key(json.dumps(key.jwk)) == key
        assert parse_public_key(json.dumps(key.jwk).encode()) == key

    @each_key
    def test_have_their_thumbprint_as_key_id(self, name: str) -> None:
        kid = parse_public_key(pem(name)).kid

        assert len(kid) == 43
        assert kid == joserfc_key(pem(name)).thumbprint()
        assert kid == jwcrypto_key(pem(name)).thumbprint()

    @pytest.mark.parametrize(
        ("name", "alg", "members"),
        [
            ("rsa-2048", "RSA-OAEP-256", {"kty", "n", "e"}),
            ("rsa-4096", "RSA-OAEP-256", {"kty", "n", "e"}),
            ("p256", "ECDH-ES", {"kty", "crv", "x", "y"}),
            ("x25519", "ECDH-ES", {"kty", "crv", "x"}),
        ],
    )
    def test_keep_their_required_members_only(self, name: str, alg: str, members: set[str]) -> None:
        key = parse_public_key(jwk_of(name, use="enc", alg=alg, kid="mine", key_ops=["deriveKey"]))

        assert (key.alg, set(key.jwk)) == (alg, members)
        assert key == parse_public_key(pem(name))

    def test_of_web_crypto_have_an_empty_list_of_operations(self) -> None:
        assert parse_public_key(jwk_of("p256", key_ops=[], ext=True)).kid

    def test_may_have_members_that_are_null(self) -> None:
        assert parse_public_key(jwk_of("p256", d=None, use=None, alg=None)).kid

    def test_may_have_text_around_the_block(self) -> None:
        text = (
            b"\xef\xbb\xbfacme's key\r\n\r\n" + pem("p256").replace(b"\n", b"\r\n") + b"\r\n# end"
        )

        assert parse_public_key(text) == parse_public_key(pem("p256"))

    def test_may_follow_a_byte_order_mark(self) -> None:
        assert parse_public_key(b"\xef\xbb\xbf" + jwk_of("p256").encode()).kid

    def test_on_p256_may_be_compressed_points(self) -> None:
        x, y = point()

        key = parse_public_key(p256_pem(bytes([2 + y[-1] % 2]) + x))

        assert key == parse_public_key(pem("p256"))
        assert parse_public_key(COMPRESSED).jwk["crv"] == "P-256"

    @pytest.mark.parametrize("scalar", SHORT_COORDINATES)
    def test_on_p256_keep_the_zeros_in_front_of_a_coordinate(self, scalar: int) -> None:
        numbers = ec.derive_private_key(scalar, ec.SECP256R1()).public_key().public_numbers()
        x, y = numbers.x.to_bytes(32), numbers.y.to_bytes(32)
        assert 0 in (x[0], y[0])

        key = parse_public_key(p256_pem(b"\x04" + x + y))

        assert parse_public_key(json.dumps(key.jwk)) == key
        assert {len(key.jwk["x"]), len(key.jwk["y"])} == {43}

    @pytest.mark.parametrize("exponent", [65_537, 65_539, 2**32 - 5])
    def test_of_rsa_may_have_any_odd_exponent_in_range(self, exponent: int) -> None:
        e = exponent.to_bytes((exponent.bit_length() + 7) // 8)
        assert parse_public_key(jwk_of("rsa-2048", e=b64u(e))).alg == "RSA-OAEP-256"


class TestParsing:
    def test_takes_no_time_whatever_is_sent(self) -> None:
        # Each of these once was, or could be, quadratic.
        hostile = [
            b" ",
            b"-",
            b"A",
            b"-----BEGIN ",
            b"--- BEGIN A",
            b'"d" ',
            b"{",
            b"[{},",
            b"0\x82",
        ]

        started = time.process_time()
        for piece in hostile:
            for start, end in ((b"", b""), (b"A", b":"), (b"", b"=")):
                text = start + piece * ((MAX_BYTES - 2) // len(piece)) + end
                with pytest.raises(InvalidKeyError):
                    parse_public_key(text)

        assert time.process_time() - started < 0.5

    def test_logs_nothing(self, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.DEBUG):
            parse_public_key(pem("p256"))
            with pytest.raises(InvalidKeyError):
                parse_public_key(private())

        assert caplog.records == []


class TestLoading:
    @each_key
    def test_gives_a_key_that_seals(self, name: str) -> None:
        public = parse_public_key(pem(name))

        key = load_public_key(json.dumps(public.jwk).encode())

        assert (key.kid, key.alg) == (public.kid, public.alg)
        assert json.loads(encrypt(b"{}", key))["tag"]

    def test_is_done_once_for_the_same_bytes(self) -> None:
        text = jwk_of("p256").encode()

        assert load_public_key(text) is load_public_key(bytes(bytearray(text)))

    @pytest.mark.parametrize(
        "nonsense",
        [
            b"",
            b"{}",
            b"null",
            b"\xff",
            b'{"kty":"RSA"}',
            private(),
            jwk_of("p256", y="AA").encode(),
        ],
    )
    def test_of_nonsense_is_an_error_that_is_never_retried(self, nonsense: bytes) -> None:
        with pytest.raises(SealError) as caught:
            load_public_key(nonsense)

        assert caught.value.code == "key_unusable"

    def test_shows_no_key_material(self) -> None:
        public = vectors()["p256"].public_key
        key = load_public_key(json.dumps(public.jwk).encode())

        assert public.jwk["x"] not in repr(public)
        assert repr(key) == f"EncryptionKey(kid='{public.kid}', alg='ECDH-ES')"


class TestGenerating:
    @pytest.mark.parametrize(
        ("kind", "bits"),
        [
            ("rsa-2048", 2048),
            pytest.param("rsa-3072", 3072, marks=pytest.mark.slow),
            pytest.param("rsa-4096", 4096, marks=pytest.mark.slow),
            ("p256", 256),
            ("x25519", 0),
        ],
    )
    def test_makes_a_pair_that_fits(self, kind: KeyKind, bits: int) -> None:
        private_pem, made = generate_private_key(kind)

        loaded = load_pem_private_key(private_pem, None)
        assert private_pem.startswith(b"-----BEGIN PRIVATE KEY-----\n")
        assert public_pem(private_pem) == made
        assert parse_public_key(made).kid
        if isinstance(loaded, X25519PrivateKey):
            assert bits == 0
        else:
            assert isinstance(loaded, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey)
            assert loaded.key_size == bits

    def test_makes_another_one_each_time(self) -> None:
        assert generate_private_key("x25519") != generate_private_key("x25519")
