"""``wsext rooms``: list, members, tail."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import brokers
from tests.e2e.processes import ENV, WSEXT, wsext
from tests.rooms.backplanes.processes import joined, processes
from wsext import BlockingPublisher


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[brokers.Broker]:
    with brokers.running("redis", tmp_path_factory.mktemp("redis")) as broker:
        with BlockingPublisher(broker.url) as publisher:
            for number in range(12):
                publisher.publish("tea", f"{number}")
            publisher.publish("evil\x1b[31m\nroom", b"\xff")
            publisher.publish("tea", '{"a": 1}', id="17", key="k", meta={"m": 1})
        yield broker


def ask(redis: brokers.Broker, *args: str) -> str:
    done = wsext("rooms", *args, "--backplane", redis.url)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_rooms_are_listed_a_line_each(redis: brokers.Broker) -> None:
    assert ask(redis, "list") == "evil\\x1b[31m\\nroom\ntea\n"
    assert json.loads(ask(redis, "list", "--json")) == ["evil\x1b[31m\nroom", "tea"]
    done = wsext("rooms", "list", "--most", "1", "--backplane", redis.url)
    assert len(done.stdout.splitlines()) == 1
    assert done.stderr == "wsext: there are more than 1; --most shows more\n"


async def test_members_are_shown_and_cannot_mark_up_the_table(redis: brokers.Broker) -> None:
    name = "[bold]Ada\x1b"
    async with (
        processes(redis.url, 1) as (one,),
        joined(one, "tea?name=%5Bbold%5DAda%1B") as ada,
    ):
        heading, row = ask(redis, "members", "tea").splitlines()
        assert heading.split() == ["name", "info", "id"]
        assert row.split() == ["[bold]Ada\\x1b", ada.members.me.id]
        (member,) = json.loads(ask(redis, "members", "tea", "--json"))
        assert member == {"id": ada.members.me.id, "name": name, "info": None}


def test_the_last_messages_are_shown(redis: brokers.Broker) -> None:
    assert ask(redis, "tail", "tea", "-n", "3") == '10\n11\n{"a": 1}\n'
    assert len(ask(redis, "tail", "tea").splitlines()) == 10
    text = ask(redis, "tail", "tea", "-n", "1", "--json")
    (position,) = [json.loads(text).pop("position")]
    assert position.endswith(":13")
    assert json.loads(text) == {
        **{"text": '{"a": 1}', "position": position, "id": "17", "key": "k", "meta": {"m": 1}}
    }
    binary = ask(redis, "tail", "evil\x1b[31m\nroom", "--json")
    assert json.loads(binary)["base64"] == "/w=="


def test_what_is_said_is_followed(redis: brokers.Broker) -> None:
    command = [*WSEXT, "rooms", "tail", "tea", "-f", "-n", "1", "--backplane", redis.url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=ENV) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == '{"a": 1}\n'
        # The history has been read, and the room is heard a moment later, without a gap.
        assert wsext("publish", "tea", "new", "--backplane", redis.url).returncode == 0
        assert process.stdout.readline() == "new\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130


def test_a_broker_that_is_away_is_said(tmp_path: Path) -> None:
    nobody = brokers.Broker("redis", tmp_path)
    done = wsext("rooms", "members", "tea", "--backplane", nobody.url, "--timeout", "0.1")
    assert done.returncode == 1
    assert "is away" in done.stderr.splitlines()[-1]
