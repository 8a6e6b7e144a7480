"""An app that answers each message with the same."""

from tests.server.apps import echo_app

__all__ = ["app"]

app = echo_app(handshake_timeout=20)
