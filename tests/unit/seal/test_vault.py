from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookseal.seal.vault import Vault, is_sealed

KEY, OLD = bytes(range(32)), bytes(range(1, 33))
PLACE = ("acme", "ep_1", "X-Token")


@given(st.text(st.characters(codec="utf-8")))
def test_what_was_sealed_is_opened(text: str) -> None:
    vault = Vault([KEY])
    sealed = vault.seal(text, *PLACE)

    assert is_sealed(sealed)
    assert vault.open(sealed, *PLACE) == text


def test_the_same_text_is_sealed_differently_each_time() -> None:
    vault = Vault([KEY])

    assert len({vault.seal("s3cret", *PLACE) for _ in range(100)}) == 100


@pytest.mark.parametrize(
    "place",
    [
        ("other", "ep_1", "X-Token"),
        ("acme", "ep_2", "X-Token"),
        ("acme", "ep_1", "X-Other"),
        ("acmeep_1", "", "X-Token"),
        ("acme", "ep_1X", "-Token"),
        (),
    ],
)
def test_it_opens_nowhere_else(place: tuple[str, ...]) -> None:
    vault = Vault([KEY])

    with pytest.raises(ValueError, match="another binding"):
        vault.open(vault.seal("s3cret", *PLACE), *place)


def test_a_changed_one_does_not_open() -> None:
    vault = Vault([KEY])
    sealed = vault.seal("s3cret", *PLACE)

    for place in range(len("sealed:1:"), len(sealed)):
        letter = "A" if sealed[place] != "A" else "B"
        with pytest.raises(ValueError, match=r"another|base64url"):
            vault.open(sealed[:place] + letter + sealed[place + 1 :], *PLACE)


@pytest.mark.parametrize(
    "text", ["sealed:1:", "sealed:1:AAAA", "sealed:1:!", "sealed:1:" + "A" * 40]
)
def test_anything_else_does_not_open(text: str) -> None:
    with pytest.raises(ValueError, match=r"another|base64url"):
        Vault([KEY]).open(text, *PLACE)


def test_the_key_before_still_opens_and_seals_nothing() -> None:
    before = Vault([OLD]).seal("s3cret", *PLACE)
    rotated = Vault([KEY, OLD])

    assert rotated.open(before, *PLACE) == "s3cret"
    assert Vault([KEY]).open(rotated.seal("s3cret", *PLACE), *PLACE) == "s3cret"
    with pytest.raises(ValueError, match="another key"):
        Vault([KEY]).open(before, *PLACE)
