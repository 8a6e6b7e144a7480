"""Training a dictionary and measuring what it is worth."""

from __future__ import annotations

import json
import random
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

import zstandard

from wsext import Frame
from wsext_zstd.codec import Settings, ZstdCodec
from wsext_zstd.dictionary import Dictionary

__all__ = ["Measured", "measure", "read_messages", "split", "train"]


@dataclass(frozen=True, slots=True)
class Measured:
    """Bytes of some messages, compressed one by one, without context takeover.

    Attributes:
        messages: How many.
        plain: As they are.
        deflate: As permessage-deflate sends them.
        zstd: As permessage-zstd sends them without a dictionary.
        with_dictionary: As it sends them with the dictionary.
    """

    messages: int
    plain: int
    deflate: int
    zstd: int
    with_dictionary: int


def read_messages(file: BinaryIO) -> Iterator[bytes]:
    """The messages of a JSONL file: one message per line, or lines that wsext-capture wrote.

    Raises:
        ValueError: If a line of a captured file cannot be read; names the line.
    """
    for number, line in enumerate(file, 1):
        line = line.strip()
        if not line:
            continue
        if not line.startswith(b'{"event":'):
            yield line
            continue
        try:
            record = json.loads(line)
        except ValueError as error:
            raise ValueError(f"line {number} is not JSON: {error}") from error
        if record["event"] == "frame" and "text" in record:
            yield record["text"].encode()
        elif record["event"] == "frame" and "hex" in record and record.get("opcode") == 2:
            yield bytes.fromhex(record["hex"])


def split(messages: Iterable[bytes], share: float = 0.2) -> tuple[list[bytes], list[bytes]]:
    """Messages to train with, and others to measure with."""
    items = list(messages)
    random.Random(1).shuffle(items)  # the same split every time; nothing depends on chance here
    held = max(1, int(len(items) * share))
    return items[held:], items[:held]


def train(samples: list[bytes], size: int, level: int = 3) -> Dictionary:
    """A dictionary of at most ``size`` bytes.

    Raises:
        ValueError: If there are too few samples for it.
    """
    try:
        made = zstandard.train_dictionary(size, [*samples], level=level)
    except zstandard.ZstdError as error:
        raise ValueError(
            f"{len(samples)} messages of {sum(map(len, samples))} bytes are too few for a "
            f"dictionary of {size} bytes ({error})"
        ) from error
    return Dictionary(made.as_bytes())


def measure(messages: list[bytes], dictionary: Dictionary, level: int = 3) -> Measured:
    """What some messages become, each on its own."""
    without = ZstdCodec(Settings(level=level, own_reset=True))
    trained = ZstdCodec(Settings(level=level, own_reset=True, dictionary=dictionary))
    return Measured(
        len(messages),
        sum(map(len, messages)),
        sum(len(_deflate(message)) for message in messages),
        sum(len(without.encode(Frame(2, message)).payload) for message in messages),
        sum(len(trained.encode(Frame(2, message)).payload) for message in messages),
    )


def _deflate(message: bytes) -> bytes:
    compressor = zlib.compressobj(6, zlib.DEFLATED, -15)
    return (compressor.compress(message) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]
