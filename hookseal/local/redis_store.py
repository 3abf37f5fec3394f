"""A store in Redis (7 and later), shared by as many processes as there are."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

import msgspec
from redis.exceptions import ResponseError

from hookseal.domain.record import Position, Record
from hookseal.errors import BrokerError, ConfigurationError, EventIdReusedError
from hookseal.local import redis_scripts as scripts
from hookseal.local.memory_store import queue_full
from hookseal.local.store import REPEAT_WINDOW_S, Documents, Write

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hookseal.local.redis_link import RedisLink
    from hookseal.local.store import Log

_log = logging.getLogger(__name__)

_FORM = "1"
_CHANGES_REMEMBERED = 100_000
_WAIT_MAX_S = 2.0
_OLDEST = (7, 0)

_pack = msgspec.msgpack.Encoder().encode
_headers = msgspec.msgpack.Decoder(list[tuple[str, bytes]])


class RedisStore:
    """`Store` on streams and a hash; each step is a script, done as a whole or not at all.

    A process that is killed loses nothing: an event stays in its stream until it is finished.

    Connects on first use.

    Args:
        partitions: Of a new store; an existing one must have as many.
    """

    def __init__(self, link: RedisLink, partitions: int) -> None:
        self.partitions = partitions
        self._link = link
        # The stubs leave open whether answers are text; ours are bytes.
        self._client: Any = link.client
        self._publish = self._client.register_script(scripts.PUBLISH)
        self._replay = self._client.register_script(scripts.REPLAY)
        self._settle = self._client.register_script(scripts.SETTLE)
        self._change = self._client.register_script(scripts.CHANGE)
        self._drop_older = self._client.register_script(scripts.DROP_OLDER)

    async def start(self) -> None:
        """Check that the server and its data are usable.

        Raises:
            BrokerError: `redis_unreachable`, `redis_refused`.
            ConfigurationError: `redis_old`, `redis_evicts`, `queue_form`, `partitions_differ`.
        """
        await self.check()
        with self._link.asking():
            start = self._client.register_script(scripts.START)
            form, partitions = await start(
                keys=[self._link.key("meta")], args=[_FORM, self.partitions]
            )
        if form.decode() != _FORM:
            raise ConfigurationError(
                "queue_form",
                f"What is in Redis has form {form.decode()}; this release knows {_FORM}. Upgrade, "
                "or choose another HOOKSEAL_TOPIC_PREFIX.",
                field="HOOKSEAL_QUEUE_URL",
            )
        if int(partitions) != self.partitions:
            raise ConfigurationError(
                "partitions_differ",
                f"The queue in Redis is cut into {int(partitions)} partitions and this process "
                f"asks for {self.partitions}. A customer's events would change places: keep the "
                "number and the kind of order, or choose another HOOKSEAL_TOPIC_PREFIX.",
                field="HOOKSEAL_PARTITIONS",
            )

    async def check(self) -> str:
        """Look whether Redis is fit for it, and change nothing; return its version.

        Raises:
            BrokerError: `redis_unreachable`, `redis_refused`.
            ConfigurationError: `redis_old`, `redis_evicts`.
        """
        with self._link.asking():
            server = await self._client.info("server")
            self._check_version(server)
            await self._check_settings()
        return str(server["redis_version"])

    def _check_version(self, server: Any) -> None:
        version = str(server.get("redis_version", "0"))
        if tuple(int(part) for part in version.split(".")[:2]) < _OLDEST:
            raise ConfigurationError(
                "redis_old",
                f"This is Redis {version}; use 7.0 or later.",
                field="HOOKSEAL_QUEUE_URL",
            )

    async def _check_settings(self) -> None:
        memory = await self._client.info("memory")
        policy = memory.get("maxmemory_policy", "noeviction")
        if int(memory.get("maxmemory", 0)) and policy != "noeviction":
            raise ConfigurationError(
                "redis_evicts",
                f"Redis drops what it holds when its memory is full (maxmemory-policy {policy}); "
                "set it to noeviction.",
                field="HOOKSEAL_QUEUE_URL",
            )
        persistence = await self._client.info("persistence")
        if not int(persistence.get("aof_enabled", 0)):
            _log.warning(
                "Redis writes no append-only file: what it holds is lost when it is killed. "
                "Start it with --appendonly yes."
            )

    async def close(self) -> None:
        await self._link.close()

    def why_not_ready(self) -> BrokerError | None:
        return self._link.failed

    # -- events ----------------------------------------------------------------

    async def publish(self, writes: Sequence[Write], *, room: int | None) -> list[Position]:
        with self._link.asking():
            found = await self._publish(
                keys=[self._link.prefix],
                args=[
                    -1 if room is None else room,
                    round(REPEAT_WINDOW_S * 1000),
                    self.partitions,
                    *(part for write in writes for part in _packed(write)),
                ],
            )
        if found and found[0] == b"full":
            raise queue_full()
        if found and found[0] == b"reused":
            raise EventIdReusedError(int(found[1]))
        return [
            Position(int(partition), int(offset))
            for partition, offset in zip(found[::2], found[1::2], strict=True)
        ]

    async def events(
        self, partition: int, after: int, limit: int, *, wait_s: float
    ) -> Sequence[Record]:
        found = await self._behind(self._link.key("events", partition), after, limit, wait_s)
        return [_record("events", partition, *one) for one in found]

    async def finish(self, partition: int, offsets: Sequence[int]) -> None:
        with self._link.asking():
            await self._client.xdel(
                self._link.key("events", partition), *(f"0-{offset + 1}" for offset in offsets)
            )

    async def unfinished(self) -> Sequence[int]:
        with self._link.asking():
            async with self._client.pipeline(transaction=False) as line:
                for partition in range(self.partitions):
                    line.xlen(self._link.key("events", partition))
                return list(await line.execute())

    # -- logs --------------------------------------------------------------------

    async def append(self, log: Log, writes: Sequence[Write], *, keep: int | None = None) -> None:
        with self._link.asking():
            # As a transaction: all of it, or none.
            async with self._client.pipeline(transaction=True) as line:
                for write in writes:
                    line.xadd(
                        self._link.key(log, write.partition),
                        _fields(write),
                        id="0-*",
                        maxlen=keep,
                        approximate=True,
                    )
                await line.execute()

    async def bounds(self, log: Log, partition: int) -> tuple[int, int]:
        key = self._link.key(log, partition)
        with self._link.asking():
            try:
                found = await self._client.xinfo_stream(key)
            except ResponseError as error:
                if "no such key" not in str(error):
                    raise
                return 0, 0
        end = _offset(found["last-generated-id"]) + 1
        first = found["first-entry"]
        return (end if first is None else _offset(first[0])), end

    async def read(self, log: Log, partition: int, start: int, limit: int) -> Sequence[Record]:
        with self._link.asking():
            found = await self._client.xrange(
                self._link.key(log, partition), min=f"0-{start + 1}", count=limit
            )
        return [_record(log, partition, *one) for one in found]

    async def drop_older(self, log: Log, partition: int, before_ms: int) -> None:
        keys = [self._link.key(log, partition)]
        if log == "dead-letters":
            keys.append(self._link.key("settled", partition))
        with self._link.asking():
            await self._drop_older(keys=keys, args=[before_ms])

    async def settle(self, partition: int, offsets: Sequence[int], entry: bytes) -> None:
        with self._link.asking():
            await self._settle(
                keys=[self._link.key("settled", partition), self._link.key("replays", partition)],
                args=[*_packed(Write(partition, None, entry)), *offsets],
            )

    async def replay(
        self, partition: int, letters: Sequence[tuple[int, Write]], entry: bytes
    ) -> int:
        with self._link.asking():
            published = await self._replay(
                keys=[
                    self._link.key("settled", partition),
                    self._link.key("replays", partition),
                    self._link.key("events", partition),
                ],
                args=[
                    *_packed(Write(partition, None, entry)),
                    *(part for offset, write in letters for part in (offset, *_packed(write))),
                ],
            )
        return int(published)

    # -- tenants -----------------------------------------------------------------

    async def documents(self) -> Documents:
        with self._link.asking():
            # The version first: a change between the two reads is reported twice, never missed.
            version = await self._version()
            found = await self._client.hgetall(self._link.key("tenants"))
        documents = {name.decode(): document for name, document in found.items()}
        return Documents(version, documents, is_all=True)

    async def changes(self, since: int, *, wait_s: float) -> Documents:
        key = self._link.key("tenant-changes")
        found = await self._behind(key, since - 1, 1000, wait_s)
        if not found:
            return Documents(since, {}, is_all=False)
        if _offset(found[0][0]) != since:
            # Some are forgotten already.
            return await self.documents()
        names = list(dict.fromkeys(fields[b"c"] for _, fields in found))
        with self._link.asking():
            documents = await self._client.hmget(self._link.key("tenants"), names)
        told = {name.decode(): document for name, document in zip(names, documents, strict=True)}
        return Documents(_offset(found[-1][0]) + 1, told, is_all=False)

    async def document(self, customer_id: str) -> bytes | None:
        with self._link.asking():
            found: bytes | None = await self._client.hget(self._link.key("tenants"), customer_id)
            return found

    async def change(
        self, customer_id: str, before: bytes | None, after: bytes | None, notice: Write | None
    ) -> int | None:
        with self._link.asking():
            version = await self._change(
                keys=[
                    self._link.key("tenants"),
                    self._link.key("tenant-changes"),
                    self._link.key("events", 0 if notice is None else notice.partition),
                ],
                args=[
                    customer_id,
                    int(before is not None),
                    before or b"",
                    int(after is not None),
                    after or b"",
                    _CHANGES_REMEMBERED,
                    *(() if notice is None else _packed(notice)),
                ],
            )
        return None if version < 0 else int(version)

    async def _version(self) -> int:
        try:
            found = await self._client.xinfo_stream(self._link.key("tenant-changes"))
        except ResponseError as error:
            if "no such key" not in str(error):
                raise
            return 0
        return _offset(found["last-generated-id"]) + 1

    async def _behind(
        self, key: str, after: int, limit: int, wait_s: float
    ) -> list[tuple[bytes, dict[bytes, bytes]]]:
        wait_ms = max(1, round(min(wait_s, _WAIT_MAX_S) * 1000))
        with self._link.asking():
            found = await self._client.xread({key: f"0-{after + 1}"}, count=limit, block=wait_ms)
        return list(found[0][1]) if found else []


def _packed(write: Write) -> tuple[Any, ...]:
    return (
        write.partition,
        _pack(write.headers),
        _milliseconds(write),
        _given(write.key),
        _given(write.value),
        _given(write.mark),
        _given(write.fingerprint),
    )


def _fields(write: Write) -> dict[Any, Any]:
    fields: dict[Any, Any] = {"h": _pack(write.headers), "t": _milliseconds(write)}
    if write.key is not None:
        fields["k"] = write.key
    if write.value is not None:
        fields["v"] = write.value
    return fields


def _milliseconds(write: Write) -> int:
    return round(time.time() * 1000) if write.timestamp_ms is None else write.timestamp_ms


def _given(part: bytes | None) -> bytes:
    return b"" if part is None else b"=" + part


def _record(topic: str, partition: int, name: bytes, fields: dict[bytes, bytes]) -> Record:
    return Record(
        topic,
        partition,
        _offset(name),
        fields.get(b"k"),
        fields.get(b"v"),
        tuple(_headers.decode(fields.get(b"h", b"\x90"))),
        int(fields.get(b"t", b"0")),
    )


def _offset(name: bytes) -> int:
    return int(name.partition(b"-")[2]) - 1
