"""NATS with JetStream as a broker: one stream holds the messages of all rooms.

    {prefix}.room.ROOM          subjects of the stream {prefix}, at most ``retain`` messages each
    {prefix}.note.ROOM          subjects of what is not stored
    {prefix}-members            key-value bucket of members, by room and name
    {prefix}-alive              key-value bucket of processes that live

Rooms are in base64, because subjects and keys have an alphabet of their own. A consumer per open
room delivers what is stored, first what was there and then what comes.
"""

from __future__ import annotations

import asyncio
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import NotJSMessageError
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DeliverPolicy,
    KeyValueConfig,
    StorageType,
    StreamConfig,
)
from nats.js.client import JetStreamContext
from nats.js.errors import BadRequestError, NotFoundError
from nats.js.kv import KV_OP, KeyValue

from wsext.rooms.backplanes.broker import TAIL_BYTES, Broker, Deliver, Lost, Record
from wsext.rooms.backplanes.options import NatsOptions, take_options
from wsext.rooms.backplanes.remote import RemoteBackplane

__all__ = ["NatsBroker", "nats_backplane"]

_ID = "Nats-Msg-Id"

#: Messages that are read at once, first and at most, and seconds to wait for them: they are there.
_FIRST_PAGE = 4
_PAGE = 500
_READ_TIMEOUT = 1.0

#: Bytes of members that are told of.
_MEMBER_BYTES = 1 << 24

#: How far back to read when a place is not known any more: clocks are exact, timestamps rounded.
_MARGIN = timedelta(milliseconds=1)


class Place(NamedTuple):
    """Where a message is: its number in the stream, its time, and its id to know it again."""

    number: int
    time: datetime
    id: str


def nats_backplane(url: str) -> RemoteBackplane:
    """The backplane of a ``nats://`` or ``tls://`` URL.

    Raises:
        OptionError: For an unknown parameter or a value that does not fit.
    """
    bare, options = take_options(url, NatsOptions)
    return RemoteBackplane(url, NatsBroker(bare, options), options)


class _Client(Client):
    """Keeps its connection when a subject is not UTF-8: keys of members are subjects, and whoever
    may write to the server names them. nats-py has no public door for this; a test watches."""

    def _build_message(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: dict[str, str] | None
    ) -> Any:
        try:
            return super()._build_message(sid, subject, reply, data, headers)
        except UnicodeDecodeError:
            subject, reply = (name.decode(errors="replace").encode() for name in (subject, reply))
            return super()._build_message(sid, subject, reply, data, headers)


