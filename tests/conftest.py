"""The broker of the tests, and settings under which no two tests meet on it."""

from __future__ import annotations

import base64
import fcntl
import gc
import json
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import hypothesis
import pytest

from hookseal.config import Settings
from hookseal.local.redis_link import RedisLink
from tests.brokers import Broker, choose_kind, start_broker
from tests.builders import MASTER_KEY
from tests.redis_server import RedisServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from tests.brokers import ApacheBroker

pytest_plugins = ["tests.run_report"]

# On a machine that is busy with brokers, drawing the first text of all takes a second.
hypothesis.settings.register_profile(
    "busy", suppress_health_check=[hypothesis.HealthCheck.too_slow], deadline=None
)
hypothesis.settings.register_profile(
    "quick", parent=hypothesis.settings.get_profile("busy"), max_examples=25
)
hypothesis.settings.load_profile("busy")


# Below tests/: runs with `make test-all` only. Besides these, whatever runs alone.
EXTENDED = (
    "benchmarks/",
    "chaos/",
    "conformance/test_receivers.py",
    "e2e/test_alerts.py",
    "e2e/test_console.py",
    "e2e/test_console_pages.py",
    "e2e/test_dashboard.py",
    "e2e/test_demo.py",
    "e2e/test_odd_records.py",
    "e2e/test_odd_topics.py",
    "e2e/test_openapi.py",
    "e2e/test_outages.py",
    "e2e/test_receivers.py",
    "e2e/test_rolling.py",
    "integration/broker/",
    "integration/kafka/test_replay_fairness.py",
    "integration/kafka/test_tenants_model_away.py",
    "integration/test_bill_of_materials.py",
    "integration/test_site.py",
    "unit/benchmarks/",
    "unit/brokers/",
    "unit/streams/test_pins.py",
    "unit/test_compose_file.py",
    "unit/test_compose_redis.py",
    "unit/test_image.py",
    "unit/test_kubernetes.py",
    "unit/test_supply_chain.py",
)

# Below tests/: start processes or 1,500 connections, which alone takes seconds on a busy machine.
SLOW = (
    "benchmarks/",
    "chaos/",
    "e2e/",
    "integration/",
    "unit/outbound/test_few_descriptors.py",
    "unit/receiver/test_cli.py",
)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is left to `make test-all`, and what has no budget of time."""
    folder = Path(__file__).parent
    for item in items:
        path = item.path.relative_to(folder).as_posix()
        if path.startswith(EXTENDED) or item.get_closest_marker("alone") is not None:
            item.add_marker("extended")
        if path.startswith(SLOW):
            item.add_marker("slow")


def pytest_collection_finish() -> None:
    """Have the garbage collector pass over what stays for the whole run anyway."""
    gc.freeze()


@pytest.fixture(scope="session")
def broker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Broker:
    """One broker for all tests of a run: what HOOKSEAL_TEST_BROKER names."""
    stack = ExitStack()
    # After the session, not as a tear-down: no test's time limit counts while the worker that
    # started the broker waits for the others.
    request.config.add_cleanup(stack.close)
    if not hasattr(request.config, "workerinput"):
        return stack.enter_context(start_broker(choose_kind()))
    # Of a worker of xdist, the parent folder is the run's.
    return stack.enter_context(_shared_broker(tmp_path_factory.getbasetemp().parent))


@contextmanager
def _shared_broker(folder: Path) -> Iterator[Broker]:
    """The broker of all workers of a run: the first starts it, and stops it after the others.

    Who uses it holds a shared lock, which the system releases should the process be killed.
    """
    description = folder / "broker.json"
    with (folder / "broker.lock").open("a") as changing, (folder / "broker.users").open("a") as use:
        fcntl.flock(changing, fcntl.LOCK_EX)
        if description.exists():
            known = json.loads(description.read_text())
            fcntl.flock(use, fcntl.LOCK_SH)
            fcntl.flock(changing, fcntl.LOCK_UN)
            yield Broker(known["kind"], known["bootstrap"], settings=known["settings"])
            return
        with start_broker(choose_kind()) as running:
            known = {"kind": running.kind, "bootstrap": running.bootstrap}
            description.write_text(json.dumps({**known, "settings": running.settings}))
            fcntl.flock(changing, fcntl.LOCK_UN)
            yield running
            fcntl.flock(changing, fcntl.LOCK_EX)
            fcntl.flock(use, fcntl.LOCK_EX)
            description.unlink()


@pytest.fixture
def own_broker(broker: Broker) -> Iterator[ApacheBroker]:
    """A broker of the test's own, for it to kill."""
    if broker.kind != "apache":
        pytest.skip("kills nodes of Apache Kafka; this run has another broker")
    with start_broker("apache") as running:
        yield running


@pytest.fixture
def settings_env(broker: Broker) -> dict[str, str]:
    """HOOKSEAL_* for the processes of one test; its topics are its own."""
    return {
        **broker.settings,
        "HOOKSEAL_KAFKA_BOOTSTRAP": broker.bootstrap,
        "HOOKSEAL_TOPIC_PREFIX": f"t{uuid4().hex[:12]}.",
        "HOOKSEAL_MASTER_KEY": base64.b64encode(MASTER_KEY).decode(),
        "HOOKSEAL_SESSION_TIMEOUT_S": "6",
        "HOOKSEAL_HEARTBEAT_INTERVAL_S": "1",
        "HOOKSEAL_EGRESS_ALLOW_CIDRS": "127.0.0.0/8,::1/128",
        "HOOKSEAL_EGRESS_ALLOW_HTTP": "true",
        "HOOKSEAL_EGRESS_ALLOW_PORTS": "1024-65535",
        "HOOKSEAL_RETRY_JITTER": "0",
    }


@pytest.fixture
def settings(settings_env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The same for code that runs in the test itself."""
    for name, value in settings_env.items():
        monkeypatch.setenv(name, value)
    return Settings()


@pytest.fixture(scope="session")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One Redis for all tests of a run; each has a prefix of its own."""
    with RedisServer(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis of the test's own, for it to kill."""
    # With `everysec`, Redis answers before it writes while a flush runs on a slow disk.
    with RedisServer(tmp_path / "redis", "--appendfsync", "always") as running:
        yield running


@pytest.fixture
async def connect() -> AsyncIterator[Callable[..., RedisLink]]:
    """What makes links to a Redis, closed with the test."""
    made: list[RedisLink] = []

    def connected(url: str, prefix: str = "") -> RedisLink:
        made.append(RedisLink(url, prefix))
        return made[-1]

    yield connected
    for link in made:
        await link.close()


@pytest.fixture(autouse=True)
def _only_on_apache(request: pytest.FixtureRequest) -> None:
    """Skip what only Apache Kafka can prove, where the broker of the run is another."""
    if request.node.get_closest_marker("apache") and "settings_env" in request.fixturenames:
        kind = request.getfixturevalue("broker").kind
        if kind == "embedded":
            pytest.skip("proved on Apache Kafka only; this run has the embedded broker")


def pytest_report_header() -> str:
    return f"kafka broker: {choose_kind()}"
