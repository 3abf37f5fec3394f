"""What `hookseal doctor` looks at where HOOKSEAL_QUEUE_URL is set."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hookseal.cli.checks import Check
from hookseal.errors import HooksealError

if TYPE_CHECKING:
    from hookseal.config import Settings

__all__ = ["queue_check"]


async def queue_check(settings: Settings) -> Check:
    """Look at the queue of `hookseal local`."""
    if settings.queue_url == "memory://":
        return Check("queue", "ok", "in memory: what is left is lost when its process ends")
    try:
        from hookseal.local.redis_link import RedisLink
        from hookseal.local.redis_store import RedisStore
    except ImportError:
        return Check("queue", "fail", "redis is not installed; install `hookseal[redis]`.")
    try:
        link = RedisLink(settings.queue_url, settings.topic_prefix)
        try:
            version = await RedisStore(link, settings.partitions).check()
        finally:
            await link.close()
    except HooksealError as error:
        return Check("queue", "fail", f"{error.code}: {error.message}")
    return Check("queue", "ok", f"Redis {version} answers at {link.where}")
