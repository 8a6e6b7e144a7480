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
import secrets
from collections.abc import Sequence
from typing import Any, TypeAlias

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from wsext.rooms.backplanes.broker import Broker, Deliver, Lost, Record
from wsext.rooms.backplanes.options import RemoteOptions, take_options
from wsext.rooms.backplanes.remote import RemoteBackplane

__all__ = ["RedisBroker", "redis_backplane"]

#: A place in a stream: milliseconds and a count.
Place: TypeAlias = tuple[int, int]

_APPEND = """
local id = redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*', 'd', ARGV[3])
redis.call('EXPIRE', KEYS[1], ARGV[2])
redis.call('PUBLISH', KEYS[2], id .. '|' .. ARGV[3])
"""

#: Messages that are read from a stream at once.
_PAGE = 500

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
        self._redis: Any = Redis.from_url(  # its types do not know that all is bytes here
            url, retry=Retry(NoBackoff(), 0), socket_timeout=None
        )
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
                elif kind == "subscribe" and (waiter := self._confirmed.pop(channel, None)):
                    waiter.set_result(None)
        except Exception as error:
            lost(error)

    def _take(self, channel: bytes, data: bytes) -> None:
        room = self._rooms.get(channel)
        if room is None:
            self._echoed = True  # whatever it is, it came
            return
        place, _, record = data.partition(b"|")
        if not place:
            self._deliver(room, None, record)
        elif room in self._catching_up:
            self._catching_up[room].append((_place(place), record))
        else:
            self._deliver(room, _place(place), record)

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
            await pipe.execute()

    async def note(self, room: str, data: bytes) -> None:
        await self._redis.publish(self._key("live", room), b"|" + data)

    async def tail(self, room: str, count: int) -> list[tuple[Any, bytes]]:
        entries = await self._redis.xrevrange(self._key("room", room), count=count)
        return [(_place(place), fields[b"d"]) for place, fields in reversed(entries)]

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
        key = self._key("room", room)
        newest = await self.tail(room, 1)
        if after is not None and newest and newest[0][0] < after:
            after = None  # another stream, from a clock that went back: everything in it is newer
        while True:
            start = "-" if after is None else f"({after[0]}-{after[1]}"
            entries = await self._redis.xrange(key, start, "+", count=_PAGE)
            for place, fields in entries:
                after = _place(place)
                self._deliver(room, after, fields[b"d"])
            if len(entries) < _PAGE:
                return after

    async def unfollow(self, room: str) -> None:
        channel = self._key("live", room)
        self._rooms.pop(channel.encode(), None)
        await self._channels.unsubscribe(channel)

    # --- members ------------------------------------------------------------------------------

    async def put_members(self, changes: Sequence[tuple[str, str, bytes | None]]) -> None:
        async with self._redis.pipeline(transaction=False) as pipe:
            for room, member, info in changes:
                key = self._key("members", room)
                if info is None:
                    pipe.hdel(key, member)
                else:
                    pipe.hset(key, member, info)
                    pipe.expire(key, _FORGET)
            await pipe.execute()

    async def members(self, room: str) -> dict[str, bytes]:
        key = self._key("members", room)
        found = {name.decode(): info for name, info in (await self._redis.hgetall(key)).items()}
        origins = sorted({name.partition(".")[0] for name in found})
        if not origins:
            return {}
        alive = await self._redis.mget([self._key("alive", origin) for origin in origins])
        dead = {origin for origin, sign in zip(origins, alive, strict=True) if sign is None}
        gone = [name for name in found if name.partition(".")[0] in dead]
        if gone:
            await self._redis.hdel(key, *gone)
        return {name: info for name, info in found.items() if name not in gone}


def _place(text: bytes) -> Place:
    milliseconds, _, count = text.partition(b"-")
    return int(milliseconds), int(count)
