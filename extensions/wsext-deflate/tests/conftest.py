"""Every test of the codec runs on every backend."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
from wsext_deflate import DeflateCodec
from wsext_deflate.backends import installed
from wsext_deflate.codec import LiveCompressors, Settings

NAMES = ("zlib", "zlib-ng", "isal")

# Without the optional libraries there is less to test, but not where everything is tested.
BACKENDS = [name for name in NAMES if installed(name) is not None or os.environ.get("CI")]


@pytest.fixture(params=BACKENDS, scope="session")
def backend(request: pytest.FixtureRequest) -> str:
    """The name of each backend in turn."""
    assert installed(request.param) is not None, f"{request.param} is missing"
    return str(request.param)


@pytest.fixture(scope="session")
def codec(backend: str) -> Callable[..., DeflateCodec]:
    """Makes codecs on the backend, from fields of `Settings`; ``live`` bounds the compressors."""

    def make(live: LiveCompressors | None = None, **settings: Any) -> DeflateCodec:
        return DeflateCodec(Settings(**{"backend": backend, **settings}), live)

    return make
