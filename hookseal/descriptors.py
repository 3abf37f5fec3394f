"""File descriptors of this process. Each connection, file and listening socket uses one."""

from __future__ import annotations

import contextlib
import resource

# Most systems start a process with a soft limit of 1,024 because `select` cannot handle more.
# hookseal and its libraries use epoll or kqueue. Nothing here needs more than 65,536 connections,
# and a leak should become visible before it has used the memory of a million of them.
_SOFT_MAX = 65_536


def raise_soft_limit() -> int:
    """Raise the soft limit to the hard limit, at most to 65,536; return the limit in force.

    A higher soft limit stays. If the system refuses, the old limit stays in force.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(hard_limit(), _SOFT_MAX)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        # macOS refuses more than its own maximum and does not show that as the hard limit.
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return soft_limit()


def soft_limit() -> int:
    """Return the soft limit of open files. An unlimited one counts as 65,536."""
    return _finite(resource.getrlimit(resource.RLIMIT_NOFILE)[0])


def hard_limit() -> int:
    """Return the hard limit of open files. An unlimited one counts as 65,536."""
    return _finite(resource.getrlimit(resource.RLIMIT_NOFILE)[1])


def _finite(limit: int) -> int:
    return _SOFT_MAX if limit == resource.RLIM_INFINITY else limit
