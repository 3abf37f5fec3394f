"""The receiver: nginx, which answers 200 to everything and counts.

A receiver in Python would take a core and be the one that is measured.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Self

from benchmarks.process import page_at
from hookseal.errors import ConfigurationError, HooksealError
from hookseal.kafka.broker.ports import HOST, accepts, free_ports, wait_until
from hookseal.kafka.broker.process import Child, last_lines

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from types import TracebackType

_START_TIMEOUT_S = 10.0
_STOP_GRACE_S = 2.0
# Debian keeps it where the path of an ordinary user does not lead.
PLACES = "/usr/sbin:/usr/local/sbin:/opt/homebrew/bin"

_CONFIGURATION = """
# One process in all, under the user that started it.
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log error;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    # It would close a connection after a thousand requests, and an hour.
    keepalive_requests 1000000000;
    keepalive_time 24h;
    keepalive_timeout 300s;
    server {{
        listen {host}:{port};
        location / {{ return 200; }}
    }}
    server {{
        listen {host}:{status_port};
        location / {{ stub_status; }}
    }}
}}
"""


class Sink:
    """A running receiver; a context manager, at whose end it has ended."""

    _name = "nginx"

    def __init__(self, folder: Path) -> None:
        """Prepare.

        Args:
            folder: For its configuration and its log.

        Raises:
            ConfigurationError: `nginx_missing`.
        """
        self.port, self._status_port = free_ports(2)
        self._child = Child(self._command(folder), log=folder / f"{self._name}.log")
        self._asked = 0

    def __enter__(self) -> Self:
        self._child.start()
        ready = wait_until(lambda: not self._child.alive or self._answers(), _START_TIMEOUT_S)
        if not ready or not self._child.alive:
            self._child.stop(grace_s=_STOP_GRACE_S)
            raise HooksealError(
                f"{self._name}_not_started",
                f"The receiver did not start: {last_lines(self._child.log)}",
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._child.stop(grace_s=_STOP_GRACE_S)

    def url(self, customer_id: str) -> str:
        """Return the endpoint of a customer."""
        return f"http://{HOST}:{self.port}/{customer_id}"

    def received(self) -> int:
        """Return how many requests came so far."""
        text = page_at(self._status_port)
        if text is None:
            raise HooksealError(
                f"{self._name}_ended",
                f"The receiver does not answer: {last_lines(self._child.log)}",
            )
        return self._count_on(text)

    def _command(self, folder: Path) -> Sequence[str]:
        log, configuration = folder / "nginx.log", folder / "nginx.conf"
        configuration.write_text(
            _CONFIGURATION.format(
                folder=folder, host=HOST, port=self.port, status_port=self._status_port
            )
        )
        return [_program(), "-p", str(folder), "-e", str(log), "-c", str(configuration)]

    def _count_on(self, page: str) -> int:
        # It counts all requests, ours to this page too:
        #   server accepts handled requests
        #    31 31 70012
        self._asked += 1
        return int(page.splitlines()[2].split()[2]) - self._asked

    def _answers(self) -> bool:
        return accepts(f"{HOST}:{self.port}") and accepts(f"{HOST}:{self._status_port}")


def _program() -> str:
    program = shutil.which("nginx") or shutil.which("nginx", path=PLACES)
    if program is None:
        raise ConfigurationError(
            "nginx_missing",
            "The benchmark's receiver is nginx; install it with your package manager.",
        )
    return program
