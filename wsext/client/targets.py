"""Where a URL points to: host and port, or a Unix socket, and who asks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from urllib.parse import unquote, urljoin, urlsplit

from websockets.exceptions import InvalidURI
from websockets.headers import build_authorization_basic
from websockets.uri import parse_uri

__all__ = ["Target"]


@dataclass(frozen=True, slots=True)
class Target:
    """An address that a client connects to (RFC 6455 §3).

    Attributes:
        secure: Whether TLS is spoken.
        host: The host's name or address.
        port: The TCP port.
        resource: Path and query.
        uds: The path of a Unix socket that is used instead of host and port.
        authorization: The ``Authorization`` header of a URL with user name and password.
    """

    secure: bool
    host: str
    port: int
    resource: str
    uds: str | None = None
    authorization: str | None = None

    @classmethod
    def parse(cls, url: str) -> Target:
        """The target of ``ws://…``, ``wss://…`` or ``ws+unix:/path/to/socket:/resource``.

        Raises:
            ValueError: If it is no such URL. The URL is not shown: it may have a password.
        """
        if url.startswith("ws+unix:"):
            path, _, resource = url.removeprefix("ws+unix:").partition(":/")
            if not path:
                raise ValueError("a Unix socket's address is ws+unix:/path/to/socket:/resource")
            return cls(False, "localhost", 80, "/" + resource, uds=path)
        if " " in url or not url.isprintable():  # the parser would drop some of them
            raise ValueError("the URL has a blank or a control character: percent-encode it")
        try:
            place = urlsplit(url).netloc
            user_info, at, address = place.rpartition("@")
            uri = parse_uri(url.replace(place, address, 1))
            user, *password = (unquote(part, errors="strict") for part in user_info.split(":", 1))
        except InvalidURI as error:
            raise ValueError(
                f"not a URL: {error.msg}; use ws://host:port/path or wss://…"
            ) from None
        except ValueError:
            raise ValueError("the URL's host, port, user name or password is malformed") from None
        authorization = None
        if at:
            if not password:
                raise ValueError("the URL has a user name and no password")
            if ":" in user:
                raise ValueError("the user name in the URL has a colon (RFC 7617 section 2)")
            authorization = build_authorization_basic(user, *password)
        return cls(uri.secure, uri.host, uri.port, uri.resource_name, authorization=authorization)

    @property
    def host_header(self) -> str:
        """The ``Host`` header: without the port if it is the scheme's own."""
        return self.authority.removesuffix(":443" if self.secure else ":80")

    @property
    def authority(self) -> str:
        """Host and port, as a proxy is asked for them."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def origin(self) -> tuple[bool, str, int, str | None]:
        """Whose credentials are whose: scheme, host and port (RFC 6454 §4), or the Unix socket."""
        return self.secure, self.host.lower(), self.port, self.uds

    @property
    def url(self) -> str:
        """The address as a URL, without user name and password."""
        if self.uds is not None:
            return f"ws+unix:{self.uds}:{self.resource}"
        return f"{'wss' if self.secure else 'ws'}://{self.host_header}{self.resource}"

    def redirected(self, location: str, hosts: tuple[str, ...]) -> Target | None:
        """Where a redirect leads (RFC 9110 §10.2.2), or ``None`` if it may not be followed.

        Args:
            location: The value of ``Location``.
            hosts: Names that may be followed to, beside this target's own host; ``*.example.com``
                stands for all names below example.com.
        """
        if self.uds is not None or not location:
            return None
        try:
            scheme, _, rest = urljoin(self.url.replace("ws", "http", 1), location).partition("://")
            new = Target.parse(f"{scheme.lower().replace('http', 'ws', 1)}://{rest}")
        except ValueError:
            return None
        name = new.host.lower()
        is_welcome = name == self.host.lower() or any(
            name.endswith(host[1:]) if host.startswith("*.") else name == host for host in hosts
        )
        if not is_welcome or (self.secure and not new.secure):
            return None
        return replace(new, authorization=None)
