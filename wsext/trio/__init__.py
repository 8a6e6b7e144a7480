"""wsext on trio: `connect` and `serve`, with sessions that are used as those on asyncio are.

It is a thin front. Frames, negotiation, extensions, options, errors and the decision about a
handshake are those of the other fronts; here, there is only what waits.

waiting.py     what one task waits for: promises, timers, deadlines
inbox.py       what was received and waits for the program
outflow.py     what the program sends, on its way to the connection
link.py        one connection on one stream: reading, writing, closing
life.py        a session from its beginning to its end
session.py     the session, as a program sees it
ports.py       what these need of each other
streams.py     what a stream knows, and is told before it is a session's
connecting.py  the client
answering.py   one connection of a server: the request, its answer, the session
serving.py     the server
"""

from __future__ import annotations

try:
    import trio as _trio  # noqa: F401
except ModuleNotFoundError as error:
    if error.name != "trio":
        raise
    raise ModuleNotFoundError(
        "wsext.trio needs the package trio: pip install 'wsext[trio]'", name="trio"
    ) from error

from wsext.trio.connecting import connect as connect
from wsext.trio.serving import Server as Server
from wsext.trio.serving import serve as serve
from wsext.trio.session import Session as Session

__all__ = ["Server", "Session", "connect", "serve"]
