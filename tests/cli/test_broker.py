"""What ``wsext publish`` and ``wsext rooms`` share: which broker, completion, exit codes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.shell_completion import CompletionItem

from tests import brokers
from tests.cli.invoking import invoke
from tests.waiting import until
from wsext import (
    BlockingPublisher,
    OptionError,
    OutcomeUnknown,
    Publisher,
    PublishError,
    RoomError,
    RoomMessage,
)
from wsext.cli.broker import broker_options, find_backplane, listen, room_argument, run
from wsext.sdk.plugins import set_default_plugins


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[brokers.Broker]:
    with brokers.running("redis", tmp_path) as broker:
        yield broker


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    yield tmp_path / "here"
    set_default_plugins(None)


def test_the_broker_is_found_as_a_server_finds_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(OptionError, match="give --backplane URL, or set WSEXT_SERVER__BACKPLANE"):
        find_backplane(None, None)
    (folder / "wsext.toml").write_text('[server]\nbackplane = "redis://folder"\n')
    (folder / "other.toml").write_text('[server]\nbackplane = "redis://named"\n')
    assert find_backplane(None, None) == "redis://folder"
    assert find_backplane(None, "other.toml") == "redis://named"
    monkeypatch.setenv("WSEXT_SERVER__BACKPLANE", "redis://environment")
    assert find_backplane(None, "other.toml") == "redis://environment"
    assert find_backplane("redis://given", "other.toml") == "redis://given"


@click.command()
@room_argument
@broker_options
def command(room: str, backplane: str | None, config: str | None, timeout: float) -> None:
    click.echo(f"{room} {backplane} {config} {timeout}")


def test_the_options_have_bounds() -> None:
    assert invoke("tea", command=command).output == "tea None None 10.0\n"
    assert "not in the range" in invoke("tea", "--timeout", "0", command=command).output


def completions(incomplete: str, *args: str) -> list[CompletionItem]:
    context = command.make_context("x", list(args), resilient_parsing=True)
    try:
        return command.params[0].shell_complete(context, incomplete)
    finally:
        logging.disable(logging.NOTSET)  # as a process of its own it would end now


def test_rooms_are_completed_but_not_by_the_word_of_a_folder(
    folder: Path, redis: brokers.Broker, caplog: pytest.LogCaptureFixture
) -> None:
    with BlockingPublisher(redis.url) as publisher:
        for room in ("tea", "toast", "coffee", "t\x1b[31m"):
            publisher.publish(room, "hello")
    assert [item.value for item in completions("t", "--backplane", redis.url)] == ["tea", "toast"]
    (folder / "wsext.toml").write_text(f'[server]\nbackplane = "{redis.url}"\n')
    assert completions("t") == []
    named = completions("c", "--config", "wsext.toml")
    assert [item.value for item in named] == ["coffee"]
    assert completions("t", "--backplane", "memory://") == []
    redis.kill()
    assert completions("t", "--backplane", redis.url) == []
    assert not caplog.records  # nothing stands in the line that is typed


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (PublishError("tea", "1", "away"), 1),
        (OutcomeUnknown("tea", "1", "away"), 3),
        (RoomError("name"), 2),
        (ConnectionError("away"), 1),
        (NotImplementedError("cannot"), 1),
        (KeyboardInterrupt(), 130),
    ],
)
def test_every_cause_has_its_exit_code(
    error: BaseException, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    async def fail() -> None:
        raise error

    with pytest.raises(SystemExit) as ended:
        run(fail())
    assert ended.value.code == code
    assert capsys.readouterr().err.startswith("wsext: ") == (code != 130)


def test_a_pipe_that_is_closed_is_left_to_the_command() -> None:
    async def fail() -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        run(fail())


async def test_listening_shows_what_was_and_what_is_said(redis: brokers.Broker) -> None:
    shown: list[str | bytes] = []
    numbers: list[int | None] = []

    def show(message: RoomMessage) -> None:
        shown.append(message.data)
        numbers.append(message.position and message.position.number)
        if message.data == "end":
            raise BrokenPipeError

    async with Publisher(redis.url) as publisher:
        for text in ("one", "two"):
            await publisher.publish("tea", text)
        listening = asyncio.create_task(listen(redis.url, "tea", 1, show))
        await until(lambda: shown == ["two"])
        for text in ("three", "end", "more"):
            await publisher.publish("tea", text)
        with pytest.raises(BrokenPipeError):
            await listening
    assert shown == ["two", "three", "end"]
    assert numbers == [2, 3, 4]
