"""The demo's verdict must see what it says it sees."""

from __future__ import annotations

import pytest

from hookseal.cli.demo.books import Arrival, Book, Letter
from hookseal.cli.demo.verdict import judge


def a_book(*, may_fail: bool = False) -> Book:
    """Return the book of a tenant with ten events, all accepted or all dead-lettered."""
    book = Book("acme", may_fail=may_fail)
    book.published = {f"evt_{number}": b"%d" % number for number in range(10)}
    book.acknowledged = 10
    for event_id, value in book.published.items():
        if may_fail:
            book.letters.append(Letter(event_id, "attempts_exhausted", 3, value))
        else:
            book.arrivals.append(Arrival(event_id, 200))
    return book


def failed(*books: Book) -> dict[str, tuple[str, ...]]:
    return {claim.code: claim.faults for claim in judge(books) if not claim.holds}


def test_all_claims_hold_when_all_is_well() -> None:
    assert failed(a_book(), a_book(may_fail=True)) == {}


def test_a_lost_event_is_detected() -> None:
    book = a_book()
    lost = book.arrivals.pop(4)

    faults = failed(book)["accounted"]

    assert faults == (f"acme: {lost.event_id} was neither accepted nor dead-lettered",)


def test_an_event_whose_only_requests_were_answered_with_503_is_lost() -> None:
    book = a_book()
    book.arrivals[9] = Arrival("evt_9", 503)

    assert "accounted" in failed(book)


def test_a_reordered_event_is_detected() -> None:
    book = a_book()
    book.arrivals[2], book.arrivals[3] = book.arrivals[3], book.arrivals[2]

    faults = failed(book)["ordered"]

    assert faults[0] == "acme: evt_3 arrived before evt_2 was decided"


def test_an_event_attempted_while_the_one_ahead_of_it_is_in_backoff_is_detected() -> None:
    book = a_book()
    retry = book.arrivals[4]
    book.arrivals[4:6] = [Arrival("evt_4", 503), book.arrivals[5], retry]

    assert "ordered" in failed(book)


def test_a_retry_before_the_next_event_is_in_order() -> None:
    book = a_book()
    book.arrivals.insert(4, Arrival("evt_4", 503))

    assert failed(book) == {}
    assert (book.retries, book.repeats) == (1, 0)


def test_a_repeat_of_an_accepted_event_is_counted_and_no_fault() -> None:
    book = a_book()
    book.arrivals.append(Arrival("evt_2", 200))

    assert failed(book) == {}
    assert (book.retries, book.repeats) == (0, 1)


def test_a_missing_dead_letter_is_detected() -> None:
    book = a_book(may_fail=True)
    missing = book.letters.pop()

    faults = failed(book)["accounted"]

    assert faults == (f"acme: {missing.event_id} was neither accepted nor dead-lettered",)


def test_dead_letters_out_of_order_are_detected() -> None:
    book = a_book(may_fail=True)
    book.letters.reverse()

    assert "ordered" in failed(book)


def test_a_dead_letter_with_other_bytes_is_detected() -> None:
    book = a_book(may_fail=True)
    book.letters[0] = Letter("evt_0", "attempts_exhausted", 3, b"other")

    assert list(failed(book)) == ["untouched"]


def test_a_second_dead_letter_of_an_event_is_detected() -> None:
    book = a_book(may_fail=True)
    book.letters.append(book.letters[-1])

    assert "accounted" in failed(book)


def test_an_event_that_is_accepted_and_dead_lettered_is_detected() -> None:
    book = a_book(may_fail=True)
    book.arrivals.append(Arrival("evt_0", 200))

    assert "accounted" in failed(book)


def test_a_dead_letter_of_a_tenant_whose_receiver_is_up_is_detected() -> None:
    book = a_book()
    book.arrivals.pop()
    book.letters.append(Letter("evt_9", "attempts_exhausted", 3, b"9"))

    assert list(failed(book)) == ["isolated"]


def test_a_tenant_that_is_down_must_have_dead_letters() -> None:
    book = a_book()
    book.may_fail = True

    assert list(failed(book)) == ["isolated"]


def test_an_event_of_another_tenant_is_detected() -> None:
    book = a_book()
    book.arrivals.append(Arrival("evt_99", 200))

    assert failed(book)["accounted"] == ("acme: evt_99 was never published",)


def test_a_request_that_could_not_be_opened_is_detected() -> None:
    book = a_book()
    book.refused.append("signature_invalid")

    assert list(failed(book)) == ["opened"]


def test_an_event_that_the_broker_did_not_acknowledge_is_detected() -> None:
    book = a_book()
    book.acknowledged = 9

    assert list(failed(book)) == ["accounted"]


@pytest.mark.parametrize("attempts", [1, 3])
def test_retries_are_the_attempts_after_the_first(attempts: int) -> None:
    book = a_book(may_fail=True)
    book.letters = [Letter("evt_0", "attempts_exhausted", attempts, b"0")]

    assert book.retries == attempts - 1
