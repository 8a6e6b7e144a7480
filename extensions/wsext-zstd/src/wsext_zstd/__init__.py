"""permessage-zstd: compression with zstandard, and with trained dictionaries."""

from wsext_zstd.codec import ZstdCodec
from wsext_zstd.dictionary import Dictionary
from wsext_zstd.extension import PermessageZstd, ZstdOptions

__all__ = ["Dictionary", "PermessageZstd", "ZstdCodec", "ZstdOptions"]
