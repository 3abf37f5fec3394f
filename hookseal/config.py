"""Every `HOOKSEAL_*` setting: name, unit, bounds, reason.

Read once at the edge (`streams/app.py`, `cli/`), frozen, and passed inward
as values. `docs/settings.md` is generated from this file.
"""

from __future__ import annotations

import base64
import binascii
import os
import ssl
from functools import partial
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from hookseal.delivery.ordering import Limits
from hookseal.delivery.ordering.keys import Ordering
from hookseal.delivery.suspension import SuspensionRules
from hookseal.domain.backoff import Backoff
from hookseal.errors import ConfigurationError
from hookseal.kafka.cluster import Cluster
from hookseal.kafka.topics import TopicNames
from hookseal.outbound.tls import with_client_certificate
from hookseal.publishing.sealed_events import sealed
from hookseal.seal.event_vault import EventVault
from hookseal.tenants.codec import TenantCodec

if TYPE_CHECKING:
    from collections.abc import Callable

    from hookseal.domain.new_event import NewEvent

Network = IPv4Network | IPv6Network
CommaSeparated = NoDecode
MASTER_KEY_BYTES = 32
ADMIN_KEY_MIN = 8
EVENT_BYTES_MAX = 262_144
PORT_MAX = 65_535
RETRY_DELAY_MAX_S = 3600


