"""`hookseal doctor`: check the installation, the settings, the cluster and the API."""

import asyncio
import importlib.util
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import typer

from hookseal.cli import ui
from hookseal.cli.options import AsJson
from hookseal.errors import BrokerError, ConfigurationError, HooksealError

if TYPE_CHECKING:
    from hookseal.api.client import ApiClient
    from hookseal.config import Settings
    from hookseal.kafka.cluster import Cluster

_FAUST = "0.15.3"
_AIOKAFKA = "0.14.0"
# Standard Webhooks: receivers refuse timestamps that are more than five minutes off.
_SKEW_MAX_S = 60.0
_CLOCK_TIMEOUT_S = 3.0
# Allows 2,048 connections to the API, and as many from a worker to its endpoints.
_DESCRIPTORS_MIN = 4_096
_NO_API = frozenset({"api_unreachable", "api_unexpected"})


class Check(NamedTuple):
    """One finding; `fail` keeps hookseal from working, `warn` may be intended."""

    name: str
    status: Literal["ok", "warn", "fail"]
    message: str


def doctor(*, as_json: AsJson = False) -> None:
    """Check settings, versions, broker, topics, clock and API; exit 1 if a check fails.

    If HOOKSEAL_QUEUE_URL is set, check the queue instead of broker, topics and clock. If only
    HOOKSEAL_API_URL is set, check the API alone.
    """
    from hookseal.config import load

    found = environment_checks()
    try:
        settings = load()
    except ConfigurationError as error:
        found.append(Check("settings", "fail", error.message))
    else:
        found += _settings_checks(settings)
        if "queue_url" in settings.model_fields_set:
            with ui.working("Checking the queue"):
                found.append(ui.run(_queue_check(settings)))
        elif not _only_api(settings):
            with ui.working("Checking the broker"):
                found += ui.run(_cluster_checks(settings))
        if settings.api_url:
            with ui.working("Checking the API"):
                found += ui.run(_api_checks(settings))
    if as_json:
        ui.json([check._asdict() for check in found])
    else:
        ui.table(("check", "status", "found"), found)
    if any(check.status == "fail" for check in found):
        raise typer.Exit(1)


def environment_checks() -> list[Check]:
    """Check what is installed here."""
    from hookseal.descriptors import hard_limit, soft_limit
    from hookseal.kafka.codecs import readable

    codecs = readable()
    unreadable = ", ".join(name for name, can_be_read in codecs.items() if not can_be_read)
    has_faust = Path(sys.executable).with_name("faust").exists()
    no_faust = "" if has_faust else "There is no `faust` beside this Python."
    hard = hard_limit()
    limits = f"soft limit {soft_limit():,}, hard limit {hard:,} open files"
    return [
        Check("python", "ok", ".".join(map(str, sys.version_info[:3]))),
        _pinned("faust-streaming", _FAUST),
        _pinned("aiokafka", _AIOKAFKA),
        _check("agents", _fault_of_agents(), "hookseal's own"),
        _check("faust program", no_faust, "beside this Python"),
        _check(
            "codecs",
            unreadable
            and f"Batches compressed with {unreadable} cannot be read. Install hookseal again.",
            f"reads {', '.join(codecs)}",
        ),
        _check(
            "descriptors",
            f"{limits}. hookseal raises the soft limit to the hard one. Raise the hard limit to "
            f"{_DESCRIPTORS_MIN:,} or more (ulimit -Hn, LimitNOFILE=): every connection needs one."
            if hard < _DESCRIPTORS_MIN
            else "",
            limits,
            bad="warn",
        ),
    ]


def _check(name: str, fault: str, fine: str, bad: Literal["warn", "fail"] = "fail") -> Check:
    return Check(name, bad, fault) if fault else Check(name, "ok", fine)


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _pinned(name: str, wanted: str) -> Check:
    found = _version(name)
    state = "is not installed" if found is None else f"{found} is installed"
    return _check(name, "" if found == wanted else f"{state}; hookseal needs {wanted}.", wanted)


