"""permessage-meta: metadata beside a message, shared by applications and other extensions."""

from wsext_meta.envelope import Value, pack, unpack
from wsext_meta.extension import MetaCodec, MetaOptions, PermessageMeta

__all__ = ["MetaCodec", "MetaOptions", "PermessageMeta", "Value", "pack", "unpack"]
