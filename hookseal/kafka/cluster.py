"""Connection settings of the Kafka cluster.

Every function of this package that asks a broker raises `BrokerError` `broker_unreachable`.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aiokafka.errors import KafkaError
from aiokafka.helpers import create_ssl_context

from hookseal.errors import BrokerError

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Cluster:
    """Connection settings of every Kafka client; see `hookseal.config`. TLS files are PEM."""

    bootstrap: str
    topic_prefix: str = ""
    security_protocol: str = "PLAINTEXT"
    sasl_mechanism: str = "SCRAM-SHA-512"
    sasl_username: str = ""
    sasl_password: str = field(default="", repr=False)
    idempotence: bool = True
    tls_ca_file: Path | None = None
    tls_cert_file: Path | None = None
    tls_key_file: Path | None = None

    @property
    def app_id(self) -> str:
        """The Faust application id, which is also the consumer group."""
        return f"{self.topic_prefix}hookseal"

    @property
    def has_tls(self) -> bool:
        """Whether connections are encrypted."""
        return "SSL" in self.security_protocol

    @property
    def has_sasl(self) -> bool:
        """Whether clients log in."""
        return self.security_protocol.startswith("SASL")

    def arguments(self) -> dict[str, Any]:
        """Return the connection arguments that aiokafka's clients share."""
        arguments: dict[str, Any] = {
            "bootstrap_servers": self.bootstrap,
            "security_protocol": self.security_protocol,
            "client_id": self.app_id,
        }
        if self.has_tls:
            arguments["ssl_context"] = self.tls_context()
        if self.has_sasl:
            arguments |= {
                "sasl_mechanism": self.sasl_mechanism,
                "sasl_plain_username": self.sasl_username,
                "sasl_plain_password": self.sasl_password,
            }
        return arguments

    def tls_context(self) -> ssl.SSLContext:
        """Return the TLS context, which verifies certificates and host names."""
        ca, cert, key = (
            None if file is None else str(file)
            for file in (self.tls_ca_file, self.tls_cert_file, self.tls_key_file)
        )
        # With an encrypted key and no password OpenSSL would ask on the terminal, and wait.
        context: ssl.SSLContext = create_ssl_context(
            cafile=ca, certfile=cert, keyfile=key, password=""
        )
        return context

    async def connect(
        self, start: Callable[[], Awaitable[None]], stop: Callable[[], Awaitable[None]]
    ) -> None:
        """Start a client of aiokafka; stop it again if it cannot start."""
        try:
            await start()
            # If a task of aiokafka is cancelled before its first step, `stop` raises
            # CancelledError, as if the caller were cancelled.
            await asyncio.sleep(0)
        except (KafkaError, OSError) as error:
            await stop()
            raise self.unreachable() from error
        except BaseException:
            await stop()
            raise

    def unreachable(self) -> BrokerError:
        """Return the error for brokers that do not answer."""
        return BrokerError(
            "broker_unreachable",
            f"No Kafka broker answers at {self.bootstrap}; check that it runs and that "
            "the security settings fit.",
            field="HOOKSEAL_KAFKA_BOOTSTRAP",
        )
