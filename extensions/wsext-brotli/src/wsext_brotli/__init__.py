"""permessage-brotli: compression of messages with brotli (RFC 7932), negotiated per connection."""

from wsext_brotli.codec import BrotliCodec, Settings
from wsext_brotli.extension import BrotliOptions, PermessageBrotli

__all__ = ["BrotliCodec", "BrotliOptions", "PermessageBrotli", "Settings"]
