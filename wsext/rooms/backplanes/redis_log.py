"""A room's log in Redis: its keys, the scripts that write it, and what they answer; no I/O.

    {prefix}:room:ROOM   stream of messages: ids are NUMBER-MILLISECONDS, field ``d`` has the data
    {prefix}:head:ROOM   hash: epoch, number, life, earlier (epochs with their last numbers)
    {prefix}:ids:ROOM    sorted set: what is known by id, with its number
    {prefix}:live:ROOM   channel: ``EPOCH:NUMBER|data``, and ``|data`` for what is not stored

One script gives the next number, adds, publishes and remembers the id, so nothing comes between
them. A number is given only together with its message, so the numbers of a stream have no gap.

``life`` is Redis's own `master_replid`. It is another one after every restart and after a replica
was promoted: just then the end of the data may be missing. The next message begins a new epoch, and
``earlier`` says how much of the old one is still there.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from wsext.rooms.backplanes.broker import Record
from wsext.rooms.backplanes.options import RemoteOptions
from wsext.rooms.backplanes.positions import MOST_EPOCHS, LogHead, Position, new_epoch

__all__ = ["ADD", "HEAD", "RoomKeys", "number_of", "read_added", "read_head", "read_live"]

#: A stream's entries have higher ids if somebody else let Redis make them, of its clock.
_MOST_NUMBERS = 1 << 40

_ENTRY = re.compile(rb"(\d{1,20})-\d{1,20}")

_BEGIN = """
local known = redis.call('HMGET', KEYS[2], 'epoch', 'number', 'life', 'earlier')
local epoch, number, earlier = known[1], known[2], known[4] or ''
local life = string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)')
local function is_position(epoch, number)  -- as `Position.parse` takes it, below 10^12
  return epoch and #epoch <= 32 and string.find(epoch, '^[%w_-]+$')
    and number and #number <= 12 and (number == '0' or string.find(number, '^[1-9]%d*$'))
end
local usable = is_position(epoch, number) and #earlier < 1000
for word in string.gmatch(usable and earlier or '', '%S+') do
  usable = usable and is_position(string.match(word, '^(.*):(.*)$'))
end
number = tonumber(number)
if not usable then  -- whatever the stream has, nobody can say where it belongs
  for _, key in ipairs({KEYS[1], KEYS[3]}) do
    local kind = redis.call('TYPE', key).ok
    if kind == 'stream' or kind == 'zset' then redis.call('DEL', key) end
  end
  epoch, number, earlier, known[3] = fresh, 0, '', false
  redis.call('HSET', KEYS[2], 'epoch', epoch, 'number', 0, 'life', life, 'earlier', '')
end
redis.call('EXPIRE', KEYS[2], head_ttl)
"""

HEAD = (
    "local fresh, head_ttl = ARGV[1], ARGV[2]"
    + _BEGIN
    + """
return {epoch, number, earlier}
"""
)

ADD = (
    """
local retain, ttl, ids, id_ttl, fresh, head_ttl = unpack(ARGV, 1, 6)
"""
    + _BEGIN
    + f"""
