"""Redis as a broker: a stream per room keeps its messages, a channel per room hands them out.

One script adds to the stream and publishes, so both have the same order (see
`wsext.rooms.backplanes.redis_log`). Who follows a room subscribes, reads the stream from its place
on, and goes on with the channel. Beside the logs there are

    {prefix}:members:ROOM   hash of members
    {prefix}:alive:ORIGIN   there while a process is
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections import defaultdict
from collections.abc import AsyncGenerator, Awaitable, Sequence
from contextlib import aclosing, suppress
from typing import Any, TypeAlias, TypeVar

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ResponseError

from wsext.rooms.backplanes.broker import TAIL_BYTES, Broker, Deliver, Lost, Record
from wsext.rooms.backplanes.options import RemoteOptions, take_options
from wsext.rooms.backplanes.positions import LogHead, Position, new_epoch
from wsext.rooms.backplanes.redis_log import (
    ADD,
    HEAD,
    RoomKeys,
    number_of,
    read_added,
    read_head,
    read_live,
)
from wsext.rooms.backplanes.remote import RemoteBackplane

__all__ = ["RedisBroker", "redis_backplane", "redis_broker"]

#: What a stream has, as redis-py tells it.
_Entries: TypeAlias = list[tuple[bytes, dict[bytes, bytes] | None]]

T = TypeVar("T")

#: Messages that are read from a stream at first, and members of a hash always; at most so many
#: messages are read at once when they are small.
_FIRST_PAGE = 4
_PAGE = 500

#: What Redis says when one key cannot be used: it has another type, or a stream's numbers are used
#: up. Everything else that it says concerns the connection.
_OF_ONE_KEY = re.compile("WRONGTYPE|XADD|last possible ID")

#: Connections to the server; who needs one more waits.
_CONNECTIONS = 8

#: Seconds after which members that nobody puts again are forgotten.
_FORGET = 86_400

#: What redis-py may be told in the URL.
_PASSING = ("ssl_", "db", "protocol", "socket_keepalive")


def redis_backplane(url: str) -> RemoteBackplane:
    """The backplane of a ``redis://``, ``rediss://`` or ``unix://`` URL.

    Raises:
        OptionError: For an unknown parameter or a value that does not fit.
    """
    broker = redis_broker(url)
    return RemoteBackplane(url, broker, broker.options)


def redis_broker(url: str) -> RedisBroker:
    """What talks to the Redis server of such a URL.

    Raises:
        OptionError: As `redis_backplane`.
    """
    return RedisBroker(*take_options(url, RemoteOptions, _PASSING))


class RedisBroker(Broker):
    """A `Broker` on one Redis server.

    Args:
        url: What redis-py takes.
        options: Names and bounds.
    """

    numbers = True

    def __init__(self, url: str, options: RemoteOptions) -> None:
        self.options = options
        # Whoever repeats a command has to know how far the last one came: that is not redis-py.
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=_CONNECTIONS,
            timeout=options.timeout,
            socket_timeout=None,
            retry=Retry(NoBackoff(), 0),
        )
        self._redis: Any = Redis.from_pool(pool)  # its types do not know that all is bytes here
        self._channels = self._redis.pubsub()
        self._reader: asyncio.Task[None] | None = None
        self._add = self._head = ""
        self._deliver: Deliver
        self._confirmed: dict[bytes, asyncio.Future[None]] = {}
        self._catching_up: dict[str, list[tuple[Position, bytes]]] = {}
        self._echo = self._key("echo", secrets.token_hex(8))
        self._echoed = True
        self._rooms: dict[bytes, str] = {}

    def _key(self, kind: str, name: str) -> str:
        return f"{self.options.prefix}:{kind}:{name}"

    def _keys(self, room: str) -> RoomKeys:
        return RoomKeys.of(self.options.prefix, room)

    # --- the connection -----------------------------------------------------------------------

    async def connect(self, deliver: Deliver, lost: Lost) -> None:
        self._deliver = deliver
        self._add = await self._redis.script_load(ADD)
        self._head = await self._redis.script_load(HEAD)
        self._channels = self._redis.pubsub()
        self._echoed = True
        await self._channels.subscribe(self._echo)
        self._reader = asyncio.get_running_loop().create_task(self._read(lost))

    async def disconnect(self) -> None:
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.wait([self._reader])
            self._reader = None
        for waiter in self._confirmed.values():
            waiter.cancel()
        self._confirmed.clear()
        self._catching_up.clear()
        self._rooms.clear()
        await self._channels.aclose()  # type: ignore[no-untyped-call]
        await self._redis.aclose()

    async def _read(self, lost: Lost) -> None:
        try:
            async for message in self._channels.listen():
                kind, channel = message["type"], message["channel"]
                if kind == "message":
                    self._take(channel, message["data"])
                elif kind == "subscribe":
                    waiter = self._confirmed.pop(channel, None)
                    if waiter is not None and not waiter.done():  # it may have been cancelled
                        waiter.set_result(None)
        except Exception as error:
            lost(error)

    def _take(self, channel: bytes, data: bytes) -> None:
        room = self._rooms.get(channel)
        if room is None:
            self._echoed = True  # whatever it is, it came
            return
        read = read_live(data)
        if read is None:
            self._deliver(room, None, b"")
        elif read[0] is not None and room in self._catching_up:
            self._catching_up[room].append((read[0], read[1]))
        else:
            self._deliver(room, *read)

    async def beat(self, origin: str, seconds: float) -> None:
        if not seconds:
            await self._redis.delete(self._key("alive", origin))
            return
        if not self._echoed:
            raise ConnectionError("nothing comes from the channels any more")
        self._echoed = False
        await self._redis.set(self._key("alive", origin), 1, ex=int(seconds))
        await self._redis.publish(self._echo, b"")

    # --- rooms --------------------------------------------------------------------------------

    async def append(self, records: Sequence[Record]) -> None:
        await self._store(records, remember=False)

    async def add(self, records: Sequence[Record]) -> list[tuple[Position, bool] | None]:
        return await self._store(records, remember=True)

    async def _store(
        self, records: Sequence[Record], *, remember: bool
    ) -> list[tuple[Position, bool] | None]:
        by_room: defaultdict[str, list[int]] = defaultdict(list)
        for index, record in enumerate(records):
            by_room[record.room].append(index)
        async with self._redis.pipeline(transaction=False) as pipe:
            for room, indexes in by_room.items():
                mine = [records[index] for index in indexes]
                arguments = self._keys(room).to_add(mine, self.options, remember=remember)
                pipe.evalsha(self._add, *arguments)
            answers = await pipe.execute(raise_on_error=False)
        self._check(list(by_room), answers)
        results: list[tuple[Position, bool] | None] = [None] * len(records)
        for indexes, answer in zip(by_room.values(), answers, strict=True):
            if not isinstance(answer, Exception):
                for index, placed in zip(indexes, read_added(answer), strict=True):
                    results[index] = placed
        return results

    async def head(self, room: str) -> LogHead:
        question = self._redis.evalsha(self._head, *self._keys(room).to_ask_head(self.options))
        answer = await self._ask(room, question, None)
        return (answer and read_head(*answer)) or LogHead(new_epoch(), 0)

    def _check(self, rooms: Sequence[str], results: Sequence[Any]) -> None:
        """Raise what concerns the connection; count what concerns one room's key."""
        for room, result in zip(rooms, results, strict=True):
            if isinstance(result, ResponseError) and _OF_ONE_KEY.search(str(result)):
                self.faults.add("a key", room, "Redis cannot use it for this")
            elif isinstance(result, Exception):
                raise result

    async def _ask(self, room: str, command: Awaitable[T], otherwise: T) -> T:
        """The answer to a command about a room's key, if Redis can use the key."""
        try:
            return await command
        except ResponseError as error:
            self._check([room], [error])
            return otherwise

    async def note(self, room: str, data: bytes) -> None:
        await self._redis.publish(self._keys(room).channel, b"|" + data)

    async def _head_if_any(self, room: str) -> LogHead:
        """Where a log ends, without beginning one."""
        question = self._redis.hmget(self._keys(room).head, "epoch", "number", "earlier")
        epoch, number, earlier = await self._ask(room, question, [None] * 3)
        if epoch is None:
            return LogHead("", 0)
        head = read_head(epoch, number or b"", earlier or b"")
        if head is None:
            self.faults.add("the end of the log", room, "somebody else has written it")
        return head or LogHead("", 0)

    async def tail(self, room: str, count: int) -> list[tuple[Any, bytes]]:
        found: list[tuple[int, bytes]] = []
        size = 0
        epoch = (await self._head_if_any(room)).epoch
        async with aclosing(self._entries(room, backwards=True)) as entries:
            async for number, data in entries:
                found.append((number, data))
                size += len(data)
                if len(found) == count or size > TAIL_BYTES:
                    break
        return [(Position(epoch, number), data) for number, data in found[::-1]]

    async def read(
        self, room: str, after: int, until: int, most_bytes: int
    ) -> list[tuple[int, bytes]]:
        found = []
        async with aclosing(self._entries(room, after)) as entries:
            async for number, data in entries:
                if number > until or most_bytes < 0:
                    break
                most_bytes -= len(data)
                found.append((number, data))
        return found

    async def _entries(
        self, room: str, after: int = 0, *, backwards: bool = False
    ) -> AsyncGenerator[tuple[int, bytes], None]:
        """A stream's messages above a number, in pages of a size that fits them."""
        key, page = self._keys(room).stream, _FIRST_PAGE
        first, last = str(after + 1), "+"
        while True:
            if backwards:
                command = self._redis.xrevrange(key, last, first, count=page)
            else:
                command = self._redis.xrange(key, first, last, count=page)
            entries: _Entries = await self._ask(room, command, [])
            largest = 1
            for name, fields in entries:
                data = (fields or {}).get(b"d", b"")
                largest = max(largest, len(data))
                number = number_of(name)
                if number is None:
                    self.faults.add("a message", room, "it has no number")
                else:
                    yield number, data
            if len(entries) < page:
                return
            beyond = "(" + entries[-1][0].decode()
            first, last = (first, beyond) if backwards else (beyond, last)
            page = max(1, min(_PAGE, TAIL_BYTES // largest))

    async def follow(self, room: str, after: Position | None) -> None:
        channel = self._keys(room).channel
        live = self._catching_up[room] = []
        self._rooms[channel.encode()] = room
        try:
            confirmed = asyncio.get_running_loop().create_future()
            self._confirmed[channel.encode()] = confirmed
            await self._channels.subscribe(channel)
            await confirmed
            head = await self._head_if_any(room)
            last = 0 if after is None else head.common(after)
            if head.epoch:  # else there was no message yet, and all come on the channel
                last = await self._read_on(room, head, last)
            for position, data in live:
                if position.epoch != head.epoch or position.number > last:
                    self._deliver(room, position, data)
        finally:
            self._catching_up.pop(room, None)

    async def _read_on(self, room: str, head: LogHead, last: int) -> int:
        """Deliver what a room's log has after a number, up to its head; the last number."""
        async with aclosing(self._entries(room, last)) as entries:
            async for number, data in entries:
                if number > head.number:
                    break  # it came on the channel, too, and says there of which epoch it is
                last = number
                self._deliver(room, Position(head.epoch, number), data)
        return last

    async def unfollow(self, room: str) -> None:
        channel = self._keys(room).channel
        self._rooms.pop(channel.encode(), None)
        await self._channels.unsubscribe(channel)

    # --- members ------------------------------------------------------------------------------

    async def put_members(self, changes: Sequence[tuple[str, str, bytes | None]]) -> None:
        rooms = []
        async with self._redis.pipeline(transaction=False) as pipe:
            for room, member, info in changes:
                key = self._key("members", room)
                rooms.append(room)
                if info is None:
                    pipe.hdel(key, member)
                else:
                    pipe.hset(key, member, info)
                    pipe.expire(key, _FORGET)
                    rooms.append(room)
            self._check(rooms, await pipe.execute(raise_on_error=False))

    async def members(self, room: str) -> dict[str, bytes]:
        key, cursor = self._key("members", room), -1
        found: dict[bytes, bytes] = {}
        while cursor != 0 and len(found) <= self.options.max_members:
            page = self._redis.hscan(key, max(cursor, 0), count=_PAGE)
            cursor, some = await self._ask(room, page, (0, {}))
            found.update(some)
        if len(found) > self.options.max_members:
            self.faults.add("a member", room, "there are too many")
        origins = sorted({_origin(name) for name in found})
        if not origins:
            return {}
        prefix = self._key("alive", "").encode()
        alive = await self._redis.mget([prefix + origin for origin in origins])
        dead = {origin for origin, sign in zip(origins, alive, strict=True) if sign is None}
        gone = {name for name in found if _origin(name) in dead}
        if gone:
            await self._redis.hdel(key, *gone)
        there = {}
        for name in [name for name in found if name not in gone][: self.options.max_members]:
            try:
                there[name.decode()] = found[name]
            except UnicodeDecodeError:
                self.faults.add("a member", room, "its name is not UTF-8")
        return there

    # --- rooms that there are -----------------------------------------------------------------

    async def rooms(self, most: int) -> list[str]:
        found: set[str] = set()
        cursor = -1
        while cursor != 0 and len(found) < most:
            pattern = self._key("*", "*")
            cursor, keys = await self._redis.scan(max(cursor, 0), match=pattern, count=_PAGE)
            for _, kind, name in (key.split(b":", 2) for key in keys):
                with suppress(UnicodeDecodeError):  # not one of ours
                    if kind in (b"room", b"members"):
                        found.add(name.decode())
        return list(found)[:most]


def _origin(member: bytes) -> bytes:
    return member.partition(b".")[0]
