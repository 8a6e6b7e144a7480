"""Code that waits, wherever it runs, talks to `wsext serve` with deflate and with zstd."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Thread
from urllib.request import urlopen

import pytest
from flask import Flask, request
from werkzeug.serving import make_server

from tests.e2e.processes import python, serving
from tests.sync.served import EXTENSIONS
from wsext import sync

SCRIPT = """
from wsext import sync
with sync.connect({url!r}, extensions=[{extension!r}]) as session:
    session.send({text!r})
    assert session.extension({extension!r}) and session.receive() == {text!r}
"""

TEXT = "hello " * 100


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving("--ext", "permessage-zstd", env=dict(os.environ)) as served:
        yield f"{served.ws}/echo"


def echoed(url: str, extension: str) -> str | bytes:
    with sync.connect(url, extensions=[extension]) as session:
        session.send(TEXT)
        answer = session.receive(timeout=10)
        assert session.extension(extension)
        assert session.stats.wire_bytes_in < len(TEXT) / 2
        return answer


def in_a_running_loop(url: str, extension: str) -> str | bytes:
    """As a notebook runs its cells."""

    async def cell() -> str | bytes:
        return echoed(url, extension)

    return asyncio.run(cell())


def in_threads(url: str, extension: str) -> str | bytes:
    with ThreadPoolExecutor(4) as pool:
        (answer,) = set(pool.map(lambda _: echoed(url, extension), range(8)))
    return answer


def in_a_view(url: str, extension: str) -> str | bytes:
    site = Flask(__name__)

    @site.get("/")
    def view() -> str | bytes:
        return echoed(url, request.args["extension"])

    with make_server("127.0.0.1", 0, site, threaded=True) as server:
        Thread(target=server.serve_forever).start()
        with urlopen(f"http://127.0.0.1:{server.port}/?extension={extension}") as answer:
            server.shutdown()
            return str(answer.read(), "utf-8")


@pytest.mark.parametrize("extension", EXTENSIONS)
@pytest.mark.parametrize("where", [in_a_running_loop, in_threads, in_a_view])
def test_in_this_process(
    url: str, extension: str, where: Callable[[str, str], str | bytes]
) -> None:
    assert where(url, extension) == TEXT


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_a_script(url: str, extension: str, tmp_path: Path) -> None:
    path = tmp_path / "script.py"
    path.write_text(SCRIPT.format(url=url, extension=extension, text=TEXT))
    done = python(path)
    assert (done.returncode, done.stderr) == (0, "")
