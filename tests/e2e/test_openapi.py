"""What somebody else's tool finds by asking the API whatever its document allows, and more."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.e2e.api import ADMIN_KEY
from tests.e2e.process import BIN

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.conftest import Provider

pytestmark = [pytest.mark.broker, pytest.mark.timeout(240)]

# Whatever the document cannot say of a value (a public host, a real key) the API refuses as it
# should: what remains is that it never crashes, and answers only as it is written.
CONFIG = """\
seed = 1
wait-for-schema = 2.0

[checks]
positive_data_acceptance.enabled = false

[generation]
max-examples = 12
database = "none"
deterministic = true

[parameters]
"path.customer_id" = "acme"

[[operations]]
include-name = "DELETE /v1/tenants/{customer_id}"
parameters = { "path.customer_id" = "to-be-deleted" }
"""


@pytest.mark.apache
async def test_no_request_crashes_it_or_is_answered_in_a_way_it_does_not_tell(
    provider: Provider, tmp_path: Path
) -> None:
    worker, api = await provider.worker(), await provider.api()
    await worker.ready()
    await api.do("POST", "/v1/tenants", {"customer_id": "acme"})
    config = tmp_path / "schemathesis.toml"
    config.write_text(CONFIG)

    process = await asyncio.create_subprocess_exec(
        str(BIN / "st"),
        "--config-file",
        str(config),
        "run",
        f"{api.url}/openapi.json",
        "--header",
        f"Authorization: Bearer {ADMIN_KEY}",
        "--phases",
        "examples,coverage,fuzzing",
        "--suppress-health-check",
        "all",
        "--no-color",
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()

    assert process.returncode == 0, output.decode()
    assert b"Tested:" in output
    assert worker.returncode is None
