"""File descriptors of this process. Each connection, file and listening socket uses one."""

from __future__ import annotations

import contextlib
import resource

__all__ = ["hard_limit", "raise_soft_limit", "soft_limit"]

# Most systems start a process with a soft limit of 1,024 because `select` cannot handle more.
# hookseal and its libraries use epoll or kqueue. Nothing here needs more than 65,536 connections,
# and a leak should become visible before it has used the memory of a million of them.
_SOFT_MAX = 65_536


def raise_soft_limit() -> int:
    """Raise the soft limit of open files to the hard limit, but to 65,536 at most.

    A higher soft limit stays. Call it once, when a process starts. It never raises: a system that
    refuses leaves the old limit in force.

    Returns:
        The soft limit now in force, in descriptors.
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
