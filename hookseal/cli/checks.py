"""What `hookseal doctor` looks at. A check finds out and says so; it never raises."""

from __future__ import annotations

import importlib.util
import sys
import time
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from hookseal import descriptors
from hookseal.cli.api_client import ApiClient
from hookseal.cli.api_session import key_of
from hookseal.cli.clock import newest_timestamp
from hookseal.errors import BrokerError, ConfigurationError, HooksealError
from hookseal.kafka import topics
from hookseal.kafka.codecs import readable
from hookseal.tenants.key_check import key_fit, master_key_wrong

if TYPE_CHECKING:
    from hookseal.config import Settings

_FAUST = "0.15.3"
_AIOKAFKA = "0.14.0"
# Standard Webhooks: a receiver refuses a timestamp that is more than five minutes off.
_SKEW_MAX_S = 60.0
# The API then accepts 2,048 connections, and a worker has as many for its endpoints.
_DESCRIPTORS_MIN = 4_096
_NOBODY_THERE = frozenset({"api_unreachable", "api_unexpected"})


@dataclass(frozen=True, slots=True)
class Check:
    """What was found.

    Attributes:
        name: What was looked at.
        status: `fail` keeps hookseal from working; `warn` may be meant so.
        message: What was found, and what to do about it.
    """

    name: str
    status: Literal["ok", "warn", "fail"]
    message: str


def environment_checks() -> list[Check]:
    """Look at what is installed here."""
    return [
        Check("python", "ok", ".".join(map(str, sys.version_info[:3]))),
        _pinned("faust-streaming", _FAUST),
        _pinned("aiokafka", _AIOKAFKA),
        _agents(),
        _faust_program(),
        _codecs(),
        _descriptors(),
    ]


def settings_checks(settings: Settings) -> list[Check]:
    """Look at the settings, which are well formed already."""
    without = "queue" in settings.model_fields_set
    where = "without Kafka" if without else f"brokers {settings.kafka_bootstrap}"
    checks = [Check("settings", "ok", where)]
    try:
        settings.master_key_bytes()
    except ConfigurationError as error:
        checks.append(Check("master key", "fail", error.message))
    else:
        checks.append(Check("master key", "ok", "set"))
    checks.append(_store(settings))
    opened = settings.egress_allow_cidrs or settings.egress_allow_ports
    if opened or settings.egress_allow_http:
        checks.append(
            Check(
                "egress",
                "warn",
                "HOOKSEAL_EGRESS_ALLOW_* opens what is refused otherwise; for development only.",
            )
        )
    else:
        checks.append(Check("egress", "ok", "https to public addresses only"))
    return checks


async def cluster_checks(settings: Settings) -> list[Check]:
    """Look at the broker, the topics, the clock and what the master key fits."""
    try:
        found = await topics.states(settings.cluster)
    except BrokerError as error:
        return [Check("broker", "fail", error.message)]
    checks = [Check("broker", "ok", f"answers at {settings.kafka_bootstrap}")]
    listing = ", ".join(f"{name} {count or 'missing'}" for name, count in found.items())
    try:
        topics.check(found)
    except ConfigurationError as error:
        return [*checks, Check("topics", "fail", error.message)]
    checks.append(Check("topics", "ok", f"partitions: {listing}"))
    checks.append(await _clock(settings))
    checks += await _master_key(settings)
    return checks


async def _master_key(settings: Settings) -> list[Check]:
    try:
        fit = await key_fit(settings.cluster, settings.tenant_codec())
    except ConfigurationError:
        # There is none: `settings_checks` says so.
        return []
    except BrokerError as error:
        return [Check("master key", "warn", error.message)]
    found = f"fits {fit.fits} of {fit.documents} documents"
    if fit.is_wrong:
        return [Check("master key", "fail", f"{found}. {master_key_wrong(fit.documents).message}")]
    if fit.fits < fit.documents:
        return [
            Check(
                "master key",
                "warn",
                f"{found}. The others are ignored: a holder of another master key wrote them, or "
                "nobody who holds one (registry.forged in the log).",
            )
        ]
    return [Check("master key", "ok", found)]


async def _clock(settings: Settings) -> Check:
    try:
        newest = await newest_timestamp(settings.cluster)
    except BrokerError as error:
        return Check("clock", "warn", error.message)
    if newest is None:
        return Check("clock", "ok", "no record to compare with yet")
    ahead_s = newest - time.time()
    if ahead_s > _SKEW_MAX_S:
        return Check(
            "clock",
            "warn",
            f"The newest record is {ahead_s:.0f} s in the future. Set this clock, or its "
            "producer's: receivers refuse a signature that is five minutes off.",
        )
    return Check("clock", "ok", "no record from the future")


