"""permessage-deflate (RFC 7692): compression of messages, negotiated per connection."""

from wsext_deflate.codec import DeflateCodec
from wsext_deflate.extension import DeflateOptions, PermessageDeflate

__all__ = ["DeflateCodec", "DeflateOptions", "PermessageDeflate"]