if known[3] and known[3] ~= life then
  local words = {{}}
  for word in string.gmatch(earlier .. ' ' .. epoch .. ':' .. known[2], '%S+') do
    table.insert(words, word)
  end
  earlier = table.concat(words, ' ', math.max(1, #words - {MOST_EPOCHS - 1}))
  epoch = fresh
  redis.call('HSET', KEYS[2], 'epoch', epoch, 'life', life, 'earlier', earlier)
end
"""
    """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function place_of(id)  -- of a message that is remembered
  local was = id ~= '' and redis.call('ZSCORE', KEYS[3], id)
  was = was and string.match(was, '^[1-9]%d*$')
  local entry = was and redis.call('XRANGE', KEYS[1], was, was)[1]
  local at = entry and tonumber(string.match(entry[1], '-(%d+)'))
  return at and now - at <= id_ttl * 1000 and tonumber(was)
end
local function append(name, data)
  local entry = name .. string.format('-%.0f', now)
  return redis.pcall('XADD', KEYS[1], 'MAXLEN', '~', retain, entry, 'd', data)
end
local last, remembers, answer = string.format('%.0f', number), false, {epoch}
for at = 7, #ARGV, 2 do
  local data, id = ARGV[at], ARGV[at + 1]
  local was = place_of(id)
  if was then
    table.insert(answer, was)
    table.insert(answer, 1)
  else
    local name = string.format('%.0f', number + 1)
    local added = append(name, data)
    if type(added) == 'table' and string.find(added.err, 'ID') then
      -- somebody else has added something with a higher id, which a stream never forgets
      local own = redis.call('XRANGE', KEYS[1], '-', last .. '-18446744073709551615')
      redis.call('DEL', KEYS[1])
      for _, entry in ipairs(own) do
        redis.call('XADD', KEYS[1], entry[1], unpack(entry[2]))
      end
      added = append(name, data)
    end
    if type(added) == 'table' then return added end  -- before any other: it is about the key
    number, last = number + 1, name
    redis.call('HSET', KEYS[2], 'number', name)
    if id ~= '' then
      redis.call('ZADD', KEYS[3], name, id)
      remembers = true
    end
    redis.call('PUBLISH', KEYS[4], epoch .. ':' .. name .. '|' .. data)
    table.insert(answer, number)
    table.insert(answer, 0)
  end
end
redis.call('EXPIRE', KEYS[1], ttl)
if remembers then
  redis.call('ZREMRANGEBYRANK', KEYS[3], 0, -ids - 1)
  redis.call('EXPIRE', KEYS[3], id_ttl)
end
return answer
"""
)


class RoomKeys(NamedTuple):
    """What a room's log is called."""

    stream: str
    head: str
    ids: str
    channel: str

    @classmethod
    def of(cls, prefix: str, room: str) -> RoomKeys:
        return cls(*(f"{prefix}:{kind}:{room}" for kind in ("room", "head", "ids", "live")))

    def to_add(
        self, records: Sequence[Record], options: RemoteOptions, *, remember: bool
    ) -> list[Any]:
        """The keys and arguments of `ADD` for records of this room, with the number of keys before
        them."""
        bounds = (options.retain, options.ttl, options.ids, options.id_ttl)
        arguments: list[Any] = [4, *self, *bounds, new_epoch(), 2 * options.ttl]
        for record in records:
            arguments += (record.data, record.id if remember else "")
        return arguments

    def to_ask_head(self, options: RemoteOptions) -> list[Any]:
        """The keys and arguments of `HEAD`, with the number of keys before them."""
        return [3, self.stream, self.head, self.ids, new_epoch(), 2 * options.ttl]


def read_added(answer: Sequence[Any]) -> list[tuple[Position, bool]]:
    """What `ADD` answers: where each message is, and whether it was there already."""
    epoch = answer[0].decode()
    pairs = zip(answer[1::2], answer[2::2], strict=True)
    return [(Position(epoch, number), bool(repeated)) for number, repeated in pairs]


def read_head(epoch: bytes, number: bytes | int, earlier: bytes) -> LogHead | None:
    """What `HEAD` answers, and the hash has; ``None`` if somebody else has written into it."""
    try:
        last = Position.parse(f"{epoch.decode()}:{int(number)}")
        return LogHead(*last, tuple(map(Position.parse, earlier.decode().split())))
    except ValueError:
        return None


def read_live(message: bytes) -> tuple[Position | None, bytes] | None:
    """What came on a channel; ``None`` if it is nothing that `ADD` publishes. Notes have no
    position."""
    text, mark, data = message.partition(b"|")
    if not mark:
        return None
    try:
        return (Position.parse(text.decode()) if text else None), data
    except ValueError:
        return None


def number_of(entry: bytes) -> int | None:
    """The number of a stream's entry by its id; ``None`` if somebody else has added it."""
    found = _ENTRY.fullmatch(entry)
    number = int(found[1]) if found else 0
    return number if 0 < number < _MOST_NUMBERS else None
