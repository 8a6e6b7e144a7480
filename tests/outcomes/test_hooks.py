"""Every hook, failing in every way: the second table of the docs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from typing import Any

import pytest

import wsext
from tests.outcomes.faulty import LEGAL, SECRET, faulty_plugin
from tests.outcomes.fronts import MESSAGE, client, server, trio_client, trio_server, uvicorn_
from tests.outcomes.table import FAULTS, HOOKS
from wsext import App, PluginError, Request, ServerOptions
from wsext.protocol.headers import Headers
from wsext.sdk.installed import Installed

#: Hooks that see what a session receives and sends.
_SEEING = ["frame_received", "frame_sending", "message_received", "message_sending"]

#: Which fronts ask a hook about a connection.
FRONTS = {
    "server": (
        server,
        ["handshake", "negotiate", "session_opened", "session_closed", "answered", *_SEEING],
    ),
    "uvicorn": (uvicorn_, ["handshake", "negotiate", "answered", *_SEEING]),
    "client": (client, ["session_opened", "session_closed", *_SEEING]),
    "trio server": (
        trio_server,
        ["handshake", "negotiate", "session_opened", "session_closed", "answered", *_SEEING],
    ),
    "trio client": (trio_client, ["session_opened", "session_closed", *_SEEING]),
}

#: Hooks that may be asynchronous.
_ASYNCHRONOUS = {"wsext_handshake", "wsext_message_received", "wsext_message_sending"}


def cases(hook: str, *, asynchronous: bool = False) -> Iterator[tuple[str, str]]:
    """The faults of a hook with what happens, without those that block."""
    for kind, expected in zip(FAULTS, HOOKS[hook], strict=True):
        if kind != "never returns" or (asynchronous and expected != "dropped"):
            yield kind, expected


def told(caplog: pytest.LogCaptureFixture, hook: str) -> list[logging.LogRecord]:
    """The lines about a hook, each with a traceback and with where it comes from."""
    found = [
        record
        for record in caplog.records
        if record.exc_info and hook in record.getMessage() and record.name == "wsext.extensions"
    ]
    for record in found:
        assert record.levelno == logging.ERROR
        assert "(from tests.outcomes.faulty)" in record.getMessage()
    return found


@pytest.mark.parametrize(
    ("front", "hook"), [(name, hook) for name, (_, hooks) in FRONTS.items() for hook in hooks]
)
def test_what_happens_on_a_connection(
    front: str, hook: str, caplog: pytest.LogCaptureFixture
) -> None:
    hook = f"wsext_{hook}"
    run: Any = FRONTS[front][0]
    for asynchronous in (False, True) if hook in _ASYNCHRONOUS else (False,):
        for kind, expected in cases(hook, asynchronous=asynchronous):
            caplog.clear()
            seen = run(faulty_plugin(hook, kind, asynchronous=asynchronous))
            what = f"{kind}: {seen}"
            assert SECRET.encode() not in seen.wire, what
            if expected == "503":
                assert seen.status == 503, what
                continue
            assert seen.status == 101, what
            assert seen.close is not None, what
            if expected in ("1011", "own"):
                assert seen.close[0] == (LEGAL[0] if expected == "own" else 1011), what
                continue
            assert seen.close[0] == 1000, what
            assert seen.echoed == [MESSAGE], what
            assert len(told(caplog, hook)) == (expected in ("logged", "passes")), what


@pytest.mark.parametrize("front", ["server", "uvicorn", "client"])
def test_an_interceptor_that_fails_closed_ends_the_session(front: str) -> None:
    run: Any = FRONTS[front][0]
    for hook in (f"wsext_{name}" for name in _SEEING):
        for asynchronous in (False, True) if hook in _ASYNCHRONOUS else (False,):
            for kind, expected in cases(hook, asynchronous=asynchronous):
                plugin = faulty_plugin(hook, kind, asynchronous=asynchronous)
                plugin.fail_closed = True
                seen = run(plugin)
                code, reason = seen.close or (1006, "")
                assert SECRET.encode() not in seen.wire
                assert code == (1000 if expected == "ignored" else 1011), f"{hook}, {kind}: {seen}"
                assert reason in ("", "extension failed")


def test_a_hook_that_never_answers_about_a_handshake() -> None:
    for front in (server, trio_server):
        plugin = faulty_plugin("wsext_handshake", "never returns", asynchronous=True)
        assert front(plugin).status == 0


def test_what_happens_when_a_limit_is_reached(caplog: pytest.LogCaptureFixture) -> None:
    request = Request("GET", "/", Headers())
    for kind, expected in cases("wsext_limited"):
        caplog.clear()
        installed = Installed()
        installed.install(faulty_plugin("wsext_limited", kind))
        installed.limited("max_connections", request)
        assert len(told(caplog, "wsext_limited")) == (expected == "logged")


def test_what_happens_when_a_server_is_asked_whether_it_is_ready() -> None:
    for kind, expected in cases("wsext_not_ready"):
        installed = Installed()
        installed.install(faulty_plugin("wsext_not_ready", kind))
        assert (installed.not_ready() is not None) == (expected == "unready"), kind


def test_what_happens_when_routes_are_added() -> None:
    async def serve(app: App) -> None:
        async with wsext.serve(app, "127.0.0.1", 0):
            pass

    for kind, expected in cases("wsext_routes"):
        app = App(server=ServerOptions(max_connections=1))
        app.install(faulty_plugin("wsext_routes", kind))
        if expected == "refused":
            with pytest.raises(PluginError, match=r"wsext_routes failed"):
                app.prepare()
        else:
            asyncio.run(serve(app))
