"""Redis as a broker: a stream per room keeps its messages, a channel per room hands them out.

One script adds to the stream and publishes, so both have the same order; what comes on the channel
carries its place in the stream. Who follows a room subscribes, reads the stream from its place on,
and goes on with the channel.

    {prefix}:room:ROOM      stream, cut to about ``retain`` messages, gone ``ttl`` after the last
    {prefix}:members:ROOM   hash of members
    {prefix}:alive:ORIGIN   there while a process is
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import AsyncGenerator, Awaitable, Sequence
from contextlib import aclosing, suppress
from typing import Any, TypeAlias, TypeVar

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ResponseError

from wsext.rooms.backplanes.broker import TAIL_BYTES, Broker, Deliver, Lost, Record
from wsext.rooms.backplanes.options import RemoteOptions, take_options
from wsext.rooms.backplanes.remote import RemoteBackplane

__all__ = ["RedisBroker", "redis_backplane"]

#: A place in a stream: milliseconds and a count.
Place: TypeAlias = tuple[int, int]

#: What a stream has, as redis-py tells it.
_Entries: TypeAlias = list[tuple[bytes, dict[bytes, bytes] | None]]

T = TypeVar("T")

_PLACE = re.compile(rb"(\d{1,20})-(\d{1,20})")

_APPEND = """
local id = redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*', 'd', ARGV[3])
redis.call('EXPIRE', KEYS[1], ARGV[2])
redis.call('PUBLISH', KEYS[2], id .. '|' .. ARGV[3])
"""

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
    bare, options = take_options(url, RemoteOptions, _PASSING)
    return RemoteBackplane(url, RedisBroker(bare, options), options)


class RedisBroker(Broker):
    """A `Broker` on one Redis server.

    Args:
        url: What redis-py takes.
        options: Names and bounds.
    """

    def __init__(self, url: str, options: RemoteOptions) -> None:
        self._options = options
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
        self._append = ""
        self._deliver: Deliver
        self._confirmed: dict[bytes, asyncio.Future[None]] = {}
        self._catching_up: dict[str, list[tuple[Place, bytes]]] = {}
        self._echo = self._key("echo", secrets.token_hex(8))
        self._echoed = True
        self._rooms: dict[bytes, str] = {}

    def _key(self, kind: str, name: str) -> str:
        return f"{self._options.prefix}:{kind}:{name}"

    # --- the connection -----------------------------------------------------------------------

    async def connect(self, deliver: Deliver, lost: Lost) -> None:
        self._deliver = deliver
        self._append = await self._redis.script_load(_APPEND)
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
        text, _, record = data.partition(b"|")
        place = _place(text)
        if place is None:
            self._deliver(room, None, b"" if text else record)
        elif room in self._catching_up:
            self._catching_up[room].append((place, record))
        else:
            self._deliver(room, place, record)

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
        retain, ttl = self._options.retain, self._options.ttl
        async with self._redis.pipeline(transaction=False) as pipe:
            for record in records:
                keys = self._key("room", record.room), self._key("live", record.room)
                pipe.evalsha(self._append, 2, *keys, retain, ttl, record.data)
            results = await pipe.execute(raise_on_error=False)
        self._check([record.room for record in records], results)

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
        await self._redis.publish(self._key("live", room), b"|" + data)

    async def tail(self, room: str, count: int) -> list[tuple[Any, bytes]]:
        found: list[tuple[Place, bytes]] = []
        size = 0
        page = min(count, _FIRST_PAGE)
        async with aclosing(self._entries(room, None, page, backwards=True)) as entries:
            async for place, data in entries:
                found.append((place, data))
                size += len(data)
                if len(found) == count or size > TAIL_BYTES:
                    break
        return found[::-1]

    async def _entries(
        self, room: str, place: Place | None, page: int = _FIRST_PAGE, *, backwards: bool = False
    ) -> AsyncGenerator[tuple[Place, bytes], None]:
        """A stream's entries beyond a place, in pages of a size that fits them."""
        key = self._key("room", room)
        while True:
            beyond = None if place is None else f"({place[0]}-{place[1]}"
            if backwards:
                command = self._redis.xrevrange(key, beyond or "+", "-", count=page)
            else:
                command = self._redis.xrange(key, beyond or "-", "+", count=page)
            entries: _Entries = await self._ask(room, command, [])
            largest = 1
            for name, fields in entries:
                data = (fields or {}).get(b"d", b"")
                largest = max(largest, len(data))
                place = _place(name)
                if place is not None:
                    yield place, data
            if len(entries) < page:
                return
            page = max(1, min(_PAGE, TAIL_BYTES // largest))

    async def follow(self, room: str, after: Place | None) -> None:
        channel = self._key("live", room)
        live = self._catching_up[room] = []
        self._rooms[channel.encode()] = room
        try:
            confirmed = asyncio.get_running_loop().create_future()
            self._confirmed[channel.encode()] = confirmed
            await self._channels.subscribe(channel)
            await confirmed
            last = await self._read_on(room, after)
            for place, record in live:
                if last is None or place > last:
                    self._deliver(room, place, record)
        finally:
            self._catching_up.pop(room, None)

    async def _read_on(self, room: str, after: Place | None) -> Place | None:
        """Deliver what the stream has after a place; the last place, or ``after``."""
        newest = await self.tail(room, 1)
        if after is not None and newest and newest[0][0] < after:
            after = None  # another stream, from a clock that went back: everything in it is newer
        async for after, data in self._entries(room, after):  # noqa: B020
            self._deliver(room, after, data)
        return after

    async def unfollow(self, room: str) -> None:
        channel = self._key("live", room)
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
        while cursor != 0 and len(found) <= self._options.max_members:
            page = self._redis.hscan(key, max(cursor, 0), count=_PAGE)
            cursor, some = await self._ask(room, page, (0, {}))
            found.update(some)
        if len(found) > self._options.max_members:
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
        for name in [name for name in found if name not in gone][: self._options.max_members]:
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


def _place(text: bytes) -> Place | None:
    """A place in a stream; ``None`` if it is none that Redis knows."""
    found = _PLACE.fullmatch(text)
    place = (int(found[1]), int(found[2])) if found else None
    return place if place and max(place) < 1 << 64 else None
