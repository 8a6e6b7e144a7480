"""permessage-seal: authenticated encryption of every message, with keys that your code provides."""

from wsext_seal.codec import SealCodec
from wsext_seal.extension import KeyProvider, PermessageSeal, SealOptions

__all__ = ["KeyProvider", "PermessageSeal", "SealCodec", "SealOptions"]
