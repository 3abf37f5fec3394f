"""The demo's verdict must see what it says it sees."""

from __future__ import annotations

import pytest

from hookseal.demo.checks import check_claims
from hookseal.demo.ledger import Arrival, Ledger, Letter


def a_book(*, may_fail: bool = False) -> Ledger:
    """Return the book of a tenant with ten events, all accepted or all dead-lettered."""
    ledger = Ledger("acme", may_fail=may_fail)
    ledger.published = {f"evt_{number}": b"%d" % number for number in range(10)}
    ledger.acknowledged = 10
    for event_id, value in ledger.published.items():
        if may_fail:
            ledger.letters.append(Letter(event_id, "attempts_exhausted", 3, value, "0/0", {}))
        else:
            ledger.arrivals.append(Arrival(event_id, 200))
    return ledger


def failed(*ledgers: Ledger) -> dict[str, list[str]]:
    return {claim.code: claim.faults for claim in check_claims(ledgers) if claim.faults}


def test_all_claims_hold_when_all_is_well() -> None:
    assert failed(a_book(), a_book(may_fail=True)) == {}


def test_a_lost_event_is_detected() -> None:
    ledger = a_book()
    lost = ledger.arrivals.pop(4)

    faults = failed(ledger)["accounted"]

    assert faults == [f"acme: {lost.event_id} was neither accepted nor dead-lettered"]


def test_an_event_whose_only_requests_were_answered_with_503_is_lost() -> None:
    ledger = a_book()
    ledger.arrivals[9] = Arrival("evt_9", 503)

    assert "accounted" in failed(ledger)


def test_a_reordered_event_is_detected() -> None:
    ledger = a_book()
    ledger.arrivals[2], ledger.arrivals[3] = ledger.arrivals[3], ledger.arrivals[2]

    faults = failed(ledger)["ordered"]

    assert faults[0] == "acme: evt_3 arrived before evt_2 was decided"


def test_an_event_attempted_while_the_one_ahead_of_it_is_in_backoff_is_detected() -> None:
    ledger = a_book()
    retry = ledger.arrivals[4]
    ledger.arrivals[4:6] = [Arrival("evt_4", 503), ledger.arrivals[5], retry]

    assert "ordered" in failed(ledger)


def test_a_retry_before_the_next_event_is_in_order() -> None:
    ledger = a_book()
    ledger.arrivals.insert(4, Arrival("evt_4", 503))

    assert failed(ledger) == {}
    assert (ledger.retries, ledger.repeats) == (1, 0)


def test_a_repeat_of_an_accepted_event_is_counted_and_no_fault() -> None:
    ledger = a_book()
    ledger.arrivals.append(Arrival("evt_2", 200))

    assert failed(ledger) == {}
    assert (ledger.retries, ledger.repeats) == (0, 1)


def test_a_missing_dead_letter_is_detected() -> None:
    ledger = a_book(may_fail=True)
    missing = ledger.letters.pop()

    faults = failed(ledger)["accounted"]

    assert faults == [f"acme: {missing.event_id} was neither accepted nor dead-lettered"]


def test_dead_letters_out_of_order_are_detected() -> None:
    ledger = a_book(may_fail=True)
    ledger.letters.reverse()

    assert "ordered" in failed(ledger)


def test_a_dead_letter_with_other_bytes_is_detected() -> None:
    ledger = a_book(may_fail=True)
    ledger.letters[0] = Letter("evt_0", "attempts_exhausted", 3, b"other", "0/0", {})

    assert list(failed(ledger)) == ["untouched"]


def test_a_second_dead_letter_of_an_event_is_detected() -> None:
    ledger = a_book(may_fail=True)
    ledger.letters.append(ledger.letters[-1])

    assert "accounted" in failed(ledger)


def test_an_event_that_is_accepted_and_dead_lettered_is_detected() -> None:
    ledger = a_book(may_fail=True)
    ledger.arrivals.append(Arrival("evt_0", 200))

    assert "accounted" in failed(ledger)


def test_a_dead_letter_of_a_tenant_whose_receiver_is_up_is_detected() -> None:
    ledger = a_book()
    ledger.arrivals.pop()
    ledger.letters.append(Letter("evt_9", "attempts_exhausted", 3, b"9", "0/0", {}))

    assert list(failed(ledger)) == ["isolated"]


def test_a_tenant_that_is_down_must_have_dead_letters() -> None:
    ledger = a_book()
    ledger.may_fail = True

    assert list(failed(ledger)) == ["isolated"]


def test_an_event_of_another_tenant_is_detected() -> None:
    ledger = a_book()
    ledger.arrivals.append(Arrival("evt_99", 200))

    assert failed(ledger)["accounted"] == ["acme: evt_99 was never published"]


def test_a_request_that_could_not_be_opened_is_detected() -> None:
    ledger = a_book()
    ledger.refused.append("signature_invalid")

    assert list(failed(ledger)) == ["opened"]


def test_an_event_that_the_broker_did_not_acknowledge_is_detected() -> None:
    ledger = a_book()
    ledger.acknowledged = 9

    assert list(failed(ledger)) == ["accounted"]


@pytest.mark.parametrize("attempts", [1, 3])
def test_retries_are_the_attempts_after_the_first(attempts: int) -> None:
    ledger = a_book(may_fail=True)
    ledger.letters = [Letter("evt_0", "attempts_exhausted", attempts, b"0", "0/0", {})]

    assert ledger.retries == attempts - 1
