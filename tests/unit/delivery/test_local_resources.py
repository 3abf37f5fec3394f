from __future__ import annotations

import copy
import errno
import socket

import pytest

from hookseal.delivery.local_resources import exhausted_resource
from hookseal.errors import LocalResourceError


@pytest.mark.parametrize(
    ("error", "resource"),
    [
        (OSError(errno.EMFILE, "Too many open files"), "descriptors"),
        (OSError(errno.ENFILE, "Too many open files in system"), "descriptors"),
        (OSError(errno.ENOBUFS, "No buffer space available"), "memory"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "memory"),
        (OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address"), "ports"),
        (MemoryError(), "memory"),
        (RuntimeError("can't start new thread"), "threads"),
        (socket.gaierror(socket.EAI_MEMORY, "Memory allocation failure"), "memory"),
        (socket.gaierror(socket.EAI_SYSTEM, "System error"), "resolver"),
        (
            OSError(
                "Multiple exceptions: [Errno 111] Connect call failed ('192.0.2.1', 443), "
                "[Errno 24] Too many open files"
            ),
            "descriptors",
        ),
    ],
    ids=repr,
)
def test_a_shortage_in_this_process_is_recognized(error: Exception, resource: str) -> None:
    assert exhausted_resource(error) == resource


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ECONNREFUSED, "Connection refused"),
        OSError(errno.ENETUNREACH, "Network is unreachable"),
        OSError(
            "Multiple exceptions: [Errno 111] Connect call failed, [Errno 113] No route to host"
        ),
        OSError("address refused"),
        TimeoutError(),
        ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"),
        socket.gaierror(socket.EAI_NONAME, "Name or service not known"),
        socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"),
        RuntimeError("bug"),
        ValueError("24"),
    ],
    ids=repr,
)
def test_a_failure_of_the_receiver_is_none(error: Exception) -> None:
    assert exhausted_resource(error) is None


def test_the_error_names_its_resource_and_survives_a_process_boundary() -> None:
    error = LocalResourceError("ports")

    assert "ports" in str(error)
    # As pickle does it: from what `__reduce__` returns.
    assert copy.copy(error).resource == "ports"
