"""Asking a page of a process on this host."""

from __future__ import annotations

from contextlib import closing
from http.client import HTTPConnection, HTTPException

from hookseal.kafka.broker.ports import HOST

__all__ = ["page_at"]

_TIMEOUT_S = 5.0


def page_at(port: int, path: str = "/") -> str | None:
    """Return the page, or None while nobody serves it.

    Not through `urllib`: a proxy of the environment would be asked for it.
    """
    with closing(HTTPConnection(HOST, port, timeout=_TIMEOUT_S)) as connection:
        try:
            connection.request("GET", path)
            return connection.getresponse().read().decode()
        except (OSError, HTTPException):
            return None
