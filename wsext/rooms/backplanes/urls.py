"""Which backplane a URL names: the scheme chooses.

    memory://            this process alone; the default
    redis://host:6379/0  a Redis server; also rediss:// and unix://
    nats://host:4222     a NATS server with JetStream; also tls://

Other schemes come from plugins through the hook ``wsext_backplanes``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TypeAlias

from wsext.errors import OptionError, nearest
from wsext.escape import safe_url
from wsext.rooms.backplanes.contract import Backplane

__all__ = ["BackplaneFactory", "make_backplane"]

#: Makes a backplane of a URL.
BackplaneFactory: TypeAlias = Callable[[str], Backplane]

_BUILT_IN = {
    "memory": ("wsext.rooms.backplanes.memory", "MemoryBackplane", ""),
    "redis": ("wsext.rooms.backplanes.redis", "redis_backplane", "redis"),
    "rediss": ("wsext.rooms.backplanes.redis", "redis_backplane", "redis"),
    "unix": ("wsext.rooms.backplanes.redis", "redis_backplane", "redis"),
    "nats": ("wsext.rooms.backplanes.nats", "nats_backplane", "nats"),
    "tls": ("wsext.rooms.backplanes.nats", "nats_backplane", "nats"),
}


def make_backplane(url: str, others: Callable[[], Mapping[str, BackplaneFactory]]) -> Backplane:
    """The backplane that a URL names.

    Args:
        url: With the scheme that chooses.
        others: What plugins bring, by scheme; asked when the scheme is none of the built-in ones.

    Raises:
        OptionError: If nobody knows the scheme, its package is not installed, or the URL is wrong.
    """
    scheme = url.partition(":")[0].lower()
    if scheme in _BUILT_IN:
        factory = _built_in(scheme)
    else:
        brought = others()
        if scheme not in brought:
            known = sorted({*_BUILT_IN, *brought})
            problem = f"no backplane for {scheme!r}; known: {', '.join(known)}"
            raise OptionError("server", "backplane", problem, nearest(scheme, known))
        factory = brought[scheme]
    try:
        return factory(url)
    except OptionError:
        raise
    except ValueError as error:  # its text may hold the password
        problem = f"{safe_url(url)} cannot be used"
        raise OptionError("server", "backplane", problem) from error


def _built_in(scheme: str) -> BackplaneFactory:
    module, name, extra = _BUILT_IN[scheme]
    try:
        factory: BackplaneFactory = getattr(import_module(module), name)
    except ImportError as error:
        problem = f"{scheme}:// needs a package that is missing: pip install 'wsext[{extra}]'"
        raise OptionError("server", "backplane", problem) from error
    return factory
