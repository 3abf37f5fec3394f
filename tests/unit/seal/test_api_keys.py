from __future__ import annotations

import re

import pytest

from hookseal.errors import ConfigurationError, InvalidCommandError
from hookseal.seal.api_keys import ApiKeys, ReadKey, new_admin_key, read_key, same_secret
from tests.builders import MASTER_KEY

SCOPES = ("events:write",)
NEW = {1: b"1" * 32, 2: b"2" * 32}


def keys(**peppers: bytes) -> ApiKeys:
    return ApiKeys(
        {int(name[1:]): value for name, value in peppers.items()}, master_keys=[MASTER_KEY]
    )


class TestNew:
    def test_has_the_form_that_scanners_know(self) -> None:
        text, stored = keys().new(SCOPES, now=5.0)

        assert re.fullmatch(r"whk_live_[0-9A-Za-z]{12}_[0-9A-Za-z]{49}", text)
        assert len(text) == 71
        assert text.startswith(f"whk_live_{stored.id}_")
        assert (stored.scopes, stored.created_at) == (SCOPES, 5.0)

    def test_is_another_each_time(self) -> None:
        made = {keys().new(SCOPES, now=0.0)[0] for _ in range(100)}

        assert len(made) == 100

    def test_has_the_same_id_for_the_same_seed_alone(self) -> None:
        same = [keys().new(SCOPES, now=0.0, seed=("acme", "ab"))[1].id for _ in range(2)]
        others = [
            keys().new(SCOPES, now=0.0, seed=seed)[1].id for seed in (("acme", "b"), ("acmea", "b"))
        ]

        assert same[0] == same[1]
        assert len({*same, *others}) == 3

    def test_never_makes_a_key_of_a_seed_again(self) -> None:
        revoked, _ = keys().new(SCOPES, now=0.0, seed=("acme", "ab"))
        _, stored = keys().new(SCOPES, now=0.0, seed=("acme", "ab"))

        read = read_key(revoked)

        assert read is not None
        assert not keys().fits(read, stored)

    def test_shows_a_stored_key_again_for_its_seed_alone(self) -> None:
        text, stored = keys().new(SCOPES, now=0.0, seed=("acme", "ab"))

        assert keys().again(stored, ("acme", "ab")) == text
        assert keys().again(stored, ("acme", "b")) is None

    def test_shows_a_stored_key_again_under_the_previous_master_key(self) -> None:
        old, new = b"o" * 32, b"n" * 32
        text, stored = ApiKeys({}, master_keys=[old]).new(SCOPES, now=0.0, seed=("acme",))

        assert ApiKeys({}, master_keys=[new, old]).again(stored, ("acme",)) == text

    def test_the_stored_part_holds_nothing_of_the_secret(self) -> None:
        text, stored = keys().new(SCOPES, now=0.0)

        assert text.rpartition("_")[2] not in repr(stored)
        assert stored.digest not in text

    def test_needs_a_scope(self) -> None:
        for scopes in ((), ("all",)):
            with pytest.raises(InvalidCommandError) as refused:
                keys().new(scopes, now=0.0)
            assert refused.value.code == "scopes_invalid"


class TestRead:
    def test_takes_what_was_made(self) -> None:
        text, stored = keys().new(SCOPES, now=0.0)

        read = read_key(text)

        assert read is not None
        assert read.id == stored.id
        assert text not in repr(read)

    def test_refuses_what_cannot_be_a_key(self) -> None:
        text, _ = keys().new(SCOPES, now=0.0)
        last = "0" if text[-1] != "0" else "1"

        for other in (
            "",
            "whk_live_",
            text[:-1],
            text + "0",
            text[:-1] + last,
            f" {text}",
            "x" * 71,
        ):
            assert read_key(other) is None

    def test_a_changed_character_is_noticed_wherever_it_stands(self) -> None:
        text, _ = keys().new(SCOPES, now=0.0)
        for place in range(len(text)):
            changed = text[:place] + ("A" if text[place] != "A" else "B") + text[place + 1 :]
            assert read_key(changed) is None


class TestFits:
    def test_the_key_and_no_other(self) -> None:
        made = keys()
        text, stored = made.new(SCOPES, now=0.0)
        other, other_stored = made.new(SCOPES, now=0.0)

        assert made.fits(_read(text), stored)
        assert not made.fits(_read(other), stored)
        assert not made.fits(_read(text), other_stored)
        assert not made.fits(_read(text), None)

    def test_under_the_pepper_it_was_stored_with(self) -> None:
        old = keys(p1=NEW[1])
        text, stored = old.new(SCOPES, now=0.0)
        rotated = keys(p1=NEW[1], p2=NEW[2])

        assert stored.pepper == 1
        assert rotated.fits(_read(text), stored)
        assert rotated.new(SCOPES, now=0.0)[1].pepper == 2
        # The old pepper is given up, and with it what was stored under it.
        assert not keys(p2=NEW[2]).fits(_read(text), stored)

    def test_a_writer_of_the_changelog_cannot_plant_a_key(self) -> None:
        text, _ = keys(p1=NEW[1]).new(SCOPES, now=0.0)
        _, planted = ApiKeys({}, master_keys=[b"x" * 32]).new(SCOPES, now=0.0)

        assert not keys(p1=NEW[1]).fits(_read(text), planted)

    def test_a_pepper_is_long(self) -> None:
        with pytest.raises(ConfigurationError) as refused:
            keys(p1=b"short")
        assert refused.value.code == "pepper_short"


def test_the_admin_key_is_known_by_its_prefix() -> None:
    assert re.fullmatch(r"wha_[0-9A-Za-z]{49}", new_admin_key())
    assert new_admin_key() != new_admin_key()


def test_secrets_are_compared_whatever_they_are() -> None:
    assert same_secret("a", "a")
    assert not same_secret("a", "ab")
    assert not same_secret("\udc80", "a")


def _read(text: str) -> ReadKey:
    read = read_key(text)
    assert read is not None
    return read


class TestAMasterKeyBefore:
    def test_s_keys_pass_while_it_is_known(self) -> None:
        old, new = MASTER_KEY, b"n" * 32
        key, stored = ApiKeys({}, master_keys=[old]).new(SCOPES, now=0.0)
        read = read_key(key)
        assert read is not None

        assert ApiKeys({}, master_keys=[new, old]).fits(read, stored)
        assert not ApiKeys({}, master_keys=[new]).fits(read, stored)

    def test_makes_no_new_ones(self) -> None:
        old, new = MASTER_KEY, b"n" * 32
        key, stored = ApiKeys({}, master_keys=[new, old]).new(SCOPES, now=0.0)
        read = read_key(key)
        assert read is not None

        assert ApiKeys({}, master_keys=[new]).fits(read, stored)
