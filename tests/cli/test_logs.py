"""What ``wsext serve`` says, as text and wholly as JSON."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.e2e.processes import ENV, wsext

#: Says all that a process may say.
NOISY = """
import logging, threading, warnings
from wsext import App, hookimpl

warnings.warn("an old thing")
logging.getLogger("mine").warning("%d", "does not fit")
app = App()

class Dropped:
    def __del__(self):
        raise OSError("unraisable")

def fail():
    raise ValueError("in a thread")

class Noise:
    @hookimpl
    def wsext_routes(self, app):
        threading.Thread(target=fail).start()
        Dropped()

app.install(Noise())
"""


def said(*args: str, cwd: Path) -> list[dict[str, Any]]:
    """All lines of a process, which have to be JSON; it is ended when it serves."""
    command = [sys.executable, "-m", "wsext", "serve", "--log-format", "json", *args]
    with subprocess.Popen(
        command, cwd=cwd, env=ENV, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        process.terminate()
        out, err = process.communicate(timeout=60)
    return [json.loads(line) for line in (first + out + err).splitlines()]


def test_every_line_of_a_process_is_json(tmp_path: Path) -> None:
    (tmp_path / "noisy.py").write_text(NOISY)
    lines = said("noisy:app", "--port", "0", cwd=tmp_path)
    for line in lines:
        assert {"time", "level", "logger", "process", "message"} <= set(line)
    first = lines[0]
    assert first["message"].startswith("wsext ")
    assert first["url"].startswith("http://127.0.0.1:")
    assert first["extensions"] == ["permessage-deflate"]
    found = {(line["level"], line["message"].split("\\n")[0]) for line in lines[1:]}
    assert ("warning", "%d ('does not fit',)") in found
    assert any("UserWarning: an old thing" in message for _, message in found)
    assert ("info", "draining 0 sessions") in found
    errors = [line["exception"] for line in lines if line["message"] == "uncaught exception"]
    assert {error.splitlines()[-1] for error in errors} == {
        "ValueError: in a thread",
        "OSError: unraisable",
    }


def test_why_it_does_not_begin_is_json_too(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("raise RuntimeError('broken')\n")
    (line,) = said("broken:app", cwd=tmp_path)
    assert (line["level"], line["message"]) == ("critical", "uncaught exception")
    assert line["exception"].endswith("RuntimeError: broken")
    env = {**ENV, "WSEXT_SERVE__LOG_FORMAT": "json"}
    done = wsext("serve", "--port", "x", "--set", "server.backlog=0", env=env, cwd=tmp_path)
    problems = [json.loads(text)["message"].split(":")[:2] for text in done.stderr.splitlines()]
    assert (done.returncode, done.stdout) == (2, "")
    assert problems == [["server", " backlog"], ["serve", " port"]]
