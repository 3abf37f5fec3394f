"""TLS to endpoints: the system's trust store, and an optional client certificate."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def with_client_certificate(cert_file: Path, key_file: Path | None = None) -> ssl.SSLContext:
    """Return a context that presents this certificate on request (RFC 8446 section 4.4.2).

    Both files are PEM, the key unencrypted; without `key_file` the key is in `cert_file`.

    Raises:
        OSError: The files cannot be read, or are no certificate and its key.
    """
    context = ssl.create_default_context()
    # Without a password OpenSSL would ask for one on the terminal if the key is encrypted.
    context.load_cert_chain(cert_file, key_file, password="")
    context.set_alpn_protocols(["http/1.1"])
    return context
