from __future__ import annotations

import orjson
import pytest

from hookseal.seal.registry import RegistryMac

KEY, OLD, OTHER = bytes(range(32)), bytes(range(1, 33)), b"x" * 32
TOPIC = "tenant-commands"
DOCUMENT = b'{"type":"tenant.create","customer_id":"acme","id":"c"}'


@pytest.fixture
def mac() -> RegistryMac:
    return RegistryMac([KEY])


class TestAttached:
    def test_it_is_still_json(self, mac: RegistryMac) -> None:
        signed = orjson.loads(mac.attach(TOPIC, b"acme", DOCUMENT))

        assert len(signed.pop("mac")) == 43
        assert signed == orjson.loads(DOCUMENT)

    def test_it_is_found_again(self, mac: RegistryMac) -> None:
        assert mac.checked(TOPIC, b"acme", mac.attach(TOPIC, b"acme", DOCUMENT)) == (DOCUMENT, True)

    def test_it_does_not_change_from_release_to_release(self, mac: RegistryMac) -> None:
        """Computed with the standard library alone, HKDF included."""
        signed = mac.attach(TOPIC, b"acme", DOCUMENT)

        assert orjson.loads(signed)["mac"] == "Zf5h7YcFbaFBXow4Q1AQu8J67RP6qJL5cZGdwyd7G74"

    @pytest.mark.parametrize("document", [b'{"a":1,"mac":"x"}', b'{"a":"}"}', b'{"a":{"mac":"y"}}'])
    def test_it_stands_behind_whatever_the_document_holds(
        self, mac: RegistryMac, document: bytes
    ) -> None:
        assert mac.checked(TOPIC, b"k", mac.attach(TOPIC, b"k", document)) == (document, True)


class TestRefused:
    def test_without_one(self, mac: RegistryMac) -> None:
        for value in (b"", b"{}", DOCUMENT, b"nonsense", b"\xff\xfe", b'{"mac":""}'):
            assert mac.checked(TOPIC, b"acme", value) is None

    def test_moved_to_another_tenant(self, mac: RegistryMac) -> None:
        assert mac.checked(TOPIC, b"other", mac.attach(TOPIC, b"acme", DOCUMENT)) is None

    def test_moved_to_another_topic(self, mac: RegistryMac) -> None:
        signed = mac.attach(TOPIC, b"acme", DOCUMENT)

        assert mac.checked("staging.tenant-commands", b"acme", signed) is None

    def test_no_two_places_are_spelled_alike(self, mac: RegistryMac) -> None:
        assert mac.checked("ab", b"c", mac.attach("a", b"bc", DOCUMENT)) is None

    def test_with_any_byte_changed(self, mac: RegistryMac) -> None:
        signed = mac.attach(TOPIC, b"acme", DOCUMENT)

        for place in range(len(signed)):
            changed = bytearray(signed)
            changed[place] ^= 1
            assert mac.checked(TOPIC, b"acme", bytes(changed)) is None

    def test_with_anything_around_it(self, mac: RegistryMac) -> None:
        signed = mac.attach(TOPIC, b"acme", DOCUMENT)

        for changed in (signed + b"\n", b" " + signed, signed + signed, signed[:-1]):
            assert mac.checked(TOPIC, b"acme", changed) is None

    def test_under_another_key(self, mac: RegistryMac) -> None:
        assert mac.checked(TOPIC, b"k", RegistryMac([OTHER]).attach(TOPIC, b"k", DOCUMENT)) is None


class TestRotation:
    def test_macs_of_the_key_before_still_count_and_none_is_made(self) -> None:
        before = RegistryMac([OLD]).attach(TOPIC, b"k", DOCUMENT)
        rotated = RegistryMac([KEY, OLD])

        assert rotated.checked(TOPIC, b"k", before) == (DOCUMENT, False)
        assert rotated.attach(TOPIC, b"k", DOCUMENT) == RegistryMac([KEY]).attach(
            TOPIC, b"k", DOCUMENT
        )

    def test_without_the_key_before_they_count_no_more(self) -> None:
        before = RegistryMac([OLD]).attach(TOPIC, b"k", DOCUMENT)

        assert RegistryMac([KEY]).checked(TOPIC, b"k", before) is None
