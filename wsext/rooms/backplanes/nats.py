"""NATS with JetStream as a broker: one stream holds the messages of all rooms.

    {prefix}.room.ROOM          subjects of the stream {prefix}, at most ``retain`` batches each
    {prefix}.note.ROOM          subjects of what is not stored
    {prefix}-members            key-value bucket of members, by room and name
    {prefix}-alive              key-value bucket of processes that live

Rooms are in base64, because subjects and keys have an alphabet of their own. A consumer per open
room delivers what is stored, first what was there and then what comes. How a room's messages get
their numbers is in `nats_log`, and `nats_rooms` reads and writes them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from typing import Any

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

from wsext.rooms.backplanes.broker import Broker, Deliver, Lost, Record
from wsext.rooms.backplanes.nats_log import BATCHES, OVERHEAD, Batch
from wsext.rooms.backplanes.nats_rooms import NatsLogs, room_of, room_token, stored
from wsext.rooms.backplanes.options import NatsOptions, take_options
from wsext.rooms.backplanes.positions import LogHead, Position
from wsext.rooms.backplanes.remote import RemoteBackplane

__all__ = ["NatsBroker", "nats_backplane", "nats_broker"]

#: Bytes of members that are told of.
_MEMBER_BYTES = 1 << 24


def nats_backplane(url: str) -> RemoteBackplane:
    """The backplane of a ``nats://`` or ``tls://`` URL.

    Raises:
        OptionError: For an unknown parameter or a value that does not fit.
    """
    broker = nats_broker(url)
    return RemoteBackplane(url, broker, broker.options)


def nats_broker(url: str) -> NatsBroker:
    """What talks to the NATS server of such a URL.

    Raises:
        OptionError: As `nats_backplane`.
    """
    return NatsBroker(*take_options(url, NatsOptions))


class _Client(Client):
    """Keeps its connection when a subject is not UTF-8: keys of members are subjects, and whoever
    may write to the server names them. nats-py has no public door for this, nor for what the server
    says about itself; tests watch."""

    @property
    def life(self) -> str:
        """Names the life of a server that stands alone: after a restart, the end of its data may be
        missing. In a cluster others have it, and this is empty."""
        info = self._server_info
        return "" if info.get("cluster") else str(info.get("server_id", ""))[:128]

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

    numbers = True

    def __init__(self, url: str, options: NatsOptions) -> None:
        self._url = url
        self.options = options
        self._client: _Client | None = None
        self._js: JetStreamContext
        self._members: KeyValue
        self._alive: KeyValue
        self._deliver: Deliver
        self._lost: Lost
        self._subscriptions: dict[str, list[Any]] = {}
        self._logs = NatsLogs(options, self._subscriptions.__contains__, self._read_batch)
        self._created: object = None

    def _notes(self, room: str) -> str:
        return f"{self.options.prefix}.note.{room_token(room)}"

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
            connect_timeout=int(self.options.timeout) or 1,
            ping_interval=5,
            disconnected_cb=on_end,
            closed_cb=on_end,
            error_cb=on_error,
        )
        is_there = True
        self.max_size = client.max_payload - 2 * OVERHEAD  # its headers count, too
        self._js = client.jetstream(timeout=self.options.timeout)
        self._logs.connect(self._js, client.life, client.max_payload - OVERHEAD)
        await self._make_stream()
        self._members = await self._bucket("members", 86_400)
        self._alive = await self._bucket("alive", 15)

    async def _make_stream(self) -> None:
        options = self.options
        config = StreamConfig(
            name=options.prefix,
            subjects=[f"{options.prefix}.room.*"],
            max_msgs_per_subject=options.retain,
            max_age=options.ttl,
            storage=StorageType(options.storage),
            duplicate_window=min(120, options.ttl),
        )
        try:
            info = await self._js.add_stream(config)
        except BadRequestError:  # it is there, with other settings: those of whoever made it
            info = await self._js.stream_info(options.prefix)
        self._created = info.created

    async def _bucket(self, name: str, ttl: int) -> KeyValue:
        bucket = f"{self.options.prefix}-{name}"
        try:
            return await self._js.key_value(bucket)
        except NotFoundError:
            storage = StorageType(self.options.storage)
            return await self._js.create_key_value(KeyValueConfig(bucket, storage=storage, ttl=ttl))

    async def disconnect(self) -> None:
        client, self._client = self._client, None
        self._subscriptions.clear()
        if client is not None:
            await client.close()

    def _connected(self) -> _Client:
        if self._client is None:
            raise ConnectionError("not connected")
        return self._client

    async def beat(self, origin: str, seconds: float) -> None:
        if not seconds:
            await self._alive.delete(origin)
            return
        await self._alive.put(origin, b"")
        info = await self._js.stream_info(self.options.prefix)
        if info.created != self._created:
            raise ConnectionError("somebody has made the stream anew")
        await self._logs.refresh(self.options.ttl / 2)

    # --- rooms --------------------------------------------------------------------------------

    async def append(self, records: Sequence[Record]) -> None:
        await self._logs.store(records, remember=False)

    async def add(self, records: Sequence[Record]) -> list[tuple[Position, bool] | None]:
        return await self._logs.store(records, remember=True)

    async def head(self, room: str) -> LogHead:
        return (await self._logs.head(room))[0]

    async def tail(self, room: str, count: int) -> list[tuple[Any, bytes]]:
        return await self._logs.tail(room, count)

    async def read(
        self, room: str, after: int, until: int, most_bytes: int
    ) -> list[tuple[int, bytes]]:
        return await self._logs.read(room, after, until, most_bytes)

    async def note(self, room: str, data: bytes) -> None:
        await self._connected().publish(self._notes(room), data)

    def _read_batch(self, room: str, data: bytes) -> Batch | None:
        return self.faults.read("a message", room, BATCHES, data)

    async def follow(self, room: str, after: Position | None) -> None:
        await self.unfollow(room)
        head, until = await self._logs.head(room)
        last = 0 if after is None else head.common(after)
        config = ConsumerConfig(
            ack_policy=AckPolicy.NONE,
            inactive_threshold=60,
            mem_storage=True,
            deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=await self._logs.start(room, head, last),
        )
        caught_up = asyncio.get_running_loop().create_future()
        expected = 0

        async def on_message(message: Msg) -> None:
            nonlocal expected
            try:
                sequence = message.metadata.sequence
            except (NotJSMessageError, ValueError, IndexError, OverflowError, OSError):
                self.faults.add("a message", room, "JetStream did not send it")
                return
            expected += 1
            if sequence.consumer != expected:
                self._lost(ConnectionError("the server has left a message out"))
                return
            if (batch := self._read_batch(room, message.data)) is not None:
                take(batch, sequence.stream)
            if sequence.stream >= until and not caught_up.done():
                caught_up.set_result(None)

        def take(batch: Batch, sequence: int) -> None:
            self._logs.took(room, batch, sequence)
            for number, _, data in batch.numbered():
                position = Position(batch.epoch, number)
                if sequence > until or (number > last and head.common(position) == number):
                    self._deliver(room, position, data)

        async def on_note(message: Msg) -> None:
            self._deliver(room, None, message.data)

        notes = await self._connected().subscribe(self._notes(room), cb=on_note)
        self._subscriptions[room] = [notes]
        batches = await self._js.subscribe(
            self._logs.subject(room),
            stream=self.options.prefix,
            cb=on_message,
            config=config,
            manual_ack=True,
        )
        self._subscriptions[room].append(batches)
        await caught_up

    async def unfollow(self, room: str) -> None:
        for subscription in self._subscriptions.pop(room, ()):
            await subscription.unsubscribe()

    # --- members ------------------------------------------------------------------------------

    async def put_members(self, changes: Sequence[tuple[str, str, bytes | None]]) -> None:
        await asyncio.gather(
            *(
                self._put_member(f"{room_token(room)}.{member}", info)
                for room, member, info in changes
            )
        )

    async def _put_member(self, key: str, info: bytes | None) -> None:
        if info is None:
            await self._members.delete(key)
        else:
            await self._members.put(key, info)

    async def members(self, room: str) -> dict[str, bytes]:
        token = f"{room_token(room)}."
        found = await self._entries("members", token)
        most = self.options.max_members
        if len(found) > most:
            self.faults.add("a member", room, "there are too many")
        alive = await self._entries("alive", "")
        there = [name for name in found if name.partition(".")[0] in alive]
        return {name: found[name] for name in there[:most]}

    async def rooms(self, most: int) -> list[str]:
        start = f"{self.options.prefix}.room."
        info = await self._js.stream_info(self.options.prefix, subjects_filter=f"{start}*")
        tokens = {subject.removeprefix(start) for subject in info.state.subjects or ()}
        tokens |= {name.partition(".")[0] for name in await self._entries("members", "")}
        found = [room for token in tokens if (room := room_of(token)) is not None]
        return found[:most]

    async def _entries(self, bucket: str, start: str) -> dict[str, bytes]:
        """What a bucket has under keys that start so."""
        bucket = f"{self.options.prefix}-{bucket}"
        subject = f"$KV.{bucket}.{start}"
        policy = {"deliver_policy": DeliverPolicy.LAST_PER_SUBJECT}
        found: dict[str, bytes] = {}
        size = 0
        messages = stored(self._js, f"KV_{bucket}", f"{subject}>", **policy)
        async with aclosing(messages):
            async for message in messages:
                size += len(message.data)
                if size > _MEMBER_BYTES:
                    break
                if KV_OP not in (message.headers or {}):
                    found[message.subject.removeprefix(subject)] = message.data
        return found