def _pinned(name: str, wanted: str) -> Check:
    try:
        found = version(name)
    except PackageNotFoundError:
        return Check(name, "fail", f"is not installed; hookseal needs {wanted}.")
    if found != wanted:
        return Check(name, "fail", f"{found} is installed; hookseal rests on {wanted}.")
    return Check(name, "ok", found)


def _agents() -> Check:
    """Two distributions install a package `agents`: ours and OpenAI's."""
    try:
        openai = version("openai-agents")
    except PackageNotFoundError:
        openai = None
    ours = importlib.util.find_spec("agents")
    deliver = Path(ours.origin).with_name("deliver.py") if ours and ours.origin else None
    if deliver is None or not deliver.exists():
        return Check("agents", "fail", "The package `agents` found here is not hookseal's.")
    if openai is not None:
        return Check(
            "agents",
            "fail",
            f"openai-agents {openai} installs a package `agents` as well, and the two overwrite "
            "each other; keep hookseal in an environment of its own.",
        )
    return Check("agents", "ok", "hookseal's own")


def _faust_program() -> Check:
    program = Path(sys.executable).with_name("faust")
    if program.exists():
        return Check("faust program", "ok", "beside this Python")
    return Check("faust program", "fail", "There is no `faust` beside this Python.")


def _codecs() -> Check:
    found = readable()
    missing = [name for name, can_be_read in found.items() if not can_be_read]
    if missing:
        return Check(
            "codecs",
            "fail",
            f"Batches compressed with {', '.join(missing)} cannot be read; install hookseal again.",
        )
    return Check("codecs", "ok", f"reads {', '.join(found)}")


def _descriptors() -> Check:
    soft, hard = descriptors.soft_limit(), descriptors.hard_limit()
    found = f"soft limit {soft:,}, hard limit {hard:,} open files"
    if hard < _DESCRIPTORS_MIN:
        return Check(
            "descriptors",
            "warn",
            f"{found}. hookseal raises the soft limit to the hard one. Raise the hard limit to "
            f"{_DESCRIPTORS_MIN:,} or more (ulimit -Hn, LimitNOFILE=): every connection needs one.",
        )
    return Check("descriptors", "ok", found)


def _store(settings: Settings) -> Check:
    if settings.store == "memory":
        return Check("store", "ok", "memory: the table is read again at each start")
    if importlib.util.find_spec("rocksdict") is None:
        return Check("store", "fail", "rocksdict is not installed; install `hookseal[rocksdb]`.")
    return Check("store", "ok", f"rocksdb, rocksdict {version('rocksdict')}")


async def queue_check(settings: Settings) -> Check:
    """Look at the queue of `hookseal local`."""
    if settings.queue_url == "memory://":
        return Check("queue", "ok", "in memory: what is left is lost when its process ends")
    try:
        from hookseal.local.redis_link import RedisLink
        from hookseal.local.redis_store import RedisStore
    except ImportError:
        return Check("queue", "fail", "redis is not installed; install `hookseal[redis]`.")
    try:
        link = RedisLink(settings.queue_url, settings.topic_prefix)
        try:
            version = await RedisStore(link, settings.partitions).check()
        finally:
            await link.close()
    except HooksealError as error:
        return Check("queue", "fail", f"{error.code}: {error.message}")
    return Check("queue", "ok", f"Redis {version} answers at {link.where}")


async def api_checks(settings: Settings) -> list[Check]:
    """Look at the API and at the key for it; at nothing where no API is named."""
    if not settings.api_url:
        return []
    try:
        key, missing = key_of(settings), None
    except ConfigurationError as error:
        key, missing = "", error
    # It is told what is, not what would be in a moment.
    async with ApiClient(settings.api_url, key, timeout_s=0.0) as api:
        try:
            await api.ask("GET", "/readyz")
        except HooksealError as error:
            checks = [Check("api", "fail", f"{error.code}: {error.message}")]
            if error.code in _NOBODY_THERE:
                return checks
        else:
            checks = [reached(settings.api_url)]
        if missing is not None:
            return [*checks, Check("api key", "fail", missing.message)]
        return [*checks, await _api_key(api)]


def reached(url: str) -> Check:
    """Return what is to be said of an API that is ready there."""
    if urlsplit(url).scheme == "http" and not _is_this_machine(urlsplit(url).hostname or ""):
        return Check("api", "warn", f"ready at {url}, but keys go there in the clear; use https.")
    return Check("api", "ok", f"ready at {url}")


def _is_this_machine(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


async def _api_key(api: ApiClient) -> Check:
    try:
        await api.ask("GET", "/v1/tenants?limit=1")
    except BrokerError as error:
        return Check("api key", "warn", f"cannot be told now: {error.code}: {error.message}")
    except HooksealError as error:
        if error.code == "admin_only":
            return Check("api key", "ok", "taken, as a tenant's")
        return Check("api key", "fail", f"{error.code}: {error.message}")
    return Check("api key", "ok", "taken, as the operator's")
