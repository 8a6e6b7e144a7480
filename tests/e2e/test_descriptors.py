"""A server with few file descriptors, and many more clients.

``SHOW=full`` tries every event loop, plain and with TLS, alone and with workers, as
``ulimit -n 256`` and 1,000 clients.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.e2e.processes import ENV, Served, serving
from tests.raw import REQUEST, masked
from tests.waiting import until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it looks into /proc")

ROOT = str(Path(__file__).parent.parent.parent)
FULL = os.environ.get("SHOW") == "full"
LIMIT, CLIENTS = 256, 1000 if FULL else 400
CASES = [
    (without, secure, workers)
    for without in ("", "uvloop", "aiofastnet", "uvloop aiofastnet")
    for secure in (False, True)
    for workers in (0, 2)
    if FULL or (without, secure, workers) == ("uvloop", True, 2)
]

Client = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def few_descriptors() -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_NOFILE, (LIMIT, LIMIT))


def family(pid: int) -> list[int]:
    """A process and its children."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(number for child in children for number in family(int(child)))]


def descriptors(served: Served) -> int:
    return max(len(os.listdir(f"/proc/{pid}/fd")) for pid in family(served.process.pid))


def cpu(served: Served) -> float:
    """Seconds of work by now."""
    stats = [
        Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        for pid in family(served.process.pid)
    ]
    return sum(int(stat[11]) + int(stat[12]) for stat in stats) / os.sysconf("SC_CLK_TCK")


async def come(served: Served, tls: ssl.SSLContext | None) -> tuple[str, Client | None]:
    """How a client is answered, and the client if it is served."""
    try:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", served.port, ssl=tls, server_hostname="localhost" if tls else None
        )
    except ConnectionError:
        return "closed", None
    try:
        writer.write(REQUEST.format(path="/", more="").encode())
        status = (await reader.readuntil(b"\r\n\r\n")).split()[1].decode()
    except (ConnectionError, asyncio.IncompleteReadError):
        status = "closed"
    if status == "101":
        return status, (reader, writer)
    writer.transport.abort()
    return status, None


@pytest.mark.parametrize(("without", "secure", "workers"), CASES)
async def test_as_many_are_served_as_there_are_descriptors_and_the_others_are_refused(
    tmp_path: Path, without: str, secure: bool, workers: int
) -> None:
    for module in without.split():
        (tmp_path / f"{module}.py").write_text("raise ImportError")
    env = {**ENV, "PYTHONPATH": os.pathsep.join([str(tmp_path), ROOT])}
    options = ["--app-dir", ROOT]
    trusting = None
    if secure:
        authority = trustme.CA()
        both = tmp_path / "both.pem"
        authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(both)
        options += ["--ssl-cert", str(both)]
        trusting = ssl.create_default_context()
        authority.configure_trust(trusting)
    if workers:
        options += ["--workers", str(workers)]
    popen: dict[str, Any] = {"preexec_fn": few_descriptors}
    log = tmp_path / "log"
    with (
        log.open("w") as stderr,
        serving("tests.e2e.echo:app", *options, env=env, stderr=stderr, **popen) as served,
    ):
        answers = await asyncio.gather(*(come(served, trusting) for _ in range(CLIENTS)))
        count = Counter(answer for answer, _ in answers)
        clients = [client for _, client in answers if client is not None]
        places = 156 * (workers or 1)
        assert 0.9 * places <= count["101"] <= places  # one worker may be given more than another
        assert count["503"] + count["closed"] == CLIENTS - count["101"]
        assert descriptors(served) < LIMIT
        for _, writer in clients:  # they are really served
            writer.write(masked(1, b"hi"))
        for reader, _ in clients:
            assert await reader.readexactly(4) == b"\x81\x02hi"
        if FULL:
            before = cpu(served)
            await asyncio.sleep(5)  # what an idle server does in this time is what is measured
            assert (cpu(served) - before) / 5 <= 0.01
        for _, writer in clients:
            writer.transport.abort()
        start = time.monotonic()

        async def served_again() -> bool:
            answer, client = await come(served, trusting)
            if client is not None:
                client[1].transport.abort()
            return answer == "101"

        await until(served_again)
        assert time.monotonic() - start < 3
    lines = [line for line in log.read_text().splitlines() if "WARNING" in line or "ERROR" in line]
    assert len(lines) <= 2 * (workers or 1) + 1, lines  # the limit, and that clients are refused
    assert "Traceback" not in log.read_text()
