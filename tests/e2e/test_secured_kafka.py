"""Worker, API and command line on a Kafka behind TLS and a login."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import pytest

from tests.brokers import choose_kind
from tests.certificates import Authority
from tests.e2e.customer import Customer
from tests.e2e.process import BIN
from tests.e2e.secured import PASSWORD, Secured, secured_kafka

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.e2e.conftest import Provider

pytestmark = [pytest.mark.broker, pytest.mark.apache, pytest.mark.timeout(180)]

DOORS = [
    pytest.param(("SSL",), id="mutual TLS"),
    pytest.param(("SASL_SSL", "SCRAM-SHA-512"), id="SCRAM-SHA-512", marks=pytest.mark.extended),
    pytest.param(("SASL_SSL", "SCRAM-SHA-256"), id="SCRAM-SHA-256"),
    pytest.param(("SASL_SSL", "PLAIN"), id="PLAIN", marks=pytest.mark.extended),
]


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    if choose_kind() != "apache":
        pytest.skip("needs Apache Kafka; this run has another broker")
    with secured_kafka(tmp_path_factory.mktemp("secured")) as running:
        yield running


@pytest.fixture
def settings_env(
    settings_env: dict[str, str], secured: Secured, request: pytest.FixtureRequest
) -> dict[str, str]:
    """The same as for every test, through one of the doors."""
    return {**settings_env, **secured.env(*request.param)}


async def hookseal(env: dict[str, str], *arguments: str) -> tuple[int | None, str]:
    """Run a command; return its exit code and all it printed."""
    process = await asyncio.create_subprocess_exec(
        str(BIN / "hookseal"),
        *arguments,
        env={**os.environ, **env},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await process.communicate()
    return process.returncode, out.decode()


@pytest.mark.parametrize("settings_env", DOORS, indirect=True)
async def test_everything_works_behind_each_door(
    provider: Provider, settings_env: dict[str, str]
) -> None:
    worker, api = await provider.worker(), await provider.api()
    async with Customer(api, "acme") as customer:
        await customer.subscribe()
        await customer.add_key()
        await customer.add_endpoint("order.*")

        status, said = await hookseal(
            settings_env,
            *("publish", "--customer", "acme", "--type", "order.paid", "--data", '{"total": 42}'),
        )
        await customer.until(lambda: len(customer.got("order.paid")) == 1)
    checked, findings = await hookseal(settings_env, "doctor")

    assert status == 0, said
    assert checked == 0, findings
    assert customer.got("order.paid")[0].data == {"total": 42}
    assert worker.partitions == list(range(6))
    assert PASSWORD not in "\n".join([*worker.lines, *api.lines, said, findings])


@pytest.mark.parametrize("settings_env", [("SASL_SSL", "SCRAM-SHA-512")], indirect=True)
async def test_a_wrong_password_is_told_of_and_not_shown(settings_env: dict[str, str]) -> None:
    wrong = {**settings_env, "HOOKSEAL_KAFKA_SASL_PASSWORD": "CANARY-wrong"}

    status, said = await hookseal(wrong, "topics", "check")

    assert status == 1
    assert "broker_unreachable" in said
    assert "security settings" in said
    assert "CANARY" not in said


@pytest.mark.parametrize("settings_env", [("SSL",)], indirect=True)
async def test_brokers_of_another_authority_are_refused(
    settings_env: dict[str, str], tmp_path: Path
) -> None:
    other = Authority().root_file(tmp_path / "other.pem")

    status, said = await hookseal(
        {**settings_env, "HOOKSEAL_KAFKA_TLS_CA_FILE": str(other)}, "topics", "check"
    )

    assert status == 1
    assert "broker_unreachable" in said


@pytest.mark.parametrize("settings_env", [("SSL",)], indirect=True)
async def test_a_client_without_a_certificate_is_refused(settings_env: dict[str, str]) -> None:
    without = {
        name: value
        for name, value in settings_env.items()
        if name not in ("HOOKSEAL_KAFKA_TLS_CERT_FILE", "HOOKSEAL_KAFKA_TLS_KEY_FILE")
    }

    status, said = await hookseal(without, "topics", "check")

    assert status == 1
    assert "broker_unreachable" in said