def _fault_of_agents() -> str:
    """Two distributions install a package `agents`: hookseal and openai-agents."""
    ours = importlib.util.find_spec("agents")
    deliver = Path(ours.origin).with_name("deliver.py") if ours and ours.origin else None
    if deliver is None or not deliver.exists():
        return "The package `agents` found here is not hookseal's."
    if (openai := _version("openai-agents")) is None:
        return ""
    return (
        f"openai-agents {openai} installs a package `agents` too, and the two overwrite each "
        "other. Install hookseal into its own environment."
    )


def _only_api(settings: "Settings") -> bool:
    """Whether these are the settings of a client of the API, which has no Kafka and no worker."""
    return bool(settings.api_url) and not (
        {"kafka_bootstrap", "queue_url", "master_key"} & settings.model_fields_set
    )


def _settings_checks(settings: "Settings") -> list[Check]:
    if _only_api(settings):
        return [Check("settings", "ok", f"API at {settings.api_url}")]
    is_local = "queue_url" in settings.model_fields_set
    where = "without Kafka" if is_local else f"brokers {settings.kafka_bootstrap}"
    fault = ""
    try:
        settings.master_key_bytes()
    except ConfigurationError as error:
        fault = error.message
    allowed = [value for name, value in settings if name.startswith("egress_allow_")]
    opened = (
        "HOOKSEAL_EGRESS_ALLOW_* allows addresses that are refused otherwise. Use it for "
        "development only."
    )
    store = Check("store", "ok", "memory: the worker reads the whole table at each start")
    if settings.store != "memory":
        found = _version("rocksdict")
        missing = "" if found else "rocksdict is not installed; install `hookseal[rocksdb]`."
        store = _check("store", missing, f"rocksdb, rocksdict {found}")
    return [
        Check("settings", "ok", where),
        _check("master key", fault, "set"),
        store,
        _check(
            "egress", opened if any(allowed) else "", "https to public addresses only", bad="warn"
        ),
    ]


async def _queue_check(settings: "Settings") -> Check:
    if settings.queue_url == "memory://":
        return Check("queue", "ok", "memory: undelivered events are lost when the process ends")
    try:
        from hookseal.local.redis_link import RedisLink
        from hookseal.local.redis_store import RedisStore
    except ImportError:
        return Check("queue", "fail", "redis is not installed; install `hookseal[redis]`.")
    try:
        link = RedisLink(settings.queue_url, settings.topic_prefix)
        try:
            release = await RedisStore(link, settings.partitions).check()
        finally:
            await link.close()
    except HooksealError as error:
        return Check("queue", "fail", f"{error.code}: {error.message}")
    return Check("queue", "ok", f"Redis {release} answers at {link.host}")


async def _cluster_checks(settings: "Settings") -> list[Check]:
    from hookseal.kafka import topics

    try:
        found = await topics.states(settings.cluster)
    except BrokerError as error:
        return [Check("broker", "fail", error.message)]
    broker = Check("broker", "ok", f"answers at {settings.kafka_bootstrap}")
    listing = ", ".join(f"{name} {count or 'missing'}" for name, count in found.items())
    try:
        topics.check(found)
    except ConfigurationError as error:
        return [broker, Check("topics", "fail", error.message)]
    checks = [broker, Check("topics", "ok", f"partitions: {listing}")]
    return [
        *checks,
        await _workers(settings.cluster),
        await _clock(settings.cluster),
        *await _master_key(settings),
    ]


async def _workers(cluster: "Cluster") -> Check:
    from hookseal.kafka.consumer_group import ConsumerGroup

    try:
        found = await ConsumerGroup(cluster).progress()
    except BrokerError as error:
        return Check("workers", "warn", f"{error.code}: {error.message}")
    waiting = sum(one.lag for one in found.partitions)
    if found.workers:
        return Check("workers", "ok", f"{len(found.workers)}, lag {waiting:,}")
    if waiting:
        return Check(
            "workers",
            "fail",
            f"No worker runs. Waiting events: {waiting:,}. Start `hookseal worker`.",
        )
    return Check("workers", "warn", "No worker runs. Start `hookseal worker`.")


