"""What a stream knows, and what may be installed on trio."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from tests.trio.peers import on_trio
from wsext import PluginError
from wsext.sdk.installed import build
from wsext.trio.streams import StreamInfo, close_after, no_resuming


def test_a_socket_tells_its_names() -> None:
    async def scenario() -> None:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        name = StreamInfo(listener).get_extra_info("sockname")
        async with listener, await trio.open_tcp_stream(*name) as stream:
            info = StreamInfo(stream)
            assert info.get_extra_info("peername") == name
            assert info.get_extra_info("socket") is stream.socket
            assert info.get_extra_info("ssl_object") is None
            assert info.get_extra_info("nothing") is None
        assert info.get_extra_info("peername") is None  # it is gone

    trio.run(scenario)


@on_trio
async def test_a_stream_in_memory_has_no_names() -> None:
    ours, _ = trio.testing.memory_stream_pair()
    for name in ("peername", "sockname", "socket", "ssl_object"):
        assert StreamInfo(ours).get_extra_info(name) is None


@on_trio
async def test_a_connection_that_becomes_no_session_is_closed_with_a_code() -> None:
    for make in (trio.testing.memory_stream_pair, trio.testing.lockstep_stream_pair):
        ours, theirs = make()
        await close_after(ours, 1010)  # also if nobody reads
        if make is trio.testing.memory_stream_pair:
            assert len(await theirs.receive_some()) == 8
        with pytest.raises(trio.ClosedResourceError):
            await ours.send_all(b"x")


def test_extensions_that_keep_sessions_are_refused() -> None:
    installed = build(["permessage-deflate"])
    assert no_resuming(installed) is installed
    with pytest.raises(PluginError, match="session-resume"):
        no_resuming(build(["session-resume"]))
