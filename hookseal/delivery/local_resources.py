"""Recognizes failures that a local shortage caused, and no receiver."""

from __future__ import annotations

import errno
import re
import socket
from typing import Final

from hookseal.errors import LocalResourceError

DESCRIPTORS: Final = "descriptors"
PORTS: Final = "ports"
_MEMORY: Final = "memory"

_BY_ERRNO: Final = {
    errno.EMFILE: DESCRIPTORS,
    errno.ENFILE: DESCRIPTORS,
    errno.ENOBUFS: _MEMORY,
    errno.ENOMEM: _MEMORY,
    # connect() without a free local port. Linux also reports it for a host that has no address of
    # the family; `hookseal.outbound.connection` tells the two apart.
    errno.EADDRNOTAVAIL: PORTS,
}
_BY_GAIERROR: Final = {socket.EAI_MEMORY: _MEMORY, socket.EAI_SYSTEM: "resolver"}
# aiohappyeyeballs joins different errors of several addresses into one text without an errno.
_ERRNO_IN_TEXT: Final = re.compile(r"\[Errno (\d+)\]")


def exhausted_resource(error: BaseException) -> str | None:
    """Return the `LocalResourceError.resource` whose shortage caused the error, or None."""
    if isinstance(error, LocalResourceError):
        return error.resource
    if isinstance(error, MemoryError):
        return _MEMORY
    if isinstance(error, RuntimeError):
        return "threads" if str(error).startswith("can't start new thread") else None
    if isinstance(error, socket.gaierror):
        return _BY_GAIERROR.get(error.errno or 0)
    return _resource_of(error) if isinstance(error, OSError) else None


def _resource_of(error: OSError) -> str | None:
    if error.errno is not None:
        return _BY_ERRNO.get(error.errno)
    found = (_BY_ERRNO.get(int(number)) for number in _ERRNO_IN_TEXT.findall(str(error)))
    return next(filter(None, found), None)
