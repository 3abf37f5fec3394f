from __future__ import annotations

import pytest

from hookseal.errors import SealError
from hookseal.seal.vault import EventVault

KEY, OLD = bytes(range(32)), bytes(range(1, 33))
PLACE = ("acme", "evt_1", "order.paid")
# Computed with AES, GCM, HMAC and HKDF one by one.
FROZEN = "1:xQouSHdNNNKcmMBf3FOsbqezGjUkptDSITHQDda-9AxUPRc"
DATA = b'{"total":  42}'


@pytest.fixture
def vault() -> EventVault:
    return EventVault("events", [KEY])


def test_data_are_opened_byte_for_byte(vault: EventVault) -> None:
    assert vault.open(vault.seal(DATA, *PLACE), *PLACE) == DATA


def test_the_same_event_is_sealed_to_the_same_bytes(vault: EventVault) -> None:
    """By which a repeat is known, also by another process."""
    assert vault.seal(DATA, *PLACE) == EventVault("events", [KEY]).seal(DATA, *PLACE)


def test_nothing_else_shares_a_nonce(vault: EventVault) -> None:
    places = [PLACE, ("other", *PLACE[1:]), ("acme", "evt_2", PLACE[2]), (*PLACE[:2], "b")]
    sealed = [vault.seal(data, *place) for place in places for data in (DATA, DATA + b" ")]

    nonces = [text.removeprefix("1:")[:16] for text in sealed]
    assert len(set(nonces)) == len(nonces)


@pytest.mark.parametrize(
    "place",
    [
        ("other", "evt_1", "order.paid"),
        ("acme", "evt_2", "order.paid"),
        ("acme", "evt_1", "order.void"),
        ("", "evt_1", "order.paid"),
        ("acmeevt_1", "", "order.paid"),
    ],
)
def test_they_open_nowhere_else(vault: EventVault, place: tuple[str, str, str]) -> None:
    with pytest.raises(SealError, match="data_unreadable"):
        vault.open(vault.seal(DATA, *PLACE), *place)


def test_they_open_on_no_other_topic(vault: EventVault) -> None:
    with pytest.raises(SealError, match="data_unreadable"):
        EventVault("staging.events", [KEY]).open(vault.seal(DATA, *PLACE), *PLACE)


@pytest.mark.parametrize("text", ["", "1:", "1:AAAA", "2:" + "A" * 60, "1:!", "1:" + "A" * 60])
def test_anything_else_does_not_open(vault: EventVault, text: str) -> None:
    with pytest.raises(SealError, match="data_unreadable"):
        vault.open(text, *PLACE)


def test_a_changed_one_does_not_open(vault: EventVault) -> None:
    sealed = vault.seal(DATA, *PLACE)

    for place in range(len(sealed)):
        letter = "A" if sealed[place] != "A" else "B"
        with pytest.raises(SealError):
            vault.open(sealed[:place] + letter + sealed[place + 1 :], *PLACE)


def test_the_key_before_still_opens(vault: EventVault) -> None:
    before = EventVault("events", [OLD]).seal(DATA, *PLACE)

    assert EventVault("events", [KEY, OLD]).open(before, *PLACE) == DATA
    with pytest.raises(SealError):
        vault.open(before, *PLACE)


def test_the_format_does_not_change_from_release_to_release(vault: EventVault) -> None:
    assert vault.seal(b'{"n":1}', "acme", "evt_1", "order.paid") == FROZEN
