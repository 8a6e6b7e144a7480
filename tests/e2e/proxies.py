"""Other people's reverse proxies, with the configuration of docs/deploy."""

from __future__ import annotations

import os
import re
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

import trustme

from tests.brokers import free_port
from tests.tools import find

__all__ = ["KINDS", "Proxy", "proxying"]

DEPLOY = Path(__file__).parents[2] / "docs" / "deploy"

KINDS = ("nginx", "caddy")

#: What nginx wants to know beside the file, here and not in the folders of the system.
NGINX = """
daemon off;
{user}
pid {folder}/nginx.pid;
worker_processes 1;
error_log {folder}/error.log warn;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/site.conf;
}}
"""


@cache
def _authority() -> trustme.CA:
    """One for all: a client reads once which ones the system trusts."""
    return trustme.CA()


class Proxy:
    """A proxy that has the certificate, in front of a server without one.

    Attributes:
        authority: The file of who has made the certificate.
        port: Where it listens.
    """

    def __init__(self, kind: str, folder: Path, upstream: str, changes: dict[str, str]) -> None:
        self.port = free_port()
        self.authority = folder / "authority.pem"
        self._folder = folder
        authority = _authority()
        made = authority.issue_cert("localhost", "127.0.0.1")
        authority.cert_pem.write_to_path(self.authority)
        key, chain = folder / "key.pem", folder / "chain.pem"
        made.private_key_pem.write_to_path(key)
        for blob in made.cert_chain_pems:
            blob.write_to_path(chain, append=True)
        if kind == "nginx":
            site = (DEPLOY / "nginx.conf").read_text()
            changes = {
                "listen 443 ssl": f"listen 127.0.0.1:{self.port} ssl",
                "/etc/ssl/chat.example.pem": str(chain),
                "/etc/ssl/private/chat.example.key": str(key),
                "proxy_pass http://127.0.0.1:8765": f"proxy_pass {upstream}",
                **changes,
            }
            (folder / "site.conf").write_text(replaced(site, changes))
            # A worker that root has started must be able to use the folders of the test.
            user = "user root;" if os.geteuid() == 0 else ""
            (folder / "nginx.conf").write_text(NGINX.format(folder=folder, user=user))
            command = [find("nginx"), "-c", str(folder / "nginx.conf"), "-p", str(folder)]
            command += ["-e", str(folder / "error.log")]
        else:
            upstream = upstream.removeprefix("http://").replace("unix:", "unix/")
            changes = {
                "chat.example {": f"localhost:{self.port} {{\n\ttls {chain} {key}",
                "reverse_proxy 127.0.0.1:8765": f"reverse_proxy {upstream}",
                **changes,
            }
            site = replaced((DEPLOY / "Caddyfile").read_text(), changes)
            site = "{\n\tadmin off\n\tauto_https disable_redirects\n}\n" + site
            (folder / "Caddyfile").write_text(site)
            command = [find("caddy"), "run", "--config", str(folder / "Caddyfile")]
        env = {**os.environ, "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
        with (folder / "log").open("wb") as log:
            self.process = subprocess.Popen(command, env=env, stdout=log, stderr=log)
        until = time.monotonic() + 15
        while not self._answers():
            assert self.process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < until, f"{kind} does not answer"
            time.sleep(0.02)

    def _answers(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
            return True
        return False

    @property
    def workers(self) -> list[int]:
        """nginx: the processes that have the connections, the oldest first."""
        pid = self.process.pid
        return sorted(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))

    def reload(self) -> None:
        """nginx: read the configuration again. New workers take new connections; the old ones
        keep those that they have."""
        self.process.send_signal(signal.SIGHUP)

    def kill_workers(self) -> None:
        """nginx: drop every connection. The master starts another worker."""
        for pid in self.workers:
            os.kill(pid, signal.SIGKILL)

    def trust(self) -> ssl.SSLContext:
        """A context that trusts its certificate."""
        return ssl.create_default_context(cafile=self.authority)

    def errors(self) -> str:
        """What it has complained of."""
        log = self._folder / "error.log"
        return log.read_text() if log.exists() else ""


def replaced(text: str, changes: dict[str, str]) -> str:
    """A configuration with other places in it; each has to be there once."""
    for old, new in changes.items():
        assert len(re.findall(rf"^[^#\n]*{re.escape(old)}", text, re.MULTILINE)) == 1, old
        text = re.sub(
            rf"^([^#\n]*){re.escape(old)}", lambda m, new=new: m[1] + new, text, flags=re.M
        )
    return text


@contextmanager
def proxying(
    kind: str, folder: Path, upstream: str, changes: dict[str, str] | None = None
) -> Iterator[Proxy]:
    """A proxy in front of a server, until the block ends.

    Args:
        kind: One of `KINDS`.
        folder: Where it may write; nobody else does.
        upstream: ``http://127.0.0.1:PORT`` or ``http://unix:PATH``.
        changes: What is written otherwise in its configuration.
    """
    proxy = Proxy(kind, folder, upstream, changes or {})
    try:
        yield proxy
    finally:
        proxy.process.send_signal(signal.SIGTERM)
        proxy.process.wait(15)
