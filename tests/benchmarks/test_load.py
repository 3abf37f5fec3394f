"""What the benchmark publishes, and where to."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any, cast

import pytest

from benchmarks.deployment import kept_of
from benchmarks.load import make_customers
from benchmarks.sample import event_value
from benchmarks.sink import Sink
from hookseal.domain.event import parse_event
from hookseal.errors import ConfigurationError
from hookseal.kafka.partitioner import partition_of
from tests.builders import MAX_BYTES, a_record


@pytest.mark.parametrize("number", [0, 1, 999_999_999])
def test_an_event_is_one_kibibyte_and_an_event(number: int) -> None:
    value = event_value(number)

    event = parse_event(a_record(value), max_bytes=MAX_BYTES)

    assert len(value) == 1024
    assert (event.type, event.id) == ("order.paid", f"evt_{number:012d}")


def test_customers_are_spread_evenly_and_have_keys_of_their_own() -> None:
    customers = make_customers()

    assert Counter(one.partition for one in customers) == dict.fromkeys(range(6), 4)
    assert all(partition_of(one.customer_id, 6) == one.partition for one in customers)
    assert len({one.key.kid for one in customers}) == 24
    # Whoever takes them in turn takes the partitions in turn.
    assert [one.partition for one in customers[:6]] == [0, 1, 2, 3, 4, 5]


def test_settings_of_the_shell_do_not_change_the_figures() -> None:
    shell = {
        "PATH": "/bin",
        "HOOKSEAL_MAX_IN_PROGRESS": "16",
        "HOOKSEAL_KAFKA_SASL_USERNAME": "bench",
        "HOOKSEAL_SESSION_TIMEOUT_S": "6",
    }

    ours = kept_of(shell, cast("Any", SimpleNamespace(kind="apache")))
    theirs = kept_of(shell, cast("Any", SimpleNamespace(kind="bootstrap")))

    assert ours == {"PATH": "/bin"}
    assert theirs == {name: shell[name] for name in shell if name != "HOOKSEAL_MAX_IN_PROGRESS"}


def test_without_nginx_the_refusal_says_what_to_install(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("benchmarks.sink.PLACES", str(tmp_path))

    with pytest.raises(ConfigurationError) as refusal:
        Sink(tmp_path)

    assert refusal.value.code == "nginx_missing"
    assert "package manager" in refusal.value.message
