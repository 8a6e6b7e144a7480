"""A web view without an event loop that speaks in the rooms of examples/rooms.py.

wsext serve rooms:app --app-dir examples --backplane redis://localhost
python examples/web_view.py redis://localhost 8000
curl -d "tea is ready" http://127.0.0.1:8000/tea
"""

import sys
from collections.abc import Iterable
from wsgiref.simple_server import make_server
from wsgiref.types import StartResponse, WSGIEnvironment

from wsext import BlockingPublisher, OutcomeUnknown, PublishError

publisher = BlockingPublisher(sys.argv[1] if len(sys.argv) > 1 else "redis://localhost")


def view(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """POST a text to /ROOM; with Flask or Django it is one line, too."""
    room = environ["PATH_INFO"].strip("/")
    text = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)).decode()
    try:
        publisher.publish(room, text)
        status, answer = "200 OK", f"{len(publisher.presence(room))} people get it\n"
    except OutcomeUnknown:
        status, answer = "504 Gateway Timeout", "perhaps it was published\n"
    except PublishError:
        status, answer = "503 Service Unavailable", "nobody gets it; try again\n"
    start_response(status, [("Content-Type", "text/plain")])
    return [answer.encode()]


if __name__ == "__main__":
    with make_server("127.0.0.1", int(sys.argv[2]) if len(sys.argv) > 2 else 8000, view) as server:
        print(f"http://127.0.0.1:{server.server_port}", flush=True)
        server.serve_forever()
