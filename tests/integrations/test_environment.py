"""Settings from a file and the environment."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from websockets.asyncio.client import connect as foreign_connect

from tests.integrations.served import (
    Recorder,
    echo,
    running,
)
from wsext import (
    OptionError,
)
from wsext.integrations.environment import settings_from_environment
from wsext.integrations.uvicorn import WebSocketProtocol
from wsext.sdk.plugins import set_default_plugins


@pytest.fixture
def fresh_plugins() -> Iterator[None]:
    """What a configuration allows is everyone's in the process; not so in other tests."""
    yield
    set_default_plugins(None)


@pytest.mark.usefixtures("fresh_plugins")
async def test_the_configuration_file_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WSEXT_CONFIG", str(tmp_path / "mine.toml"))
    monkeypatch.setenv("WSEXT_PLUGINS", "permessage-deflate,permessage-zstd,permessage-checksum")
    (tmp_path / "mine.toml").write_text(
        "[extensions]\npermessage-checksum = false\n"
        "[extensions.permessage-deflate]\nserver_no_context_takeover = true\n"
        "[websocket]\nmax_message_size = 1048576\nincoming_capacity = 7\nclose_timeout = 3\n"
    )
    ws = WebSocketProtocol.using(*settings_from_environment())
    assert {item.name for item in ws.settings.installed.items} == {
        "permessage-deflate",
        "permessage-zstd",
    }
    app = Recorder()
    async with (
        running(app, ws=ws, ws_max_queue=9) as server,
        foreign_connect(server.ws) as client,
    ):
        (deflate,) = client.protocol.extensions
        assert deflate.remote_no_context_takeover  # type: ignore[attr-defined]
    options = app.scope["extensions"]["wsext"]["session"].options
    assert options.max_message_size == 1 << 20  # set, though it is wsext's default
    assert options.incoming_capacity == 9  # uvicorn's option was changed
    assert (options.close_timeout, options.ping_interval) == (3, 20)


@pytest.mark.usefixtures("fresh_plugins")
def test_a_mistake_in_the_configuration_stops_uvicorn_at_its_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "wsext.toml").write_text("[extensions.permessage-deflate]\nlevle = 9\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WSEXT_PLUGINS", "permessage-deflate")
    monkeypatch.delitem(vars(uvicorn_module()), "Protocol", raising=False)
    config = uvicorn.Config(echo, ws="wsext.integrations.uvicorn:Protocol", log_config=None)
    with pytest.raises(OptionError, match=r"permessage-deflate: levle: .*did you mean 'level'"):
        config.load()


def uvicorn_module() -> Any:
    import wsext.integrations.uvicorn as module

    return module
