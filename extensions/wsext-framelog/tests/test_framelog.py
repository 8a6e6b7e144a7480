"""The frame log and the message log, on the server and on the client."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from wsext_framelog import FrameLog, MessageLog

import wsext
from wsext import App, Frame, OptionError, Session, testing


class TestFrameLog(testing.InterceptorSuite):
    extension = FrameLog


class TestMessageLog(testing.InterceptorSuite):
    extension = MessageLog


async def talk(*client: Any, **options: Any) -> None:
    app = App()
    app.install("permessage-deflate")
    if options.pop("server", True):
        app.install("framelog", **options)

    @app.websocket("/")
    async def echo(session: Session) -> None:
        await session.send_frame(Frame(2, b"\x00\x01"))
        await session.send(await session.receive())

    async with wsext.serve(app) as server:
        offered = ["permessage-deflate", *client]
        async with wsext.connect(server.url, extensions=offered) as session:
            await session.send("token=s3cret and more")
            assert await session.receive() == b"\x00\x01"
            assert await session.receive() == "token=s3cret and more"
            await session.wait_closed()


def lines(caplog: pytest.LogCaptureFixture, logger: str = "wsext.framelog") -> list[str]:
    return [
        record.getMessage().split(" ", 1)[1] for record in caplog.records if record.name == logger
    ]


async def test_the_server_logs_every_frame_without_payloads(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level("INFO"):
        await talk()
    assert sorted(lines(caplog)) == [
        "received <Frame CLOSE FIN 2 bytes>",
        "received <Frame TEXT FIN 21 bytes>",
        "sending <Frame BINARY FIN 2 bytes>",
        "sending <Frame CLOSE FIN 2 bytes>",
        "sending <Frame TEXT FIN 21 bytes>",
    ]
    assert "s3cret" not in caplog.text


async def test_the_client_logs_too(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        await talk(FrameLog(control=False), server=False)
    assert sorted(lines(caplog)) == [
        "received <Frame BINARY FIN 2 bytes>",
        "received <Frame TEXT FIN 21 bytes>",
        "sending <Frame TEXT FIN 21 bytes>",
    ]


async def test_payloads_are_cut_quoted_and_redacted(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("DEBUG"):
        await talk(
            payload=True,
            redact=[r"(?<=token=)\w+"],
            max_payload=20,
            level="debug",
            logger="my.frames",
            control=False,
        )
    assert lines(caplog, "my.frames") == [
        "sending <Frame BINARY FIN 2 bytes>: '\\x00\\x01'",
        "received <Frame TEXT FIN 21 bytes>: 'token=[redacted] and'… and 5 more",
        "sending <Frame TEXT FIN 21 bytes>: 'token=[redacted] and'… and 5 more",
    ]
    assert "s3cret" not in caplog.text


async def test_a_secret_in_two_fragments_is_found_in_the_message_and_not_in_the_frames(
    caplog: pytest.LogCaptureFixture,
) -> None:
    options: dict[str, Any] = {"payload": True, "redact": [r"(?<=token=)\w+"]}
    both = [FrameLog(control=False, **options), MessageLog(**options)]
    with caplog.at_level("INFO"):
        async with testing.pair(both, client=[]) as (client, session):
            await client.send_frame(Frame(1, b"tok", False))
            await client.send_frame(Frame(0, b"en=s3cret"))
            await session.send(await session.receive())
            await client.receive()
    assert lines(caplog) == [
        "received <Frame TEXT 3 bytes>: 'tok'",
        "received <Frame CONTINUATION FIN 9 bytes>: 'en=s3cret'",
        "sending <Frame TEXT FIN 12 bytes>: 'token=[redacted]'",
    ]
    assert lines(caplog, "wsext.messagelog") == [
        "received <TEXT 12 characters>: 'token=[redacted]'",
        "sending <TEXT 12 characters>: 'token=[redacted]'",
    ]


async def test_messages_are_logged_without_payloads(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        await talk(MessageLog(), server=False)
    assert sorted(lines(caplog, "wsext.messagelog")) == [
        "received <BINARY 2 bytes>",
        "received <TEXT 21 characters>",
        "sending <TEXT 21 characters>",
    ]
    assert "s3cret" not in caplog.text


async def test_below_the_level_nothing_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        await talk(level="debug")
    assert lines(caplog) == []
    assert logging.getLogger("wsext.framelog").level == logging.NOTSET


def test_wrong_options() -> None:
    with pytest.raises(OptionError, match=r"framelog: redact.*unterminated"):
        FrameLog(redact=["("])
    with pytest.raises(OptionError, match="framelog: level"):
        FrameLog(level="loud")
