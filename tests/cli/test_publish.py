"""``wsext publish``: arguments, pipes, and what it says when it does not work."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import brokers
from tests.e2e.processes import ENV, wsext
from wsext import BlockingPublisher


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[brokers.Broker]:
    with brokers.running("redis", tmp_path_factory.mktemp("redis")) as broker:
        yield broker


@pytest.fixture(scope="module")
def reader(redis: brokers.Broker) -> Iterator[BlockingPublisher]:
    with BlockingPublisher(redis.url) as publisher:
        yield publisher


@pytest.mark.parametrize(
    ("args", "stdin", "published"),
    [
        (("hello", "two words"), "", ["hello", "two words"]),
        (("--binary", "bytes \udcff"), "", [b"bytes \xff"]),
        ((), "all of it\nas one\n", ["all of it\nas one"]),
        (("--binary",), "all of it\n", [b"all of it\n"]),
        (("--lines",), "one\ntwo\n\n", ["one", "two", ""]),
        (("--lines", "--json"), '{"a": 1}\n2\n', ['{"a": 1}', "2"]),
    ],
)
def test_everything_is_published_in_order(
    redis: brokers.Broker,
    reader: BlockingPublisher,
    args: tuple[str, ...],
    stdin: str,
    published: list[str | bytes],
) -> None:
    env = {**ENV, "WSEXT_SERVER__BACKPLANE": redis.url}
    room = str(published)
    done = wsext("publish", room, *args, stdin=stdin, env=env)
    assert (done.returncode, done.stderr) == (0, "")
    numbers = [line.rpartition(":")[2] for line in done.stdout.splitlines()]
    assert numbers == [str(number) for number in range(1, len(published) + 1)]
    assert [message.data for message in reader.history(room, 10)] == published


def test_what_cannot_be_published_is_named(
    redis: brokers.Broker, reader: BlockingPublisher
) -> None:
    done = wsext("publish", "bad", "--lines", "--json", stdin="1\n{\n3\n", env=set_to(redis))
    assert done.returncode == 2
    assert done.stderr.startswith("wsext: message 2 is not JSON: ")
    assert [message.data for message in reader.history("bad", 10)] == ["1"]
    done = wsext("publish", "bad", "\udcff", env=set_to(redis))
    assert done.returncode == 2
    assert done.stderr == "wsext: message 1 is not UTF-8; --binary publishes it as it is\n"
    done = wsext("publish", "bad", "x", "--lines", env=set_to(redis))
    assert (done.returncode, "leave DATA out" in done.stderr) == (2, True)
    done = wsext("publish", "", "x", env=set_to(redis))
    assert (done.returncode, "a room's name" in done.stderr) == (2, True)


def test_an_id_is_published_once(redis: brokers.Broker, reader: BlockingPublisher) -> None:
    for text, name in (("first", "till"), ("again", "till"), ("other", "other")):
        done = wsext("publish", "ids", text, "--id", "17", "--name", name, env=set_to(redis))
        assert done.returncode == 0
    assert [message.data for message in reader.history("ids", 10)] == ["first", "other"]
    done = wsext("publish", "ids", "x", "y", "--id", "17", env=set_to(redis))
    assert (done.returncode, "one message" in done.stderr) == (2, True)
    done = wsext("publish", "ids", "x", "--id", "", env=set_to(redis))
    assert (done.returncode, "1 to 64 bytes" in done.stderr) == (2, True)


def test_a_broker_that_is_away_is_said(tmp_path: Path) -> None:
    nobody = brokers.Broker("redis", tmp_path)
    done = wsext("publish", "tea", "x", "--backplane", nobody.url, "--timeout", "0.1")
    assert done.returncode == 1
    assert "was not published" in done.stderr.splitlines()[-1]
    done = wsext("publish", "tea", "x", "--backplane", "memory://")
    assert (done.returncode, "reaches nobody outside" in done.stderr) == (2, True)


def set_to(redis: brokers.Broker) -> dict[str, str]:
    return {**ENV, "WSEXT_SERVER__BACKPLANE": redis.url}
