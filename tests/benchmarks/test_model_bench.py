"""`python -m benchmarks --tenants`: what it prints is what it measured."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from benchmarks.tenants_load import large_tenant
from hookseal.domain.tenant import decode, encode

if TYPE_CHECKING:
    from pathlib import Path

    from tests.brokers import Broker

pytestmark = [pytest.mark.broker, pytest.mark.timeout(120)]

COMMAND = (sys.executable, "-m", "benchmarks")
TENANTS = 500


def test_every_tenant_is_read(broker: Broker, tmp_path: Path) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HOOKSEAL_")}
    run = subprocess.run(
        [*COMMAND, "--tenants", str(TENANTS), "--json", str(tmp_path / "figures.json")],
        env={**kept, **broker.settings},
        capture_output=True,
        text=True,
        check=False,
    )

    assert run.returncode == 0, run.stdout + run.stderr
    figures = json.loads((tmp_path / "figures.json").read_bytes())
    assert figures["tenants"] == TENANTS
    assert figures["document_bytes"] > 1000 * TENANTS
    assert figures["peak_rss_bytes"] >= figures["rss_bytes"] > figures["document_bytes"]
    assert f"{TENANTS} tenants of" in run.stdout


def test_a_tenant_of_the_benchmark_is_one() -> None:
    tenants = [large_tenant(number) for number in range(4)]

    assert [decode(encode(tenant)) for tenant in tenants] == tenants
    assert {tenant.public_keys[0].alg for tenant in tenants} == {"RSA-OAEP-256", "ECDH-ES"}
    assert [len(tenant.api_keys) for tenant in tenants] == [1, 2, 1, 2]