class Settings(BaseSettings):
    """The settings of one process."""

    # hide_input_in_errors: otherwise one missing setting prints the other secrets.
    model_config = SettingsConfigDict(
        env_prefix="HOOKSEAL_", frozen=True, hide_input_in_errors=True, extra="ignore"
    )

    # -- Kafka ---------------------------------------------------------------
    kafka_bootstrap: str = Field(
        default="127.0.0.1:9092",
        pattern=r"^[^\s:,/]+:\d{1,5}(,[^\s:,/]+:\d{1,5})*$",
        description="Brokers to start from, `host:port,host:port`.",
    )
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        default="PLAINTEXT", description="How to talk to the brokers."
    )
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        default="SCRAM-SHA-512", description="Used when the security protocol has SASL in it."
    )
    kafka_sasl_username: str = Field(default="", description="SASL user.")
    kafka_sasl_password: SecretStr = Field(default=SecretStr(""), description="SASL password.")
    kafka_tls_ca_file: Path | None = Field(
        default=None, description="PEM file of the authorities to trust; the system's when unset."
    )
    kafka_tls_cert_file: Path | None = Field(
        default=None, description="PEM file of the client certificate, for mutual TLS."
    )
    kafka_tls_key_file: Path | None = Field(
        default=None, description="PEM file of the client certificate's private key."
    )
    kafka_idempotence: bool = Field(
        default=True,
        description="Produce idempotently. Only brokers that cannot (the embedded one) need false.",
    )
    topic_prefix: str = Field(
        default="",
        max_length=100,
        pattern=r"^[A-Za-z0-9._-]*$",
        description="Put before every topic and before the consumer group.",
    )
    partitions: int = Field(
        default=6,
        ge=1,
        le=10_000,
        description=(
            "Partitions that `hookseal topics create` gives each topic, and into which a queue in "
            "Redis is cut: as many processes can share the work."
        ),
    )
    replication: int = Field(
        default=1,
        ge=1,
        le=10,
        description="Copies that `hookseal topics create` asks for. Three in production.",
    )
    session_timeout_s: float = Field(
        default=30.0,
        ge=1,
        le=300,
        description="Seconds without a heartbeat after which a worker's partitions move on.",
    )
    heartbeat_interval_s: float = Field(
        default=3.0, ge=0.1, le=60, description="Seconds between heartbeats; a third of the above."
    )
    group_instance_id: str = Field(
        default="",
        max_length=200,
        pattern=r"^[A-Za-z0-9._-]*$",
        description=(
            "A name of this worker's own that it keeps over restarts (static membership): back "
            "within the session timeout it has its partitions again, and no other worker pauses."
        ),
    )
    commit_interval_s: float = Field(
        default=0.05,
        ge=0.01,
        le=60,
        description="Seconds between commits. A crash repeats what was finished since the last.",
    )
    fetch_max_wait_s: float = Field(
        default=0.02,
        ge=0,
        le=1,
        description=(
            "Seconds for which a broker gathers events before it answers, while events come one "
            "after the other. Longer spares CPU, and so the time that events wait under load; 0 = "
            "not at all."
        ),
    )
    fast_path: bool = Field(
        default=True,
        description=(
            "Whether fetched events bypass Faust's conductor and stream. Off, an event takes about "
            "half as much CPU again, and every guarantee holds. Turn it off to rule the bypass out "
            "while you look for a fault."
        ),
    )
    max_in_progress: int = Field(
        default=1024,
        ge=16,
        le=100_000,
        description="Events a partition holds in memory at most; the rest waits on the broker.",
    )

    # -- Without Kafka --------------------------------------------------------
    queue_url: str = Field(
        default="memory://",
        # Redacted nowhere: a password in it belongs into the setting alone.
        pattern=r"^(memory://|(redis|rediss|unix)://\S+)$",
        repr=False,
        description=(
            "What `hookseal local` keeps events in: `memory://`, or the URL of a Redis, "
            "`redis://host:6379/0`."
        ),
    )
    queue_max_events: int = Field(
        default=100_000,
        ge=1,
        le=100_000_000,
        description=(
            "Events that `hookseal local` holds unfinished; beyond that publishing answers 503 "
            "`queue_full`. Some 1 KB of memory each, besides their data."
        ),
    )

    # -- Tenants -------------------------------------------------------------
    store: Literal["memory", "rocksdb"] = Field(
        default="memory",
        description="Where a worker keeps its part of the tenants table between records.",
    )
    data_dir: Path = Field(
        default=Path("hookseal-data"),
        description="Folder of the RocksDB files and of the indexes of dead letters.",
    )
    master_key: SecretStr = Field(
        default=SecretStr(""),
        description=(
            "Base64 of at least 32 random bytes; every signing secret is derived from it. "
            "`openssl rand -base64 32`"
        ),
    )
    master_key_previous: SecretStr = Field(
        default=SecretStr(""),
        description=(
            "Other master keys that count while it is exchanged, comma-separated: the next one, "
            "then the one before. They read what they wrote, and sign beside it."
        ),
    )
    unknown_tenant_wait_s: float = Field(
        default=10.0,
        ge=0,
        le=300,
        description="Seconds an event of an unknown tenant waits for that tenant's commands.",
    )

    # -- API -----------------------------------------------------------------
    admin_key: SecretStr = Field(
        default=SecretStr(""),
        description=(
            "The operator's key to the API; without it nobody has its rights. "
            "`hookseal keys admin` makes one."
        ),
    )
    api_key_peppers: SecretStr = Field(
        default=SecretStr(""),
        description=(
            "Peppers of the API keys' digests, by version: `1:<base64 of 32 bytes>,2:…`. New keys "
            "get the highest. When unset it is derived from the master key."
        ),
    )
    api_max_staleness_s: float = Field(
        default=10.0,
        ge=2,
        le=300,
        description=(
            "Seconds without news of the tenants after which an API process takes no API key "
            "any more: how long a revoked key can live at most."
        ),
    )
    api_write_timeout_s: float = Field(
        default=10.0,
        ge=1,
        le=60,
        description=(
            "Seconds a change may take to be applied and safe, or an event to be acknowledged, "
            "before the API answers 503."
        ),
    )
    api_event_ids: int = Field(
        default=200_000,
        ge=1000,
        le=10_000_000,
        description=(
            "Ids of events, given by whoever published them in the last ten minutes, that an API "
            "process remembers, some 400 bytes each. It reads as many records when it starts."
        ),
    )
    api_public_hosts: Annotated[tuple[str, ...], CommaSeparated] = Field(
        default=(),
        description=(
            "Host names under which this API is reached; no endpoint may be there, since its "
            "deliveries would be a loop."
        ),
    )
    api_url: str = Field(
        default="",
        # With a name or a password in it, it would end in errors and logs.
        pattern=r"^(https?://[^\s@?#]+)?$",
        description=(
            "Where `hookseal tenants`, `publish` and `doctor` find the API; "
            "Kafka itself when unset."
        ),
    )
    api_key: SecretStr = Field(
        default=SecretStr(""),
        description="The key they use there; the admin key when unset.",
    )

    # -- Events --------------------------------------------------------------
    event_max_bytes: int = Field(
        default=32_768,
        ge=256,
        le=EVENT_BYTES_MAX,
        description=(
            "Bytes of an event's value. Above 49,152 receivers with default limits "
            "(joserfc, authlib) cannot open it."
        ),
    )

    seal_at_rest: bool = Field(
        default=False,
        description=(
            "Seal the data of events on Kafka, where they are published by the API or by "
            "`hookseal publish`; workers open them whatever this says."
        ),
    )

    # -- Delivery ------------------------------------------------------------
    ordering: Ordering = Field(
        default="partition",
        description=(
            "Who waits for whom: `partition`, one event after the other; `customer`, one event "
            "of a customer after the other, customers side by side; `unordered`, nobody."
        ),
    )
    max_in_flight: int = Field(
        default=32,
        ge=1,
        le=10_000,
        description=(
            "Attempts of one partition on the wire together, unless its order is `partition`."
        ),
    )
    max_queued_per_key: int = Field(
        default=100,
        ge=1,
        le=100_000,
        description=(
            "Events of one customer that wait behind the one in hand before the endpoint they wait "
            "for is suspended; for the order `customer`."
        ),
    )
    attempt_timeout_s: float = Field(
        default=15.0,
        gt=0,
        le=120,
        description="Seconds an attempt may take, connect to last byte.",
    )
    retry_base_s: float = Field(
        default=1.0, gt=0, le=3600, description="Seconds to wait after the first failed attempt."
    )
    retry_factor: float = Field(
        default=2.0, ge=1, le=10, description="Each wait is the one before times this."
    )
    retry_cap_s: float = Field(
        default=60.0, gt=0, le=3600, description="No wait grows beyond this, before jitter."
    )
    retry_jitter: float = Field(
        default=0.2,
        ge=0,
        lt=1,
        description="Each wait times a uniform draw from 1 ± this; 0 = none.",
    )
    retry_max_attempts: int = Field(
        default=5, ge=1, le=1000, description="Attempts of one delivery, the first included."
    )
    retry_delays_s: Annotated[tuple[float, ...] | None, CommaSeparated] = Field(
        default=None,
        description="Replaces the formula: `1,2,4,8` is five attempts with these waits.",
    )
    retry_after_cap_s: float = Field(
        default=60.0,
        ge=0,
        le=3600,
        description="A receiver's `Retry-After` is honoured up to this many seconds.",
    )
    suspend_after: int = Field(
        default=10,
        ge=0,
        le=100_000,
        description=(
            "Events in a row that an endpoint may not accept, each with all its attempts, before "
            "it is suspended; 0 = never, not even with its lane full."
        ),
    )
    probe_base_s: float = Field(
        default=30.0,
        gt=0,
        le=3600,
        description="Seconds until a suspended endpoint is tried again; each time twice as long.",
    )
    probe_cap_s: float = Field(
        default=3600.0, gt=0, le=86_400, description="No wait between two tries grows beyond this."
    )
    broadcast_concurrency: int = Field(
        default=16, ge=1, le=1000, description="Tenants of one broadcast delivered to at a time."
    )
    handover_grace_s: float = Field(
        default=2.0,
        ge=0,
        le=30,
        description=(
            "Seconds that a rebalance waits for attempts on the wire; what ends within them is "
            "not repeated."
        ),
    )
    shutdown_grace_s: float = Field(
        default=10.0,
        ge=0,
        le=120,
        description="Seconds a running attempt may still take when the worker stops.",
    )
    max_in_flight_per_customer: int = Field(
        default=8,
        ge=1,
        le=10_000,
        description=(
            "Of the attempts of one partition on the wire together, those of one customer, unless "
            "the order is `partition`: slow names and slow receivers of one leave room for others."
        ),
    )

    # -- Delivery log and dead letters ----------------------------------------
    delivery_log: bool = Field(
        default=True,
        description="Write a record of each attempt to `deliveries`.",
    )
    delivery_index_rows: int = Field(
        default=2_000_000,
        ge=1000,
        le=1_000_000_000,
        description=(
            "Attempts that one index of the delivery log holds, the latest; "
            "about 200 bytes of disk each."
        ),
    )
    storm_dead_letters_per_minute: int = Field(
        default=60,
        ge=1,
        le=1_000_000,
        description="Dead letters of one tenant in a minute from which on it is in a storm.",
    )

    # -- Egress --------------------------------------------------------------
    egress_allow_cidrs: Annotated[tuple[Network, ...], CommaSeparated] = Field(
        default=(),
        description="Networks allowed although private, `127.0.0.0/8,::1/128`. For development.",
    )
    egress_deny_cidrs: Annotated[tuple[Network, ...], CommaSeparated] = Field(
        default=(),
        description=(
            "Networks refused although public: the provider's own, for instance. They win over "
            "what is allowed."
        ),
    )
    egress_allow_http: bool = Field(
        default=False, description="Allow `http://` endpoints. For development."
    )
    egress_allow_ports: Annotated[tuple[tuple[int, int], ...], CommaSeparated] = Field(
        default=(),
        description="Ports allowed besides 443 and 8443, `8080,9000-9100`. For development.",
    )

    egress_client_cert_file: Path | None = Field(
        default=None,
        description=(
            "PEM file of a client certificate, shown to endpoints that ask for one (mutual TLS)."
        ),
    )
    egress_client_key_file: Path | None = Field(
        default=None,
        description="PEM file of its private key; in the certificate's file when unset.",
    )

    # -- Telemetry -----------------------------------------------------------
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", description="Least severity that is logged."
    )
    log_format: Literal["auto", "json", "console"] = Field(
        default="auto", description="`auto` is console on a terminal, JSON otherwise."
    )
    event_loop: Literal["asyncio", "uvloop"] = Field(
        default="uvloop",
        description=(
            "`uvloop` takes a tenth less CPU than Python's own loop, which takes its place where "
            "there is none (Windows)."
        ),
    )
    metrics_port: int | None = Field(
        default=None,
        ge=1,
        le=65_535,
        description="Port of the worker's `/metrics`, `/healthz` and `/readyz`; off when unset.",
    )
    otlp_endpoint: str = Field(
        default="",
        pattern=r"^(https?://[^\s@?#]+)?$",
        description=(
            "Where traces go, `http://collector:4318` (OTLP over HTTP); off when unset. Sampling "
            "and headers are set by OpenTelemetry's own `OTEL_*` variables."
        ),
    )
    metrics_host: str = Field(default="127.0.0.1", description="Address they listen on.")

    @field_validator("retry_delays_s", mode="before")
    @classmethod
    def _split_delays(cls, value: object) -> object:
        return _split(value) or None

    @field_validator("egress_allow_cidrs", "egress_deny_cidrs", mode="before")
    @classmethod
    def _split_cidrs(cls, value: object) -> object:
        return _split(value)

    @field_validator("api_public_hosts", mode="before")
    @classmethod
    def _split_hosts(cls, value: object) -> object:
        return tuple(str(part).lower().rstrip(".") for part in _split(value))

    @field_validator("egress_allow_ports", mode="before")
    @classmethod
    def _split_ports(cls, value: object) -> object:
        parts = _split(value)
        return tuple(_port_range(part) if isinstance(part, str) else part for part in parts)

    @field_validator("retry_delays_s")
    @classmethod
    def _bound_delays(cls, value: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if value is not None and not all(0 <= delay <= RETRY_DELAY_MAX_S for delay in value):
            raise ValueError("each delay must be from 0 to 3600 seconds")
        return value

    @field_validator("admin_key")
    @classmethod
    def _is_long(cls, value: SecretStr) -> SecretStr:
        if 0 < len(value.get_secret_value()) < ADMIN_KEY_MIN:
            raise ValueError("is short enough to be guessed; `hookseal keys admin` makes one")
        return value

    @field_validator("api_key_peppers")
    @classmethod
    def _are_peppers(cls, value: SecretStr) -> SecretStr:
        _decode_peppers(value)
        return value

    @field_validator("master_key")
    @classmethod
    def _decodes(cls, value: SecretStr) -> SecretStr:
        if value.get_secret_value():
            _decode_secret(value.get_secret_value())
        return value

    @field_validator(
        "kafka_tls_ca_file",
        "kafka_tls_cert_file",
        "kafka_tls_key_file",
        "egress_client_cert_file",
        "egress_client_key_file",
    )
    @classmethod
    def _can_be_read(cls, value: Path | None) -> Path | None:
        if value is not None and not os.access(value, os.R_OK):
            raise ValueError("there is no file at this place that can be read")
        return value

    @field_validator("master_key_previous")
    @classmethod
    def _all_decode(cls, value: SecretStr) -> SecretStr:
        for key in value.get_secret_value().split(","):
            if key.strip():
                _decode_secret(key)
        return value

    @model_validator(mode="after")
    def _tls_files_fit(self) -> Self:
        # Here and not at the first connection: it would look as if no broker answered.
        if self.kafka_tls_key_file is not None and self.kafka_tls_cert_file is None:
            raise ValueError(
                "HOOKSEAL_KAFKA_TLS_KEY_FILE needs HOOKSEAL_KAFKA_TLS_CERT_FILE, the certificate "
                "that it is the key of"
            )
        if not self.cluster.has_tls:
            return self
        try:
            ssl.create_default_context(cafile=self.kafka_tls_ca_file)
        except OSError:
            raise ValueError("HOOKSEAL_KAFKA_TLS_CA_FILE holds no certificates in PEM") from None
        try:
            self.cluster.tls_context()
        except OSError:
            raise ValueError(
                "HOOKSEAL_KAFKA_TLS_CERT_FILE and HOOKSEAL_KAFKA_TLS_KEY_FILE are no certificate "
                "and its key, unencrypted, in PEM"
            ) from None
        return self

    @model_validator(mode="after")
    def _client_certificate_fits(self) -> Self:
        if self.egress_client_cert_file is None and self.egress_client_key_file is None:
            return self
        if self.egress_client_cert_file is None:
            raise ValueError(
                "HOOKSEAL_EGRESS_CLIENT_KEY_FILE needs HOOKSEAL_EGRESS_CLIENT_CERT_FILE, the "
                "certificate that it is the key of"
            )
        try:
            self.egress_tls()
        except OSError:
            raise ValueError(
                "HOOKSEAL_EGRESS_CLIENT_CERT_FILE and HOOKSEAL_EGRESS_CLIENT_KEY_FILE are no "
                "certificate and its key, unencrypted, in PEM"
            ) from None
        return self

    @model_validator(mode="after")
    def _heartbeats_fit_the_session(self) -> Self:
        if self.heartbeat_interval_s * 2 > self.session_timeout_s:
            raise ValueError(
                "HOOKSEAL_HEARTBEAT_INTERVAL_S must be at most half of HOOKSEAL_SESSION_TIMEOUT_S: "
                "one lost heartbeat would cost the worker its partitions"
            )
        return self

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
        """The topics' names."""
        return TopicNames(self.topic_prefix)

    @property
    def backoff(self) -> Backoff:
        """The schedule of endpoints that bring none of their own."""
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
        """How much of a partition is in hand, in the order that is set."""
        if self.ordering == "partition":
            return Limits(events=1, waiting=0)
        return Limits(events=self.max_in_progress, waiting=self.max_queued_per_key)

    @property
    def attempts_at_a_time(self) -> int | None:
        """Attempts of a partition on the wire together; None = no bound is needed."""
        return None if self.ordering == "partition" else self.max_in_flight

    @property
    def attempts_each(self) -> int | None:
        """Of these, attempts of one customer; None = no bound is needed."""
        return None if self.ordering == "partition" else self.max_in_flight_per_customer

    @property
    def suspension_rules(self) -> SuspensionRules:
        """When an endpoint is suspended, and how it is tried meanwhile."""
        return SuspensionRules(
            after=self.suspend_after,
            probe=Backoff(
                base_s=self.probe_base_s,
                cap_s=max(self.probe_base_s, self.probe_cap_s),
                jitter=self.retry_jitter,
            ),
            event_max_bytes=self.event_max_bytes,
        )

    @property
    def longest_backoff_s(self) -> float:
        """Upper bound of the seconds that one delivery may hold its partition."""
        attempts = self.backoff.attempts
        waits = sum(
            max(self.backoff.longest_delay_after(n), self.retry_after_cap_s)
            for n in range(1, attempts)
        )
        return attempts * self.attempt_timeout_s + waits

    def egress_tls(self) -> ssl.SSLContext | None:
        """Return the TLS context for endpoints; None = the system's, without a certificate."""
        if self.egress_client_cert_file is None:
            return None
        return with_client_certificate(self.egress_client_cert_file, self.egress_client_key_file)

    def master_key_bytes(self) -> bytes:
        """Return the master key.

        Raises:
            ConfigurationError: `master_key_missing`, when it is not set.
        """
        if not self.master_key.get_secret_value():
            raise ConfigurationError(
                "master_key_missing",
                "Set it to base64 of 32 random bytes, for instance from `openssl rand -base64 32`, "
                "and keep it: every signing secret is derived from it.",
                field="HOOKSEAL_MASTER_KEY",
            )
        return _decode_secret(self.master_key.get_secret_value())

    def master_keys(self) -> list[bytes]:
        """Return the master key, and behind it those before it that still count.

        Raises:
            ConfigurationError: `master_key_missing`.
        """
        before = self.master_key_previous.get_secret_value().split(",")
        return [
            self.master_key_bytes(),
            *(_decode_secret(key) for key in before if key.strip()),
        ]

    def event_vault(self) -> EventVault:
        """Return what seals and opens the data of events at rest.

        Raises:
            ConfigurationError: `master_key_missing`.
        """
        return EventVault(self.names.events, self.master_keys())

    def sealing(self) -> Callable[[NewEvent], NewEvent]:
        """Return what is done to an event before it is written.

        Raises:
            ConfigurationError: `master_key_missing`, if it is to be sealed.
        """
        if not self.seal_at_rest:
            return lambda draft: draft
        return partial(sealed, vault=self.event_vault())

    def tenant_codec(self) -> TenantCodec:
        """Return the codec of commands and tenant documents.

        Raises:
            ConfigurationError: `master_key_missing`.
        """
        return TenantCodec(self.names, self.master_keys())

    def peppers(self) -> dict[int, bytes]:
        """Return the peppers of the API keys, by version."""
        return _decode_peppers(self.api_key_peppers)


def load() -> Settings:
    """Read the settings from the environment.

    Raises:
        ConfigurationError: `settings_invalid`, with each setting at fault and why.
    """
    try:
        return Settings()
    except ValidationError as error:
        faults = "; ".join(
            f"{_environment_name(fault['loc'])}: {fault['msg'].removeprefix('Value error, ')}"
            for fault in error.errors(include_input=False, include_url=False)
        )
        raise ConfigurationError("settings_invalid", faults) from None


def _environment_name(location: tuple[int | str, ...]) -> str:
    return f"HOOKSEAL_{str(location[0]).upper()}" if location else "settings"


def _split(value: object) -> tuple[object, ...]:
    if value is None:
        return ()
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    if isinstance(value, tuple | list):
        return tuple(value)
    raise ValueError("give a comma-separated list")


def _port_range(text: str) -> tuple[int, int]:
    first, _, last = text.partition("-")
    try:
        low, high = int(first), int(last or first)
    except ValueError:
        raise ValueError("give ports as `8080` or `9000-9100`") from None
    if not 1 <= low <= high <= PORT_MAX:
        raise ValueError("ports are from 1 to 65535, the lower one first")
    return low, high


def _decode_secret(secret: str) -> bytes:
    text = secret.strip().replace("-", "+").replace("_", "/")
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error:
        raise ValueError("is not base64; `openssl rand -base64 32` makes one") from None
    if len(key) < MASTER_KEY_BYTES:
        raise ValueError("has fewer than 32 bytes; `openssl rand -base64 32` makes one")
    return key


def _decode_peppers(secret: SecretStr) -> dict[int, bytes]:
    peppers: dict[int, bytes] = {}
    for part in secret.get_secret_value().split(","):
        if not part.strip():
            continue
        version, colon, text = part.strip().partition(":")
        if not colon or not version.isascii() or not version.isdigit() or int(version) < 1:
            raise ValueError("give each pepper as `1:<base64>`, with versions from 1")
        if int(version) in peppers:
            raise ValueError("give each version once")
        peppers[int(version)] = _decode_secret(text)
    return peppers
