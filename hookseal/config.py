"""Every `HOOKSEAL_*` setting: type, default, bounds, effect.

Read once at the edge (`streams/app.py`, `cli/`), frozen, and passed inward as values.
`docs/settings.md` is generated from the text below each setting: effect, then when to change it.
"""

from __future__ import annotations

import ssl
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from pydantic import (
    Field,
    SecretStr,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from hookseal import environment
from hookseal.delivery.ordering import Limits
from hookseal.delivery.suspension import SuspensionRules
from hookseal.domain.backoff import Backoff
from hookseal.domain.endpoint import Ordering
from hookseal.errors import ConfigurationError
from hookseal.kafka.cluster import Cluster
from hookseal.kafka.topics import TopicNames
from hookseal.outbound.client import with_client_certificate
from hookseal.publishing.event_log import sealed
from hookseal.seal.vault import EventVault
from hookseal.setting_types import (
    PORT_MAX,
    AdminKey,
    Brokers,
    Delays,
    Host,
    HostNames,
    MasterKey,
    MasterKeys,
    Networks,
    PemFile,
    Peppers,
    Ports,
    Url,
    decode_key,
    decode_keys,
    decode_peppers,
)
from hookseal.tenants.codec import TenantCodec

if TYPE_CHECKING:
    from collections.abc import Callable

    from hookseal.domain.new_event import NewEvent

EVENT_BYTES_MAX = 262_144


class Settings(BaseSettings):
    """The settings of one process."""

    # hide_input_in_errors: otherwise one missing setting prints the other secrets.
    model_config = SettingsConfigDict(
        env_prefix="HOOKSEAL_",
        frozen=True,
        hide_input_in_errors=True,
        extra="ignore",
        use_attribute_docstrings=True,
    )

    kafka_bootstrap: Brokers = Field(
        "127.0.0.1:9092", pattern=r"^[^\s:,/]+:\d{1,5}(,[^\s:,/]+:\d{1,5})*$"
    )
    """Brokers of the first connection, `host:port,host:port`."""
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    """Transport and authentication of every connection to a broker."""
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    """SASL mechanism. Used if the security protocol is `SASL_PLAINTEXT` or `SASL_SSL`."""
    kafka_sasl_username: str = ""
    """SASL user."""
    kafka_sasl_password: SecretStr = SecretStr("")
    """SASL password."""
    kafka_tls_ca_file: PemFile = None
    """PEM file of the trusted certificate authorities. Unset: those of the system."""
    kafka_tls_cert_file: PemFile = None
    """PEM file of the client certificate, for mutual TLS."""
    kafka_tls_key_file: PemFile = None
    """PEM file of the client certificate's private key."""
    kafka_idempotence: bool = True
    """Produce idempotently. Set to false only for brokers that cannot (the embedded one)."""
    topic_prefix: str = Field("", max_length=100, pattern=r"^[A-Za-z0-9._-]*$")
    """Prefix of every topic and of the consumer group."""
    partitions: int = Field(6, ge=1, le=10_000)
    """Partitions of each topic that `hookseal topics create` creates, and of a queue in Redis. At
    most this many processes share the work."""
    replication: int = Field(1, ge=1, le=10)
    """Replication factor of topics that `hookseal topics create` creates. Use 3 in production."""
    session_timeout_s: float = Field(30.0, ge=1, le=300)
    """Seconds without a heartbeat after which a worker's partitions are reassigned."""
    heartbeat_interval_s: float = Field(3.0, ge=0.1, le=60)
    """Seconds between heartbeats, at most half of the session timeout."""
    group_instance_id: str = Field("", max_length=200, pattern=r"^[A-Za-z0-9._-]*$")
    """Name of this worker that stays the same over restarts (static membership). A worker that
    restarts within the session timeout keeps its partitions, and no other worker pauses."""
    commit_interval_s: float = Field(0.05, ge=0.01, le=60)
    """Seconds between commits. A crash repeats the events that were done since the last one."""
    fetch_max_wait_s: float = Field(0.02, ge=0, le=1)
    """Seconds a broker batches events before it answers. Raise it to save CPU; 0 = no batching."""
    fast_path: bool = True
    """Fetched events bypass Faust's conductor and stream. Without it, an event takes about half as
    much CPU again and every guarantee holds. Turn it off to exclude it as the cause of a fault."""
    max_in_progress: int = Field(1024, ge=16, le=100_000)
    """Events of one partition in memory. Later events stay on the broker."""

    # Redacted nowhere: a password in it belongs into the setting alone.
    queue_url: Url = Field(
        "memory://", pattern=r"^(memory://|(redis|rediss|unix)://\S+)$", repr=False
    )
    """Queue of `hookseal local`: `memory://`, or the URL of a Redis, `redis://host:6379/0`."""
    queue_max_events: int = Field(100_000, ge=1, le=100_000_000)
    """Unfinished events in the queue of `hookseal local`. When the queue is full, publishing
    answers 503 `queue_full`. An event takes about 1 KB of memory besides its data."""

    store: Literal["memory", "rocksdb"] = "memory"
    """Where a worker keeps its part of the tenants table."""
    data_dir: Path = Path("hookseal-data")
    """Folder of the RocksDB files and of the indexes of dead letters."""
    master_key: MasterKey = SecretStr("")
    """Base64 of at least 32 random bytes: `openssl rand -base64 32`. It derives signing secrets."""
    master_key_previous: MasterKeys = SecretStr("")
    """Other master keys that are valid during a rotation, comma-separated: the next one, then the
    previous one. They decrypt, verify and sign; only the master key encrypts."""
    unknown_tenant_wait_s: float = Field(10.0, ge=0, le=300)
    """Seconds for which an event of an unknown tenant waits for that tenant's commands."""

    admin_key: AdminKey = SecretStr("")
    """The operator's key to the API, from `hookseal keys admin`. Unset: nobody has its rights."""
    api_key_peppers: Peppers = SecretStr("")
    """Peppers of the API keys' digests, by version: `1:<base64 of 32 bytes>,2:…`. New keys use the
    highest version. Unset: derived from the master key."""
    api_max_staleness_s: float = Field(10.0, ge=2, le=300)
    """Seconds without an update of the tenants after which an API process rejects every API key. A
    revoked key stays valid for at most this time."""
    api_write_timeout_s: float = Field(10.0, ge=1, le=60)
    """Seconds to store a change or acknowledge an event, after which the API answers 503."""
    api_event_ids: int = Field(200_000, ge=1000, le=10_000_000)
    """Event ids of the last ten minutes that an API process reads at start and remembers to detect
    duplicates, about 400 bytes each."""
    api_public_hosts: HostNames = ()
    """Host names of this API. Endpoints on them are refused: their deliveries would be a loop."""
    # With a name or a password in it, it would end in errors and logs.
    api_url: Url = Field("", pattern=r"^(https?://[^\s@?#]+)?$")
    """URL of the API for `hookseal tenants`, `publish` and `doctor`. Unset: they use Kafka."""
    api_key: SecretStr = SecretStr("")
    """API key of these commands. Unset: the admin key."""

    event_max_bytes: int = Field(32_768, ge=256, le=EVENT_BYTES_MAX)
    """Bytes of an event's value. Receivers with default limits (joserfc, authlib) cannot decrypt
    events above 49,152 bytes."""
    tenant_max_events_per_s: float | None = Field(None, gt=0, le=1_000_000, allow_inf_nan=False)
    """Events per second that a tenant may publish through each API process, in bursts of one second
    or 1,000 events. Above it the API answers 429. Unset: no limit."""
    seal_at_rest: bool = False
    """Encrypt event data on Kafka when it is published. Workers decrypt it with either value."""

    ordering: Ordering = "partition"
    """Ordering mode: which events must not overtake each other. `partition`: all events of a
    partition. `customer`: the events of one customer. `endpoint`: the events for one endpoint.
    `key`: those of them with the same ordering key. `unordered`: none."""
    max_in_flight: int = Field(32, ge=1, le=10_000)
    """Concurrent attempts of one partition, unless the ordering mode is `partition`."""
    max_queued_per_key: int = Field(100, ge=1, le=100_000)
    """Events queued behind the one being delivered, per ordering key, unless the ordering mode is
    `partition`. When the queue is full, an endpoint that fails or is slow is suspended, and newer
    events are deferred. Raise it to absorb longer bursts."""
    attempt_timeout_s: float = Field(15.0, gt=0, le=120)
    """Seconds an attempt may take, from connect to the last byte."""
    retry_base_s: float = Field(1.0, gt=0, le=3600)
    """Seconds of backoff after the first failed attempt."""
    retry_factor: float = Field(2.0, ge=1, le=10)
    """Factor by which the backoff grows with each failed attempt."""
    retry_cap_s: float = Field(60.0, gt=0, le=3600)
    """Longest backoff, before jitter."""
    retry_jitter: float = Field(0.2, ge=0, lt=1)
    """Each backoff is multiplied by a uniform draw from 1 ± this; 0 = none."""
    retry_max_attempts: int = Field(5, ge=1, le=1000)
    """Attempts of one delivery, the first included."""
    retry_delays_s: Delays = None
    """Backoff after each failed attempt, instead of the formula: `1,2,4,8` is five attempts."""
    retry_after_cap_s: float = Field(60.0, ge=0, le=3600)
    """Longest `Retry-After` of a receiver that is honoured."""
    endpoint_retry_max_s: float = Field(300.0, ge=0, le=3600)
    """Longest sum of an endpoint's own `retry_delays_s`. The API refuses longer ones. Raise it if
    no event waits for another customer's endpoint, so not in the mode `partition`."""
    partition_hold_max_s: float = Field(30.0, ge=0, le=60)
    """Mode `partition`: seconds of a minute that the events of one customer may hold their
    partition while events wait. Beyond it, its endpoints are suspended. 0 = no limit."""
    suspend_after: int = Field(1, ge=0, le=100_000)
    """Consecutive events that exhaust their attempts by the endpoint's fault before their endpoint
    is suspended. The last of them is the first deferred event; those before it are dead-lettered.
    0 = never, not even with a full queue."""
    give_up_after_s: float = Field(259_200.0, gt=0, le=31_536_000)
    """Seconds from an event's first attempt after which a suspended endpoint's event is
    dead-lettered with the reason `expired`. Raise it for receivers with longer outages."""
    probe_base_s: float = Field(30.0, gt=0, le=3600)
    """Seconds until the first probe of a suspended endpoint. The interval doubles each time."""
    probe_cap_s: float = Field(3600.0, gt=0, le=86_400)
    """Longest interval between two probes."""
    broadcast_concurrency: int = Field(16, ge=1, le=1000)
    """Tenants to which one broadcast is delivered concurrently."""
    handover_grace_s: float = Field(2.0, ge=0, le=30)
    """Seconds for which a rebalance waits for running attempts, so that they are not repeated."""
    shutdown_grace_s: float = Field(10.0, ge=0, le=120)
    """Seconds for which a worker that stops waits for running attempts."""
    max_in_flight_per_customer: int = Field(8, ge=1, le=10_000)
    """Like `HOOKSEAL_MAX_IN_FLIGHT`, for one customer: its slow receivers leave room for others."""

    delivery_log: bool = True
    """Write a record of each attempt to `deliveries`."""
    delivery_index_rows: int = Field(2_000_000, ge=1000, le=1_000_000_000)
    """Latest attempts in one index of the delivery log, about 200 bytes of disk each."""
    storm_dead_letters_per_minute: int = Field(60, ge=1, le=1_000_000)
    """Dead letters of one tenant in a minute from which the tenant counts as in a storm."""

    egress_allow_cidrs: Networks = ()
    """Private networks that deliveries may reach, `127.0.0.0/8,::1/128`. For development."""
    egress_deny_cidrs: Networks = ()
    """Public networks that deliveries must not reach. They take precedence over allowed ones."""
    egress_allow_http: bool = False
    """Allow `http://` endpoints. For development."""
    egress_allow_ports: Ports = ()
    """Ports allowed besides 443 and 8443, `8080,9000-9100`. For development."""
    egress_client_cert_file: PemFile = None
    """PEM file of the client certificate for endpoints that request one (mutual TLS)."""
    egress_client_key_file: PemFile = None
    """PEM file of its private key. Unset: the key is in the certificate's file."""

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """Lowest severity that is logged."""
    log_format: Literal["auto", "json", "console"] = "auto"
    """Log format. `auto` is `console` on a terminal and `json` otherwise."""
    event_loop: Literal["asyncio", "uvloop"] = "uvloop"
    """`uvloop` takes about 10 % less CPU. Without it (Windows), `asyncio` is used."""
    metrics_port: int | None = Field(None, ge=1, le=PORT_MAX)
    """Port of the worker's `/metrics`, `/healthz` and `/readyz`. Unset: off."""
    otlp_endpoint: Url = Field("", pattern=r"^(https?://[^\s@?#]+)?$")
    """Collector of traces, `http://collector:4318` (OTLP over HTTP). Unset: off. Set sampling and
    headers by OpenTelemetry's own `OTEL_*` variables."""
    metrics_host: Host = "127.0.0.1"
    """Address of the metrics port."""

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        checks = (self._check_kafka_tls, self._check_egress_tls, self._check_heartbeats)
        if faults := [fault for check in checks if (fault := check())]:
            raise ValueError(". ".join(faults))
        return self

    def _check_kafka_tls(self) -> str:
        # Checked here: a failure at the first connection looks as if no broker answered.
        if self.kafka_tls_key_file is not None and self.kafka_tls_cert_file is None:
            return _without_certificate("HOOKSEAL_KAFKA_TLS")
        if not self.cluster.has_tls:
            return ""
        try:
            ssl.create_default_context(cafile=self.kafka_tls_ca_file)
        except OSError:
            return "HOOKSEAL_KAFKA_TLS_CA_FILE holds no PEM certificates"
        return _load_fault(self.cluster.tls_context, "HOOKSEAL_KAFKA_TLS")

    def _check_egress_tls(self) -> str:
        if self.egress_client_key_file is not None and self.egress_client_cert_file is None:
            return _without_certificate("HOOKSEAL_EGRESS_CLIENT")
        return _load_fault(self.egress_tls, "HOOKSEAL_EGRESS_CLIENT")

    def _check_heartbeats(self) -> str:
        if self.heartbeat_interval_s * 2 <= self.session_timeout_s:
            return ""
        return (
            "HOOKSEAL_HEARTBEAT_INTERVAL_S must be at most half of HOOKSEAL_SESSION_TIMEOUT_S: "
            "otherwise one lost heartbeat costs the worker its partitions"
        )

    @property
    def cluster(self) -> Cluster:
        """The Kafka cluster, for every client."""
        return Cluster(
            bootstrap=self.kafka_bootstrap,
            topic_prefix=self.topic_prefix,
            security_protocol=self.kafka_security_protocol,
            sasl_mechanism=self.kafka_sasl_mechanism,
            sasl_username=self.kafka_sasl_username,
            sasl_password=self.kafka_sasl_password.get_secret_value(),
            idempotence=self.kafka_idempotence,
            tls_ca_file=self.kafka_tls_ca_file,
            tls_cert_file=self.kafka_tls_cert_file,
            tls_key_file=self.kafka_tls_key_file,
        )

    @property
    def names(self) -> TopicNames:
        """The names of the topics."""
        return TopicNames(self.topic_prefix)

    @property
    def backoff(self) -> Backoff:
        """The retry policy of endpoints without one of their own."""
        return Backoff(
            base_s=self.retry_base_s,
            factor=self.retry_factor,
            cap_s=self.retry_cap_s,
            jitter=self.retry_jitter,
            max_attempts=self.retry_max_attempts,
            delays_s=self.retry_delays_s,
        )

    @property
    def scheduler_limits(self) -> Limits:
        """Events of one partition in progress and queued."""
        return Limits(
            events=self.max_in_progress,
            waiting=self.max_queued_per_key,
            hold_s=self.partition_hold_max_s,
        )

    @property
    def suspension_rules(self) -> SuspensionRules:
        """When an endpoint is suspended, and how often it is probed."""
        return SuspensionRules(
            after=self.suspend_after,
            give_up_s=self.give_up_after_s,
            probe=Backoff(
                base_s=self.probe_base_s,
                cap_s=max(self.probe_base_s, self.probe_cap_s),
                jitter=self.retry_jitter,
            ),
            event_max_bytes=self.event_max_bytes,
        )

    @property
    def longest_backoff_s(self) -> float:
        """Longest time in seconds for which one delivery blocks its partition."""
        attempts = self.backoff.attempts
        waits = sum(
            max(self.backoff.longest_delay_after(attempt), self.retry_after_cap_s)
            for attempt in range(1, attempts)
        )
        return attempts * self.attempt_timeout_s + waits

    def egress_tls(self) -> ssl.SSLContext | None:
        """Return the TLS context for endpoints; None = the system's, without a certificate."""
        if self.egress_client_cert_file is None:
            return None
        return with_client_certificate(self.egress_client_cert_file, self.egress_client_key_file)

    def master_key_bytes(self) -> bytes:
        """Return the master key, or raise ConfigurationError: `master_key_missing`."""
        return self.master_keys()[0]

    def master_keys(self) -> list[bytes]:
        """Return the master key and the others that are valid; raises as `master_key_bytes`."""
        current = decode_key(self.master_key)
        if current is None:
            raise ConfigurationError(
                "master_key_missing",
                "Set it to base64 of 32 random bytes, for instance from `openssl rand -base64 32`, "
                "and keep it: every signing secret is derived from it.",
                field="HOOKSEAL_MASTER_KEY",
            )
        return [current, *decode_keys(self.master_key_previous)]

    def event_vault(self) -> EventVault:
        """Return the vault of event data at rest; raises as `master_key_bytes`."""
        return EventVault(self.names.events, self.master_keys())

    def sealing(self) -> Callable[[NewEvent], NewEvent]:
        """Return the function that encrypts an event before it is written, if `seal_at_rest`."""
        if not self.seal_at_rest:
            return lambda event: event
        return partial(sealed, vault=self.event_vault())

    def tenant_codec(self) -> TenantCodec:
        """Return the codec of commands and documents; raises as `master_key_bytes`."""
        return TenantCodec(self.names, self.master_keys())

    def peppers(self) -> dict[int, bytes]:
        """Return the peppers of the API keys, by version."""
        return decode_peppers(self.api_key_peppers)


def load() -> Settings:
    """Read the settings from the environment, or raise as `environment.read`."""
    return environment.read(Settings)


def _without_certificate(prefix: str) -> str:
    return f"{prefix}_KEY_FILE needs {prefix}_CERT_FILE, the certificate of the key"


def _load_fault(load_context: Callable[[], object], prefix: str) -> str:
    try:
        load_context()
    except OSError:
        return (
            f"{prefix}_CERT_FILE and {prefix}_KEY_FILE must hold a certificate and its unencrypted "
            "private key, in PEM"
        )
    return ""
