"""A store in Redis (7 and later), which several processes can share."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

import msgspec
from redis.exceptions import ResponseError

from hookseal.domain.record import Position, Record
from hookseal.errors import ConfigurationError, EventIdReusedError
from hookseal.local.store import REPEAT_WINDOW_S, Documents, Write, queue_full

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hookseal.errors import BrokerError
    from hookseal.local.redis_link import RedisLink
    from hookseal.local.store import Log

_log = logging.getLogger(__name__)

_FIELD = "HOOKSEAL_QUEUE_URL"
_FORMAT = "1"
_CHANGES_REMEMBERED = 100_000
_WAIT_MAX_S = 2.0
_VERSION_MIN = (7, 0)

_pack = msgspec.msgpack.Encoder().encode
_headers = msgspec.msgpack.Decoder(list[tuple[str, bytes]])


class RedisStore:
    """`Store` on streams and a hash. Each step is one script: all of it is executed, or nothing.

    A process that is killed loses nothing: an event stays in its stream until it is finished.
    Connects on first use. An existing store must have the same number of partitions.
    """

    def __init__(self, link: RedisLink, partitions: int) -> None:
        self.partitions = partitions
        self._link = link
        self._ask = link.ask
        self._key = link.key
        # The stubs do not say that our answers are bytes.
        self._client: Any = link.client
        self._publish = link.script("publish")
        self._replay = link.script("replay")
        self._settle = link.script("settle")
        self._change = link.script("change")
        self._drop_older = link.script("drop_older")

    async def start(self) -> None:
        """Check that the server and its data are usable.

        Raises:
            BrokerError: `redis_unreachable`, `redis_refused`.
            ConfigurationError: `redis_old`, `redis_evicts`, `queue_form`, `partitions_differ`.
        """
        await self.check()
        start = self._link.script("start")
        found, partitions = await start([self._key("meta")], [_FORMAT, self.partitions])
        if found.decode() != _FORMAT:
            raise ConfigurationError(
                "queue_form",
                f"The data in Redis have format {found.decode()}. This release reads format "
                f"{_FORMAT}. Upgrade, or choose another HOOKSEAL_TOPIC_PREFIX.",
                field=_FIELD,
            )
        if int(partitions) != self.partitions:
            raise ConfigurationError(
                "partitions_differ",
                f"The queue in Redis has {int(partitions)} partitions, and this process is set to "
                f"{self.partitions}. Events of a customer would change partitions. Keep the number "
                "and the ordering, or choose another HOOKSEAL_TOPIC_PREFIX.",
                field="HOOKSEAL_PARTITIONS",
            )

    async def check(self) -> str:
        """Check version and settings of the server, change nothing; return its version.

        Raises:
            BrokerError: `redis_unreachable`, `redis_refused`.
            ConfigurationError: `redis_old`, `redis_evicts`.
        """
        server = await self._ask(self._client.info("server"))
        version = str(server.get("redis_version", "0"))
        if tuple(int(part) for part in version.split(".")[:2]) < _VERSION_MIN:
            raise ConfigurationError(
                "redis_old", f"Redis {version} is too old. Use 7.0 or later.", field=_FIELD
            )
        memory = await self._ask(self._client.info("memory"))
        policy = memory.get("maxmemory_policy", "noeviction")
        if int(memory.get("maxmemory", 0)) and policy != "noeviction":
            raise ConfigurationError(
                "redis_evicts",
                f"Redis deletes events when its memory is full (maxmemory-policy {policy}). Set "
                "maxmemory-policy to noeviction.",
                field=_FIELD,
            )
        persistence = await self._ask(self._client.info("persistence"))
        if not int(persistence.get("aof_enabled", 0)):
            _log.warning(
                "Redis writes no append-only file. Events are lost when Redis is killed. Start "
                "it with --appendonly yes."
            )
        return version

    async def close(self) -> None:
        await self._link.close()

    def why_not_ready(self) -> BrokerError | None:
        return self._link.failed

    async def publish(self, writes: Sequence[Write], *, room: int | None) -> list[Position]:
        limits = [-1 if room is None else room, round(REPEAT_WINDOW_S * 1000), self.partitions]
        packed = (part for write in writes for part in _packed(write))
        found = await self._publish([self._link.prefix], [*limits, *packed])
        if room is not None and found and found[0] == b"full":
            raise queue_full(room)
        if found and found[0] == b"reused":
            raise EventIdReusedError(int(found[1]))
        return [
            Position(int(partition), int(offset))
            for partition, offset in zip(found[::2], found[1::2], strict=True)
        ]

    async def events(
        self, partition: int, after: int, limit: int, *, wait_s: float
    ) -> Sequence[Record]:
        found = await self._read_after(self._key("events", partition), after, limit, wait_s)
        return [_record("events", partition, *one) for one in found]

    async def finish(self, partition: int, offsets: Sequence[int]) -> None:
        ids = (f"0-{offset + 1}" for offset in offsets)
        await self._ask(self._client.xdel(self._key("events", partition), *ids))

    async def unfinished(self) -> Sequence[int]:
        pipeline = self._client.pipeline(transaction=False)
        for partition in range(self.partitions):
            pipeline.xlen(self._key("events", partition))
        return list(await self._ask(pipeline.execute()))

    async def append(self, log: Log, writes: Sequence[Write], *, keep: int | None = None) -> None:
        # As a transaction: all records, or none.
        pipeline = self._client.pipeline(transaction=True)
        for write in writes:
            fields: dict[Any, Any] = {"h": _pack(write.headers), "t": _timestamp_ms(write)}
            if write.key is not None:
                fields["k"] = write.key
            if write.value is not None:
                fields["v"] = write.value
            key = self._key(log, write.partition)
            pipeline.xadd(key, fields, id="0-*", maxlen=keep, approximate=True)
        await self._ask(pipeline.execute())

    async def bounds(self, log: Log, partition: int) -> tuple[int, int]:
        return await self._bounds(self._key(log, partition))

    async def read(self, log: Log, partition: int, start: int, limit: int) -> Sequence[Record]:
        found = await self._ask(
            self._client.xrange(self._key(log, partition), min=f"0-{start + 1}", count=limit)
        )
        return [_record(log, partition, *one) for one in found]

    async def drop_older(self, log: Log, partition: int, before_ms: int) -> None:
        keys = [self._key(log, partition)]
        if log == "dead-letters":
            keys.append(self._key("settled", partition))
        await self._drop_older(keys, [before_ms])

    async def settle(self, partition: int, offsets: Sequence[int], entry: bytes) -> None:
        keys = [self._key(name, partition) for name in ("settled", "replays")]
        await self._settle(keys, [*_packed(Write(partition, None, entry)), *offsets])

    async def replay(
        self, partition: int, letters: Sequence[tuple[int, Write]], entry: bytes
    ) -> int:
        keys = [self._key(name, partition) for name in ("settled", "replays", "events")]
        packed = (part for offset, write in letters for part in (offset, *_packed(write)))
        return int(await self._replay(keys, [*_packed(Write(partition, None, entry)), *packed]))

    async def documents(self) -> Documents:
        # The version first: a change between the two reads is reported twice, never missed.
        _, version = await self._bounds(self._key("tenant-changes"))
        found = await self._ask(self._client.hgetall(self._key("tenants")))
        documents = {name.decode(): document for name, document in found.items()}
        return Documents(version, documents, is_all=True)

    async def changes(self, since: int, *, wait_s: float) -> Documents:
        found = await self._read_after(self._key("tenant-changes"), since - 1, 1000, wait_s)
        if not found:
            return Documents(since, {}, is_all=False)
        if _offset(found[0][0]) != since:
            # Older changes were trimmed already.
            return await self.documents()
        names = list(dict.fromkeys(fields[b"c"] for _, fields in found))
        documents = await self._ask(self._client.hmget(self._key("tenants"), names))
        changed = {name.decode(): document for name, document in zip(names, documents, strict=True)}
        return Documents(_offset(found[-1][0]) + 1, changed, is_all=False)

    async def document(self, customer_id: str) -> bytes | None:
        found: bytes | None = await self._ask(self._client.hget(self._key("tenants"), customer_id))
        return found

    async def change(
        self, customer_id: str, before: bytes | None, after: bytes | None, notice: Write | None
    ) -> int | None:
        version = await self._change(
            [
                self._key("tenants"),
                self._key("tenant-changes"),
                self._key("events", 0 if notice is None else notice.partition),
            ],
            [
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

    async def _bounds(self, key: str) -> tuple[int, int]:
        found = await self._ask(self._info(key))
        if found is None:
            return 0, 0
        end = _offset(found["last-generated-id"]) + 1
        first = found["first-entry"]
        return (end if first is None else _offset(first[0])), end

    async def _info(self, key: str) -> Any:
        try:
            return await self._client.xinfo_stream(key)
        except ResponseError as error:
            if "no such key" not in str(error):
                raise
            return None

    async def _read_after(
        self, key: str, after: int, limit: int, wait_s: float
    ) -> list[tuple[bytes, dict[bytes, bytes]]]:
        wait_ms = max(1, round(min(wait_s, _WAIT_MAX_S) * 1000))
        found = await self._ask(
            self._client.xread({key: f"0-{after + 1}"}, count=limit, block=wait_ms)
        )
        return list(found[0][1]) if found else []


def _packed(write: Write) -> tuple[Any, ...]:
    """Return the seven script arguments of a record; see `lua/record.lua`."""
    return (
        write.partition,
        _pack(write.headers),
        _timestamp_ms(write),
        *(
            b"" if part is None else b"=" + part
            for part in (write.key, write.value, write.mark, write.fingerprint)
        ),
    )


def _timestamp_ms(write: Write) -> int:
    return round(time.time() * 1000) if write.timestamp_ms is None else write.timestamp_ms


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
