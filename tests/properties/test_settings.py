"""Any environment is either accepted or refused with the names of what is wrong in it."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from hookseal import environment
from hookseal.cli.ui import exit_code_of
from hookseal.config import Settings, load
from hookseal.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

REPOSITORY = Path(__file__).parents[2]
FIELDS = sorted(Settings.model_fields)
NAMES = [environment.variable(name) for name in FIELDS]
CANARY = "canary7f3a"
# What an environment can hold: no zero byte, no lone surrogate.
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40)
NEAR_MISSES = st.sampled_from(
    [
        *["", " ", "0", "-1", "1e400", "nan", "inf", "٣", "1_000", "true", "none", ",", "a:b:c"],
        *["/proc/nope", "/", "/dev/null", "~", "x" * 5000, "http://", "http://[::1", "http://h:0"],
        *["http://h:99999", "redis://h:abc/0", "redis://:6379", "unix://", "a:99999", "[::1]:9092"],
        *["10.0.0.0/33", "::/129", "9-1", "70000", "1:", "1:AAAA", "0:AAAA", "1:AAAA,1:AAAA"],
    ]
)
VALUES = st.one_of(NEAR_MISSES, TEXT)


@pytest.fixture(autouse=True, scope="module")
def own_environment() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.upper().startswith("HOOKSEAL_")]:
            patch.delenv(name)
        yield


def refusal(variables: dict[str, str]) -> ConfigurationError | None:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        try:
            load()
        except ConfigurationError as error:
            return error
    return None


@given(st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=6))
@example({"HOOKSEAL_EGRESS_ALLOW_CIDRS": "10.0.0.0/33"})
@example({"HOOKSEAL_API_URL": "http://[::1"})
@example({"HOOKSEAL_KAFKA_TLS_CA_FILE": "/", "HOOKSEAL_KAFKA_SECURITY_PROTOCOL": "SSL"})
def test_any_values_are_accepted_or_refused_by_name(variables: dict[str, str]) -> None:
    error = refusal(variables)

    if error is not None:
        assert error.code == "settings_invalid"
        assert exit_code_of(error) == 78
        assert any(name in error.message for name in variables)


@given(st.dictionaries(st.sampled_from(NAMES), VALUES, min_size=1, max_size=6))
def test_every_setting_that_is_refused_alone_is_named_among_the_others(
    variables: dict[str, str],
) -> None:
    alone = {
        name for name, value in variables.items() if name_is_refused(refusal({name: value}), name)
    }

    error = refusal(variables)

    named = set() if error is None else set(re.findall(r"(HOOKSEAL_\w+): ", error.message))
    assert alone <= named


def name_is_refused(error: ConfigurationError | None, name: str) -> bool:
    return error is not None and error.message.startswith(f"{name}: ")


@pytest.mark.parametrize("name", NAMES)
def test_no_error_repeats_a_value(name: str) -> None:
    for value in (CANARY, f"http://{CANARY}:{CANARY}@h:x", f"1:{CANARY}", f"{CANARY},{CANARY}"):
        error = refusal({name: value})

        assert error is None or CANARY not in str(error)


@pytest.mark.parametrize("name", FIELDS)
def test_every_example_is_valid(name: str) -> None:
    text = environment.example(Settings, name)

    found = re.fullmatch(r"Example: (HOOKSEAL_\w+)=(.*)\.", text)
    if found is None or name.endswith("_file"):
        # A generated secret has a command in place of an example. Files do not exist here.
        assert "enerate one" in text or "base64" in text or name.endswith("_file") or not text
        return
    assert refusal({found[1]: found[2]}) is None


@pytest.mark.parametrize("name", FIELDS)
def test_every_refusal_has_an_example(name: str) -> None:
    refused = [
        error
        for value in ("none", "\t", "1:", "-1", "x" * 201)
        if (error := refusal({environment.variable(name): value})) is not None
    ]

    for error in refused:
        assert environment.example(Settings, name)
        assert error.message.endswith(environment.example(Settings, name)) or ". HOOKSEAL" in str(
            error
        )


@given(st.sampled_from(NAMES), st.data())
def test_a_misspelt_name_is_refused_with_the_right_one(name: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(len("HOOKSEAL_"), len(name) - 1))
    letter = data.draw(st.sampled_from("ABCDEFGHIJKLMNOPQRSTUVWXYZ"))
    wrong = name[:at] + data.draw(st.sampled_from(["", letter, name[at] + letter])) + name[at + 1 :]
    assume(wrong not in NAMES and len(name) > len("HOOKSEAL_") + 4)

    error = refusal({wrong: CANARY})

    assert error is not None
    assert error.code == "settings_unknown"
    assert f"{wrong}: " in error.message
    assert "Did you mean HOOKSEAL_" in error.message
    assert CANARY not in error.message
    assert exit_code_of(error) == 78


def test_faults_of_values_names_and_combinations_are_told_at_once() -> None:
    error = refusal(
        {
            "HOOKSEAL_PARTITIONS": "none",
            "HOOKSEAL_METRICS_PORT": "0",
            "HOOKSEAL_RETRY_MAX_ATTEMTPS": "7",
            "HOOKSEAL_SESSION_TIMEOUT_S": "1",
            "HOOKSEAL_KAFKA_TLS_KEY_FILE": __file__,
        }
    )

    assert error is not None
    assert error.code == "settings_invalid"
    assert "HOOKSEAL_PARTITIONS: must be a valid integer. Example: HOOKSEAL_PARTITIONS=6." in str(
        error
    )
    assert "HOOKSEAL_METRICS_PORT: must be greater than or equal to 1. " in str(error)
    assert "HOOKSEAL_RETRY_MAX_ATTEMTPS: no setting has this name. " in str(error)
    assert "Did you mean HOOKSEAL_RETRY_MAX_ATTEMPTS?" in str(error)
    assert "HOOKSEAL_HEARTBEAT_INTERVAL_S must be at most half" in str(error)
    assert "HOOKSEAL_KAFKA_TLS_KEY_FILE needs HOOKSEAL_KAFKA_TLS_CERT_FILE" in str(error)


def test_a_default_that_stands_in_for_an_invalid_value_is_not_blamed() -> None:
    error = refusal({"HOOKSEAL_SESSION_TIMEOUT_S": "1", "HOOKSEAL_HEARTBEAT_INTERVAL_S": "none"})

    assert error is not None
    assert "must be at most half" not in error.message


def test_variables_that_kubernetes_sets_for_a_service_are_not_settings() -> None:
    links = {
        "HOOKSEAL_API_SERVICE_HOST": "10.96.0.7",
        "HOOKSEAL_API_SERVICE_PORT": "80",
        "HOOKSEAL_API_SERVICE_PORT_HTTP": "80",
        "HOOKSEAL_API_PORT": "tcp://10.96.0.7:80",
        "HOOKSEAL_API_PORT_80_TCP": "tcp://10.96.0.7:80",
        "HOOKSEAL_API_PORT_80_TCP_PROTO": "tcp",
        "HOOKSEAL_API_PORT_80_TCP_PORT": "80",
        "HOOKSEAL_API_PORT_80_TCP_ADDR": "10.96.0.7",
    }

    assert refusal(links) is None
    assert refusal({"HOOKSEAL_API_PORT": "8000"}) is not None


def test_a_name_in_small_letters_is_checked_too() -> None:
    assert refusal({"hookseal_partitions": "3"}) is None
    assert refusal({"hookseal_partitoins": "3"}) is not None


def test_every_variable_of_tests_and_benchmarks_is_known() -> None:
    texts = [
        path.read_text()
        for folder in ("tests", "benchmarks")
        for path in (REPOSITORY / folder).rglob("*.py")
        if path != Path(__file__)
    ]
    read = set()
    for text in texts:
        read |= set(re.findall(r"HOOKSEAL_(?:TEST|BENCH|FUZZ|RENEW)_[A-Z_]+\b", text))

    assert read == environment.DEVELOPMENT
