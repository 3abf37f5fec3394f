"""Apache Kafka behind TLS and a login, with certificates of the test's own."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hookseal.kafka.broker.ports import HOST, free_ports
from tests.brokers import apache
from tests.brokers.apache_settings import Listener
from tests.certificates import Authority

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["PASSWORD", "USER", "Secured", "secured_kafka"]

USER = "hookseal"
PASSWORD = "CANARY-password-of-kafka"
_SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
_PLAIN = (
    f'org.apache.kafka.common.security.plain.PlainLoginModule required user_{USER}="{PASSWORD}";'
)


@dataclass(frozen=True)
class Secured:
    """Where its doors are, and what opens them.

    Attributes:
        tls_port: `SSL`; asks for a client certificate.
        login_port: `SASL_SSL`.
        ca_file: What clients trust.
        client_file: A client's certificate and key.
    """

    tls_port: int
    login_port: int
    ca_file: Path
    client_file: Path

    def env(self, protocol: str, mechanism: str = "") -> dict[str, str]:
        """Return the settings of a client."""
        port = self.login_port if protocol == "SASL_SSL" else self.tls_port
        shared = {
            "HOOKSEAL_KAFKA_BOOTSTRAP": f"{HOST}:{port}",
            "HOOKSEAL_KAFKA_SECURITY_PROTOCOL": protocol,
            "HOOKSEAL_KAFKA_TLS_CA_FILE": str(self.ca_file),
        }
        if protocol == "SSL":
            return shared | {
                "HOOKSEAL_KAFKA_TLS_CERT_FILE": str(self.client_file),
                "HOOKSEAL_KAFKA_TLS_KEY_FILE": str(self.client_file),
            }
        return shared | {
            "HOOKSEAL_KAFKA_SASL_MECHANISM": mechanism,
            "HOOKSEAL_KAFKA_SASL_USERNAME": USER,
            "HOOKSEAL_KAFKA_SASL_PASSWORD": PASSWORD,
        }


@contextmanager
def secured_kafka(folder: Path) -> Iterator[Secured]:
    """Start it, and stop it at the end."""
    authority = Authority()
    ca_file = authority.root_file(folder / "ca.pem")
    server_file = authority.issue_file(HOST, folder / "server.pem")
    client_file = authority.issue_file("a-worker", folder / "client.pem")
    tls_port, login_port = free_ports(2)
    stores = {
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(server_file),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(ca_file),
    }
    listeners = [
        Listener(
            "TLS", "SSL", tls_port, {**stores, "listener.name.tls.ssl.client.auth": "required"}
        ),
        Listener(
            "LOGIN",
            "SASL_SSL",
            login_port,
            {
                "sasl.enabled.mechanisms": "SCRAM-SHA-512,SCRAM-SHA-256,PLAIN",
                "listener.name.login.scram-sha-512.sasl.jaas.config": _SCRAM,
                "listener.name.login.scram-sha-256.sasl.jaas.config": _SCRAM,
                "listener.name.login.plain.sasl.jaas.config": _PLAIN,
            },
        ),
    ]
    users = [
        f"--add-scram={mechanism}=[name={USER},password={PASSWORD}]"
        for mechanism in ("SCRAM-SHA-512", "SCRAM-SHA-256")
    ]
    broker = apache.start(listeners=listeners, format_with=users)
    try:
        yield Secured(tls_port, login_port, ca_file, client_file)
    finally:
        broker.stop()
