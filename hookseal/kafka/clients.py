"""How every Kafka client of ours connects, from one place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiokafka.helpers import create_ssl_context

from hookseal.errors import BrokerError

if TYPE_CHECKING:
    import ssl

    from hookseal.config import Settings

__all__ = ["connection", "tls_context", "unreachable"]


def connection(settings: Settings) -> dict[str, Any]:
    """Return the connection arguments that aiokafka's clients share."""
    arguments: dict[str, Any] = {
        "bootstrap_servers": settings.kafka_bootstrap,
        "security_protocol": settings.kafka_security_protocol,
        "client_id": settings.app_id,
    }
    if "SSL" in settings.kafka_security_protocol:
        arguments["ssl_context"] = tls_context(settings)
    if "SASL" in settings.kafka_security_protocol:
        arguments |= {
            "sasl_mechanism": settings.kafka_sasl_mechanism,
            "sasl_plain_username": settings.kafka_sasl_username,
            "sasl_plain_password": settings.kafka_sasl_password.get_secret_value(),
        }
    return arguments


def tls_context(settings: Settings) -> ssl.SSLContext:
    """Return the TLS context for the brokers: certificates and host names are checked."""
    context: ssl.SSLContext = create_ssl_context(
        cafile=_text(settings.kafka_tls_ca_file),
        certfile=_text(settings.kafka_tls_cert_file),
        keyfile=_text(settings.kafka_tls_key_file),
    )
    return context


def unreachable(settings: Settings) -> BrokerError:
    """Return the error for brokers that do not answer."""
    return BrokerError(
        "broker_unreachable",
        f"No Kafka broker answers at {settings.kafka_bootstrap}; check that it runs and that "
        "the security settings fit.",
        field="HOOKSEAL_KAFKA_BOOTSTRAP",
    )


def _text(path: object) -> str | None:
    return None if path is None else str(path)
