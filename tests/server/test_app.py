"""`App.run`: the application serves itself."""

from __future__ import annotations

from typing import Any

import pytest

from wsext import App
from wsext.app.application import Application
from wsext.server import app as module


def test_run_serves_until_a_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []
    monkeypatch.setattr(
        module, "run_until_signal", lambda *args, **more: calls.append((args, more))
    )
    app = App()
    app.run(port=1, uds="/socket")
    assert calls == [((app, "127.0.0.1", 1), {"uds": "/socket"})]
    assert isinstance(app, Application)
    assert App.__doc__ == Application.__doc__
