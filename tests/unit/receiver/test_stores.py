"""Stores of what was seen: one set of rules, two stores."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from hookseal_receiver import Bounds, MemoryStore, SetupError, SQLiteStore, Standing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hookseal_receiver import Claim

BOUNDS = Bounds(max_entries=3, max_age_s=1000, lease_s=30)


class Clock:
    """Stands still until it is put forward."""

    def __init__(self) -> None:
        self.now_s = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


class StoreContract:
    def see(self, store: MemoryStore | SQLiteStore, *deliveries: str) -> None:
        for delivery in deliveries:
            store.finish(store.claim(delivery))

    def standing(self, store: MemoryStore | SQLiteStore, delivery: str) -> Standing:
        """How it stands, leaving it as it was."""
        claim = store.claim(delivery)
        if claim.standing is Standing.NEW:
            store.release(claim)
        return claim.standing

    def test_a_first_claim_is_ones_own(self, store: MemoryStore | SQLiteStore) -> None:
        assert store.claim("a").standing is Standing.NEW
        assert store.claim("b").standing is Standing.NEW

    def test_a_second_one_is_told_how_long_it_may_take(
        self, store: MemoryStore | SQLiteStore, clock: Clock
    ) -> None:
        store.claim("a")
        clock.now_s += 10

        again = store.claim("a")

        assert (again.standing, again.free_in_s) == (Standing.RUNNING, 20)

    def test_what_is_finished_was_seen(self, store: MemoryStore | SQLiteStore) -> None:
        self.see(store, "a")

        assert store.claim("a").standing is Standing.SEEN
        assert store.claim("a").standing is Standing.SEEN

    def test_what_is_released_may_be_claimed_again(self, store: MemoryStore | SQLiteStore) -> None:
        store.release(store.claim("a"))

        assert store.claim("a").standing is Standing.NEW

    def test_a_claim_ends_by_itself(self, store: MemoryStore | SQLiteStore, clock: Clock) -> None:
        store.claim("a")
        clock.now_s += 29.9
        assert store.claim("a").standing is Standing.RUNNING
        clock.now_s += 0.1

        assert store.claim("a").standing is Standing.NEW

    def test_whoever_comes_late_does_not_release_anothers_claim(
        self, store: MemoryStore | SQLiteStore, clock: Clock
    ) -> None:
        late = store.claim("a")
        clock.now_s += 30
        store.claim("a")

        store.release(late)

        assert store.claim("a").standing is Standing.RUNNING

    def test_whoever_finishes_late_has_handled_it_all_the_same(
        self, store: MemoryStore | SQLiteStore, clock: Clock
    ) -> None:
        late = store.claim("a")
        clock.now_s += 30
        other = store.claim("a")

        store.finish(late)
        assert store.claim("a").standing is Standing.SEEN

        store.release(other)
        assert store.claim("a").standing is Standing.SEEN

    def test_what_is_old_is_forgotten(self, store: MemoryStore | SQLiteStore, clock: Clock) -> None:
        self.see(store, "a")
        clock.now_s += 999
        assert self.standing(store, "a") is Standing.SEEN
        clock.now_s += 1

        assert self.standing(store, "a") is Standing.NEW

    def test_of_too_many_the_oldest_are_forgotten(self, store: MemoryStore | SQLiteStore) -> None:
        self.see(store, "a", "b", "c", "d")

        assert [self.standing(store, one) for one in "bcd"] == [Standing.SEEN] * 3
        assert len(store) <= 4
        assert self.standing(store, "a") is Standing.NEW

    def test_it_stays_small_however_many_there_are(self, store: MemoryStore | SQLiteStore) -> None:
        self.see(store, *map(str, range(200)))
        for number in range(200, 400):
            store.release(store.claim(str(number)))

        assert len(store) <= 4

    def test_retries_of_one_do_not_push_out_others(self, store: MemoryStore | SQLiteStore) -> None:
        self.see(store, "a", "b")
        for _ in range(20):
            store.release(store.claim("c"))

        assert [self.standing(store, one) for one in "ab"] == [Standing.SEEN] * 2

    def test_what_is_in_hand_is_not_forgotten(self, store: MemoryStore | SQLiteStore) -> None:
        store.claim("a")
        self.see(store, "b", "c", "d", "e", "f")

        assert store.claim("a").standing is Standing.RUNNING

    def test_of_many_at_once_one_gets_it(self, store: MemoryStore | SQLiteStore) -> None:
        together = threading.Barrier(8)

        def claim(_: int) -> Claim:
            together.wait(timeout=10)
            return store.claim("a")

        with ThreadPoolExecutor(8) as threads:
            standings = [claim.standing for claim in threads.map(claim, range(8))]

        assert sorted(one.value for one in standings) == ["new"] + ["running"] * 7


class TestMemoryStore(StoreContract):
    @pytest.fixture
    def store(self, clock: Clock) -> MemoryStore:
        return MemoryStore(bounds=BOUNDS, clock=clock)


class TestSQLiteStore(StoreContract):
    @pytest.fixture
    def store(self, clock: Clock, tmp_path: Path) -> Iterator[SQLiteStore]:
        store = SQLiteStore(tmp_path / "seen.db", bounds=BOUNDS, clock=clock)
        yield store
        store.close()


@pytest.mark.parametrize("name", ["max_entries", "max_age_s", "lease_s"])
@pytest.mark.parametrize("number", [0, -1, float("inf"), float("nan")])
def test_bounds_that_bound_nothing_are_refused(name: str, number: float) -> None:
    with pytest.raises(SetupError) as caught:
        Bounds(**{name: number})  # type: ignore[arg-type]
    assert (caught.value.code, caught.value.field) == ("bounds_invalid", name)
