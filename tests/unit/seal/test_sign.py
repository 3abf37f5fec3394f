from __future__ import annotations

import base64
import gc
import hashlib
import hmac

import pytest

from hookseal.errors import ConfigurationError, SealError
from hookseal.seal.sign import SigningSecrets, sign, signature_header

MASTER_KEY = bytes(range(32))


def hkdf(master_key: bytes, info: bytes) -> bytes:
    """RFC 5869 with SHA-256 and no salt, one block, from its text."""
    pseudorandom = hmac.digest(bytes(32), master_key, hashlib.sha256)
    return hmac.digest(pseudorandom, info + b"\x01", hashlib.sha256)


class TestASignature:
    def test_is_an_hmac_of_id_time_and_body(self) -> None:
        digest = hmac.new(b"secret", b"evt_1.1767225600.{}", hashlib.sha256).digest()

        signed = sign(b"secret", "evt_1", 1_767_225_600, b"{}")

        assert signed == "v1," + base64.b64encode(digest).decode()

    def test_changes_with_each_part_of_what_is_signed(self) -> None:
        signatures = {
            sign(b"secret", "evt_1", 1, b"{}"),
            sign(b"secrer", "evt_1", 1, b"{}"),
            sign(b"secret", "evt_2", 1, b"{}"),
            sign(b"secret", "evt_1", 2, b"{}"),
            sign(b"secret", "evt_1", 1, b"[]"),
        }

        assert len(signatures) == 5

    def test_takes_bodies_that_are_no_text(self) -> None:
        assert sign(b"secret", "evt_1", 1, b"\xff\x00").startswith("v1,")


class TestTheHeader:
    def test_has_one_signature_for_each_secret_the_newest_first(self) -> None:
        new, old = (sign(secret, "evt_1", 1, b"{}") for secret in (b"new", b"old"))

        assert signature_header([b"new", b"old"], "evt_1", 1, b"{}") == f"{new} {old}"
        assert signature_header([b"new"], "evt_1", 1, b"{}") == new

    def test_without_a_secret_is_an_error_that_is_never_retried(self) -> None:
        with pytest.raises(SealError) as caught:
            signature_header([], "evt_1", 1, b"{}")

        assert caught.value.code == "request_invalid"


class TestSigningSecrets:
    def test_of_the_master_key_before_sign_beside_those_of_the_current_one(self) -> None:
        current, before = bytes(range(50, 82)), MASTER_KEY
        secrets = SigningSecrets(current, before)

        assert secrets.in_force("acme", "ep_1", (2, 1)) == [
            SigningSecrets(key).derive("acme", "ep_1", version)
            for key in (current, before)
            for version in (2, 1)
        ]
        assert secrets.show("acme", "ep_1", 1) == SigningSecrets(current).show("acme", "ep_1", 1)

    def test_are_hkdf_of_the_master_key_bound_to_endpoint_and_version(self) -> None:
        # Frozen: another derivation would break every receiver there is.
        info = b"\0\0\0\x19hookseal signing secret 1\0\0\0\4acme\0\0\0\4ep_1\0\0\0\2" + b"12"

        secret = SigningSecrets(MASTER_KEY).derive("acme", "ep_1", 12)

        assert secret == hkdf(MASTER_KEY, info)
        assert SigningSecrets(MASTER_KEY).derive("acme", "ep_1", 1).hex() == (
            "e56121547ac4e27ff271cb8fd62fc0929ce22f0fcbdcf9b52ff89e323d2ece12"
        )

    def test_differ_between_endpoints_versions_and_master_keys(self) -> None:
        secrets = SigningSecrets(MASTER_KEY)
        derived = {
            secrets.derive("acme", "ep_1", 1),
            secrets.derive("acme", "ep_1", 2),
            secrets.derive("acme", "ep_11", 1),
            secrets.derive("acme", "ep_1", 11),
            secrets.derive("acmee", "p_1", 1),
            secrets.derive("acm", "eep_1", 1),
            secrets.derive("acme\0\0\0\4", "ep_1", 1),
            secrets.derive("", "acmeep_1", 1),
            SigningSecrets(bytes(32)).derive("acme", "ep_1", 1),
        }

        assert len(derived) == 9
        assert {len(secret) for secret in derived} == {32}

    def test_are_the_same_in_every_process_that_has_the_master_key(self) -> None:
        ours, theirs = SigningSecrets(MASTER_KEY), SigningSecrets(MASTER_KEY)

        assert ours.derive("zoë✓", "ep_1", 3) == theirs.derive("zoë✓", "ep_1", 3)

    def test_are_shown_as_standard_webhooks_has_it(self) -> None:
        secrets = SigningSecrets(MASTER_KEY)

        shown = secrets.show("acme", "ep_1", 1)

        assert shown.startswith("whsec_")
        assert base64.b64decode(shown[6:], validate=True) == secrets.derive("acme", "ep_1", 1)

    def test_keep_the_master_key_out_of_sight(self) -> None:
        key = b"MASTER-KEY-MASTER-KEY-MASTER-KEY"
        secrets = SigningSecrets(key)
        derived = secrets.derive("acme", "ep_1", 1)

        shown = repr(secrets) + str(secrets) + repr([getattr(secrets, n) for n in dir(secrets)])
        assert "MASTER-KEY" not in shown
        assert not hasattr(secrets, "__dict__")
        assert derived.hex() not in shown

    def test_are_derived_once_and_not_remembered_without_bound(self) -> None:
        secrets = SigningSecrets(MASTER_KEY)

        first = secrets.derive("acme", "ep_1", 1)
        assert secrets.derive("acme", "ep_1", 1) is first
        for number in range(17_000):
            secrets.derive("acme", f"ep_x{number}", 1)
        gc.collect()

        assert secrets.derive("acme", "ep_1", 1) is not first
        assert secrets.derive("acme", "ep_1", 1) == first

    @pytest.mark.parametrize("size", [0, 1, 31])
    def test_need_a_master_key_of_32_bytes(self, size: int) -> None:
        with pytest.raises(ConfigurationError) as caught:
            SigningSecrets(bytes(size))

        assert caught.value.code == "master_key_short"