class NatsBroker(Broker):
    """A `Broker` on a NATS server with JetStream.

    Args:
        url: What nats-py takes.
        options: Names and bounds.
    """

    def __init__(self, url: str, options: NatsOptions) -> None:
        self._url = url
        self._options = options
        self._client: Client | None = None
        self._js: JetStreamContext
        self._members: KeyValue
        self._alive: KeyValue
        self._deliver: Deliver
        self._lost: Lost
        self._subscriptions: dict[str, list[Any]] = {}

    def _subject(self, kind: str, room: str) -> str:
        return f"{self._options.prefix}.{kind}.{_token(room)}"

    # --- the connection -----------------------------------------------------------------------

    async def connect(self, deliver: Deliver, lost: Lost) -> None:
        self._deliver, self._lost = deliver, lost

        client, is_there = (
            _Client(),
            False,
        )  # a failed attempt that is followed by another is no loss

        async def on_end() -> None:
            if is_there and client is self._client:
                lost(ConnectionError("the server has closed the connection"))

        async def on_error(error: Exception) -> None:
            if is_there and client is self._client:
                lost(error)

        self._client = client  # also while it connects: `disconnect` closes it whenever that fails
        await client.connect(
            self._url,
            allow_reconnect=False,
            max_reconnect_attempts=1,  # it would try for minutes, but that is not its job here
            reconnect_time_wait=0,
            connect_timeout=int(self._options.timeout) or 1,
            ping_interval=5,
            disconnected_cb=on_end,
            closed_cb=on_end,
            error_cb=on_error,
        )
        is_there = True
        self.max_size = client.max_payload - 256  # its headers count, too
        self._js = client.jetstream(timeout=self._options.timeout)
        await self._make_stream()
        self._members = await self._bucket("members", 86_400)
        self._alive = await self._bucket("alive", 15)

    async def _make_stream(self) -> None:
        options = self._options
        config = StreamConfig(
            name=options.prefix,
            subjects=[f"{options.prefix}.room.*"],
            max_msgs_per_subject=options.retain,
            max_age=options.ttl,
            storage=StorageType(options.storage),
            duplicate_window=120,
        )
        try:
            await self._js.add_stream(config)
        except BadRequestError:  # it is there, with other settings: those of whoever made it
            await self._js.stream_info(options.prefix)

    async def _bucket(self, name: str, ttl: int) -> KeyValue:
        bucket = f"{self._options.prefix}-{name}"
        try:
            return await self._js.key_value(bucket)
        except NotFoundError:
            storage = StorageType(self._options.storage)
            return await self._js.create_key_value(KeyValueConfig(bucket, storage=storage, ttl=ttl))

    async def disconnect(self) -> None:
        client, self._client = self._client, None
        self._subscriptions.clear()
        if client is not None:
            await client.close()

    def _connected(self) -> Client:
        if self._client is None:
            raise ConnectionError("not connected")
        return self._client

    async def beat(self, origin: str, seconds: float) -> None:
        if seconds:
            await self._alive.put(origin, b"")
        else:
            await self._alive.delete(origin)

    # --- rooms --------------------------------------------------------------------------------

    async def append(self, records: Sequence[Record]) -> None:
        waiting = [
            await self._js.publish_async(
                self._subject("room", record.room), record.data, headers={_ID: record.id}
            )
            for record in records
        ]
        await asyncio.gather(*waiting)

    async def note(self, room: str, data: bytes) -> None:
        await self._connected().publish(self._subject("note", room), data)

    async def tail(self, room: str, count: int) -> list[tuple[Any, bytes]]:
        """A subject's last messages are found from the stream's end, in steps that grow."""
        subject, reach = self._subject("room", room), count
        try:
            last = await self._js.get_last_msg(self._options.prefix, subject)
        except NotFoundError:
            return []
        assert last.seq is not None  # a stored message has one
        while True:
            start = max(last.seq - reach + 1, 1)
            found = await self._read(
                self._options.prefix,
                subject,
                0 if start == 1 else count,
                TAIL_BYTES,
                deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
                opt_start_seq=start,
            )
            if found is not None:
                return [(_place(message), message.data) for message in found[-count:]]
            reach *= 4

    async def _read(
        self, stream: str, subject: str, least: int, most_bytes: int, **policy: Any
    ) -> list[Msg] | None:
        """The last bytes that are stored of a subject by a policy; ``None`` if there are fewer
        messages than ``least``."""
        config = ConsumerConfig(
            ack_policy=AckPolicy.NONE, inactive_threshold=10, mem_storage=True, **policy
        )
        reader = await self._js.pull_subscribe(subject, stream=stream, config=config)
        try:
            there = (await reader.consumer_info()).num_pending or 0
            if there < least:
                return None
            found: deque[Msg] = deque()
            size, page = 0, _FIRST_PAGE
            with suppress(TimeoutError):  # some of it may have been replaced or expired meanwhile
                while there > 0:
                    some = await reader.fetch(min(there, page), timeout=_READ_TIMEOUT)
                    there -= len(some)
                    found += some
                    size += sum(len(message.data) for message in some)
                    while size > most_bytes and len(found) > 1:
                        size -= len(found.popleft().data)
                    largest = max(len(message.data) for message in some)
                    page = max(1, min(_PAGE, TAIL_BYTES // max(largest, 1)))
            return list(found)
        finally:
            await reader.unsubscribe()

    async def follow(self, room: str, after: Place | None) -> None:
        await self.unfollow(room)
        config = ConsumerConfig(ack_policy=AckPolicy.NONE, inactive_threshold=60, mem_storage=True)
        if after is None:
            config.deliver_policy = DeliverPolicy.ALL
        elif await self._is_there(after):
            config.deliver_policy = DeliverPolicy.BY_START_SEQUENCE
            config.opt_start_seq = after.number + 1
        else:  # the server has forgotten it, or has begun to count again
            config.deliver_policy = DeliverPolicy.BY_START_TIME
            config.opt_start_time = after.time - _MARGIN
        expected = 0

        async def on_message(message: Msg) -> None:
            nonlocal expected
            try:
                place = _place(message)
            except (NotJSMessageError, ValueError, IndexError, OverflowError, OSError):
                self.faults.add("a message", room, "JetStream did not send it")
                return
            expected += 1
            if message.metadata.sequence.consumer != expected:
                self._lost(ConnectionError("the server has left a message out"))
            else:
                self._deliver(room, place, message.data)

        async def on_note(message: Msg) -> None:
            self._deliver(room, None, message.data)

        notes = await self._connected().subscribe(self._subject("note", room), cb=on_note)
        self._subscriptions[room] = [notes]
        stored = await self._js.subscribe(
            self._subject("room", room),
            stream=self._options.prefix,
            cb=on_message,
            config=config,
            manual_ack=True,
        )
        self._subscriptions[room].append(stored)

    async def _is_there(self, place: Place) -> bool:
        try:
            message = await self._js.get_msg(self._options.prefix, place.number)
        except NotFoundError:
            return False
        return (message.headers or {}).get(_ID) == place.id

    async def unfollow(self, room: str) -> None:
        for subscription in self._subscriptions.pop(room, ()):
            await subscription.unsubscribe()

    # --- members ------------------------------------------------------------------------------

    async def put_members(self, changes: Sequence[tuple[str, str, bytes | None]]) -> None:
        await asyncio.gather(
            *(self._put_member(f"{_token(room)}.{member}", info) for room, member, info in changes)
        )

    async def _put_member(self, key: str, info: bytes | None) -> None:
        if info is None:
            await self._members.delete(key)
        else:
            await self._members.put(key, info)

    async def members(self, room: str) -> dict[str, bytes]:
        token = f"{_token(room)}."
        found = await self._entries("members", token)
        most = self._options.max_members
        if len(found) > most:
            self.faults.add("a member", room, "there are too many")
        alive = await self._entries("alive", "")
        there = [name for name in found if name.partition(".")[0] in alive]
        return {name: found[name] for name in there[:most]}

    async def rooms(self, most: int) -> list[str]:
        start = f"{self._options.prefix}.room."
        info = await self._js.stream_info(self._options.prefix, subjects_filter=f"{start}*")
        tokens = {subject.removeprefix(start) for subject in info.state.subjects or ()}
        tokens |= {name.partition(".")[0] for name in await self._entries("members", "")}
        found = [room for token in tokens if (room := _room(token)) is not None]
        return found[:most]

    async def _entries(self, bucket: str, start: str) -> dict[str, bytes]:
        """What a bucket has under keys that start so."""
        bucket = f"{self._options.prefix}-{bucket}"
        subject = f"$KV.{bucket}.{start}"
        stored = await self._read(
            f"KV_{bucket}",
            f"{subject}>",
            0,
            _MEMBER_BYTES,
            deliver_policy=DeliverPolicy.LAST_PER_SUBJECT,
        )
        return {
            message.subject.removeprefix(subject): message.data
            for message in stored or ()
            if KV_OP not in (message.headers or {})
        }


def _token(room: str) -> str:
    return urlsafe_b64encode(room.encode()).decode().rstrip("=")


def _room(token: str) -> str | None:
    """The room of a token; ``None`` if it is none of ours."""
    try:
        room = urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode()
    except ValueError:
        return None
    return room if _token(room) == token else None  # base64 passes over other characters


def _place(message: Msg) -> Place:
    meta = message.metadata
    return Place(meta.sequence.stream, meta.timestamp, (message.headers or {}).get(_ID, ""))
