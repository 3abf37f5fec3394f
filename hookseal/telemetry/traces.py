"""Tracing, if it is configured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hookseal.errors import ConfigurationError

if TYPE_CHECKING:
    from hookseal.telemetry.tracing import OtelTracing


def tracing_to(endpoint: str, service: str) -> OtelTracing | None:
    """Return the tracing to a collector; None without one.

    Args:
        endpoint: The collector's URL; empty = there is none.
        service: What this process is: `hookseal-worker`, `hookseal-api`, `hookseal-local`.

    Raises:
        ConfigurationError: `extra_missing`.
    """
    if not endpoint:
        return None
    try:
        from hookseal.telemetry.tracing import OtelTracing  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ConfigurationError(
            "extra_missing",
            f"{error.name} is not installed; install `hookseal[otel]`.",
            field="otel",
        ) from None
    return OtelTracing(endpoint, service)