async def _master_key(settings: "Settings") -> list[Check]:
    from hookseal.tenants.key_check import key_fit, master_key_wrong

    try:
        fit = await key_fit(settings.cluster, settings.tenant_codec())
    except ConfigurationError:
        # No master key: `_settings_checks` reports it.
        return []
    except BrokerError as error:
        return [Check("master key", "warn", error.message)]
    found = f"fits {fit.fits} of {fit.documents} documents"
    if fit.is_wrong:
        return [Check("master key", "fail", f"{found}. {master_key_wrong(fit.documents).message}")]
    if fit.fits < fit.documents:
        found += (
            ". hookseal ignores the others: they were written with another master key, or forged "
            "(registry.forged in the log)."
        )
        return [Check("master key", "warn", found)]
    return [Check("master key", "ok", found)]


async def _clock(cluster: "Cluster") -> Check:
    try:
        newest = await _newest_timestamp(cluster)
    except BrokerError as error:
        return Check("clock", "warn", error.message)
    if newest is None:
        return Check("clock", "ok", "no record to compare with yet")
    ahead_s = newest - time.time()
    fault = (
        f"The newest record is {ahead_s:.0f} s in the future. Set the clock of this machine or of "
        "the producer: receivers refuse signatures that are five minutes off."
    )
    is_ahead = ahead_s > _SKEW_MAX_S
    return _check("clock", fault if is_ahead else "", "no record from the future", bad="warn")


async def _newest_timestamp(cluster: "Cluster") -> float | None:
    """Return the latest timestamp at the ends of `events` and the changelog, in Unix seconds."""
    from hookseal.kafka.consumer import consume, read_ranges, topic_partitions
    from hookseal.kafka.topics import TopicNames

    names = TopicNames(cluster.topic_prefix)
    partitions = [
        *await topic_partitions(cluster, names.events),
        *await topic_partitions(cluster, names.tenants_changelog),
    ]
    async with consume(cluster) as consumer:
        try:
            async with asyncio.timeout(_CLOCK_TIMEOUT_S):
                starts = await consumer.beginning_offsets(partitions)
                ends = await consumer.end_offsets(partitions)
                ranges = {one: (max(starts[one], ends[one] - 1), ends[one]) for one in partitions}
                times = [record.timestamp / 1000 async for record in read_ranges(consumer, ranges)]
        except TimeoutError:
            return None
    return max(times, default=None)


async def _api_checks(settings: "Settings") -> list[Check]:
    from hookseal.api.client import ApiClient
    from hookseal.cli.api_session import key_of

    try:
        key, missing = key_of(settings), None
    except ConfigurationError as error:
        key, missing = "", error
    # No retries: the doctor reports the present state.
    async with ApiClient(settings.api_url, key, timeout_s=0.0) as api:
        try:
            await api.ask("GET", "/readyz")
        except HooksealError as error:
            checks = [Check("api", "fail", f"{error.code}: {error.message}")]
            if error.code in _NO_API:
                return checks
        else:
            checks = [api_ready(settings.api_url)]
        if missing is not None:
            return [*checks, Check("api key", "fail", missing.message)]
        return [*checks, await _api_key(api)]


def api_ready(url: str) -> Check:
    """Return the finding for an API that is ready at this URL."""
    from ipaddress import ip_address
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    host = parts.hostname or ""
    try:
        is_this_machine = ip_address(host).is_loopback
    except ValueError:
        is_this_machine = host == "localhost" or host.endswith(".localhost")
    if parts.scheme == "http" and not is_this_machine:
        return Check("api", "warn", f"ready at {url}, but keys are sent unencrypted. Use https.")
    return Check("api", "ok", f"ready at {url}")


async def _api_key(api: "ApiClient") -> Check:
    try:
        await api.ask("GET", "/v1/tenants?limit=1")
    except BrokerError as error:
        return Check("api key", "warn", f"cannot be checked now: {error.code}: {error.message}")
    except HooksealError as error:
        if error.code == "admin_only":
            return Check("api key", "ok", "accepted, as a tenant's")
        return Check("api key", "fail", f"{error.code}: {error.message}")
    return Check("api key", "ok", "accepted, as the operator's")
