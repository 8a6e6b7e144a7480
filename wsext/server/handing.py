"""How does a connection get to the worker that has to answer it?

An extension may know of an offer that another worker of this server has to answer it
(`Extension.worker_of`), for example because that one has the session that is to be resumed. The
worker that has read the request then answers nothing. It hands over the connection and a note of
what it has read, so that the other one decides about the handshake as about any: its guards are
asked, and its limits hold. A connection is handed over once. If the other one shuts down and does
not have what the extension looked for, it hands the connection on, once.
"""

from __future__ import annotations

import io
import os
import re
import socket
from collections.abc import Sequence
from tempfile import TemporaryFile
from typing import Any

import msgspec

from wsext.errors import NegotiationError
from wsext.protocol.boundary import FAULTS, report
from wsext.protocol.http import Request
from wsext.protocol.negotiation import parse_offers
from wsext.sdk.extension import Extension

__all__ = ["Begun", "ForOperator", "Note", "find_worker"]

#: The beginning of a request for what one worker has on the admin port, and its longest one.
_PAGE = re.compile(rb"(?:GET|HEAD) /[^/? ]+/(\d{1,4})/")
_HEAD = 64


class Note(msgspec.Struct):
    """What a worker has found out about a connection that it hands over.

    Attributes:
        data: What it has read: the request, as HTTP/1.1 has it, and what came behind it.
        peername: The peer's address, as a transport has it; ``None`` if it has none.
        secure: Whether the connection came over TLS.
        returned: Whether it was handed over twice.
    """

    data: bytes
    peername: tuple[Any, ...] | None
    secure: bool
    returned: bool = False

    def write(self) -> io.FileIO:
        """The note as a file without a name."""
        file = TemporaryFile(buffering=0)  # noqa: SIM115  # for who asks
        file.write(msgspec.msgpack.encode(self))
        assert isinstance(file, io.FileIO)
        return file

    @classmethod
    def take(cls, descriptor: int) -> Note:
        """The note in a file, which is closed."""
        try:
            size = os.fstat(descriptor).st_size
            return msgspec.msgpack.decode(os.pread(descriptor, size, 0), type=cls)
        finally:
            os.close(descriptor)


class Begun(socket.socket):
    """A connection that a worker hands over, with its note.

    Args:
        connection: The connection's descriptor.
        note: The descriptor of the file with the note.
    """

    __slots__ = ("note",)

    def __init__(self, connection: int, note: int) -> None:
        super().__init__(fileno=connection)
        self.note = io.FileIO(note, "rb+")

    def close(self) -> None:
        super().close()
        self.note.close()


class ForOperator(socket.socket):
    """A connection to the admin port."""

    __slots__ = ()

    @property
    def worker(self) -> int | None:
        """Whose page is asked for, if it has come already: of ``/_wsext/2/`` the second worker's;
        ``None`` if any may answer."""
        try:
            found = _PAGE.match(self.recv(_HEAD, socket.MSG_PEEK | socket.MSG_DONTWAIT))
        except OSError:
            return None
        return int(found[1]) if found else None


def find_worker(request: Request, extensions: Sequence[Extension], max_offers: int) -> str:
    """The worker that has to answer a handshake, as the first extension says that knows it; empty
    if anyone may.

    An extension that fails is logged, and knows nothing.
    """
    try:
        offers = parse_offers(request.headers.get_all("Sec-WebSocket-Extensions"), max_offers)
    except NegotiationError:
        return ""  # whoever answers will say so
    known = {extension.name: extension for extension in extensions}
    for offer in offers:
        extension = known.get(offer.name)
        if extension is None or offer.problem is not None:
            continue
        try:
            worker = extension.worker_of(offer.params)
            if not isinstance(worker, str):
                raise TypeError(f"returned {worker!r}, not a worker's name")
        except NegotiationError:
            continue
        except FAULTS as error:
            report(f"{extension.name}.worker_of()", error, kind=type(extension), where=request.path)
            continue
        if worker:
            return worker
    return ""
