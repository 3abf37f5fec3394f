"""Every metric, declared once. Labels are bounded: never a customer id, a URL or a text."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

__all__ = [
    "API_REQUESTS",
    "API_SECONDS",
    "ATTEMPTS",
    "ATTEMPT_SECONDS",
    "COMMANDS",
    "CONNECTIONS",
    "CONNECTIONS_CLOSED",
    "DEAD_LETTERS",
    "DEAD_LETTER_WRITES_HELD",
    "DEAD_LETTER_WRITE_FAILURES",
    "DELIVERIES",
    "DELIVERY_LOG_DROPPED",
    "DELIVERY_SECONDS",
    "DRAINED",
    "FAILED_PROBES",
    "FORGED_RECORDS",
    "GAPS",
    "IN_BACKOFF",
    "IN_FLIGHT",
    "LAG",
    "LANES",
    "MISROUTED",
    "OLDEST_HOLD_SECONDS",
    "PUBLISHED",
    "RECOVERING",
    "RECOVERY_SECONDS",
    "RESOURCE_EXHAUSTED",
    "SEAL_SECONDS",
    "SKIPPED",
    "SUSPENDED_ENDPOINTS",
    "SUSPENSIONS",
    "TENANTS_IN_STORM",
    "TENANT_WRITES_REFUSED",
    "UNREADABLE_BATCHES",
    "WRITE_FAILURES",
]

_LATENCY_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 3600)

ATTEMPTS = Counter("hookseal_attempts_total", "Attempts, by code.", ["code"])
ATTEMPT_SECONDS = Histogram(
    "hookseal_attempt_seconds", "Seconds of an attempt, connect to last byte.", buckets=_LATENCY_S
)
SEAL_SECONDS = Histogram(
    "hookseal_seal_seconds",
    "Seconds to seal and sign one request.",
    buckets=(0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.1),
)
DELIVERIES = Counter("hookseal_deliveries_total", "Deliveries that ended, by outcome.", ["outcome"])
DELIVERY_SECONDS = Histogram(
    "hookseal_delivery_seconds",
    "Seconds from the record's timestamp to acceptance.",
    buckets=_LATENCY_S,
)
DEAD_LETTERS = Counter(
    "hookseal_dead_letters_total",
    "Dead letters, by reason and by whose it is to mend.",
    ["reason", "category"],
)
DEAD_LETTER_WRITE_FAILURES = Counter(
    "hookseal_dead_letter_write_failures_total",
    "Times that a dead letter was refused, or not acknowledged within 5 s.",
)
DEAD_LETTER_WRITES_HELD = Gauge(
    "hookseal_dead_letter_writes_held", "Dead letters that wait to be written, and hold a lane."
)
WRITE_FAILURES = Counter(
    "hookseal_write_failures_total",
    "Writes to Kafka that failed, by topic and code; `record_refused` is not retried.",
    ["topic", "code"],
)
TENANTS_IN_STORM = Gauge(
    "hookseal_tenants_in_storm", "Tenants with more dead letters in a minute than is usual."
)
SUSPENDED_ENDPOINTS = Gauge(
    "hookseal_suspended_endpoints", "Endpoints whose events are set aside.", ["partition"]
)
SUSPENSIONS = Counter("hookseal_suspensions_total", "Endpoints that were suspended.", ["why"])
FAILED_PROBES = Counter(
    "hookseal_failed_probes_total", "Attempts at suspended endpoints that were not accepted."
)
DRAINED = Counter(
    "hookseal_drained_total",
    "Events of suspended endpoints that were delivered, or given up, after all.",
)
DELIVERY_LOG_DROPPED = Counter(
    "hookseal_delivery_log_dropped_total", "Attempts missing from the delivery log."
)
IN_BACKOFF = Gauge("hookseal_in_backoff", "Deliveries that wait in backoff.", ["partition"])
IN_FLIGHT = Gauge("hookseal_in_flight", "Attempts that are on the wire.", ["partition"])
LANES = Gauge(
    "hookseal_lanes",
    "Lanes with events; none in the order `partition`.",
    ["partition"],
)
OLDEST_HOLD_SECONDS = Gauge(
    "hookseal_oldest_hold_seconds",
    "Seconds for which the oldest unfinished event of a partition is in hand.",
    ["partition"],
)
LAG = Gauge(
    "hookseal_lag",
    "Events of a partition that are not finished: from the first that is not to the end.",
    ["partition"],
)
RECOVERING = Gauge(
    "hookseal_recovering", "1 while the tenants table is read from its changelog, else 0."
)
RECOVERY_SECONDS = Gauge(
    "hookseal_recovery_seconds", "Seconds that reading the tenants table took the last time."
)
RESOURCE_EXHAUSTED = Counter(
    "hookseal_resource_exhausted_total",
    "Requests that this process could not send or finish for lack of a local resource. The same "
    "attempt is repeated.",
    ["resource"],
)
MISROUTED = Counter(
    "hookseal_misrouted_total", "Events that stood on the wrong partition and were moved."
)
SKIPPED = Counter("hookseal_skipped_total", "Events that no endpoint subscribes to.")
GAPS = Counter("hookseal_gaps_total", "Gaps in a partition that were read again.")
FORGED_RECORDS = Counter(
    "hookseal_forged_records_total",
    "Commands and tenant documents without a MAC of ours, which were ignored.",
)
UNREADABLE_BATCHES = Counter(
    "hookseal_unreadable_batches_total",
    "Batches of records that cannot be decoded, and were passed over.",
)
TENANT_WRITES_REFUSED = Counter(
    "hookseal_tenant_writes_refused_total",
    "Changes to tenants that Kafka refused to store for good; they were undone.",
)
COMMANDS = Counter("hookseal_commands_total", "Commands read, by result.", ["code"])
PUBLISHED = Counter(
    "hookseal_published_total", "Events that the API took, repeats of earlier ones included."
)
API_REQUESTS = Counter(
    "hookseal_api_requests_total",
    "Requests to the API, by operation and HTTP status.",
    ["operation", "status"],
)
CONNECTIONS = Gauge(
    "hookseal_connections", "Open connections to a server of this process.", ["server"]
)
CONNECTIONS_CLOSED = Counter(
    "hookseal_connections_closed_total",
    "Connections that a server closed or refused, by reason.",
    ["server", "reason"],
)
API_SECONDS = Histogram(
    "hookseal_api_seconds",
    "Seconds of a request that succeeded.",
    ["operation"],
    buckets=_LATENCY_S,
)
