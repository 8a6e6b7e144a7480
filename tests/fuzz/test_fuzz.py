"""The targets on the corpus, and on what Hypothesis makes up."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.fuzz.targets import TARGETS

CORPUS = Path(__file__).parent / "corpus"


@pytest.mark.parametrize("name", TARGETS)
def test_the_corpus_finds_nothing(name: str) -> None:
    inputs = sorted((CORPUS / name).iterdir())
    assert len(inputs) >= 10
    for path in inputs:
        TARGETS[name](path.read_bytes())


#: Pieces that get past the first check more often than bytes by chance.
TOKENS = [
    b"GET / HTTP/1.1\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\n",
    b"Host: localhost\r\n",
    b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n",
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
    b"Sec-WebSocket-Extensions: ",
    b"Sec-WebSocket-Protocol: chat\r\n",
    b"Content-Length: 5\r\n",
    b"permessage-deflate",
    b"permessage-zstd",
    b"; server_max_window_bits=12",
    b"; client_max_window_bits",
    b'; x="1"',
    b", ",
    b"\r\n",
    b"\x81\x85abcd",
    b"\x82\xfe\x04\x00abcd",
    b"\x01\x80abcd",
    b"\x80\x80abcd",
    b"\x88\x82abcd\x62\x8a",
    b"\x89\x00",
    b"\xc1\x87abcd",
    b"\xf2\x48\xcd\xc9\xc9\x07\x00",
    b"\x00\x00\xff\xff",
]
hostile = st.lists(st.one_of(st.sampled_from(TOKENS), st.binary(max_size=40)), max_size=12).map(
    b"".join
)


@pytest.mark.parametrize("name", TARGETS)
@settings(deadline=None)
@given(choice=st.integers(0, 255), data=hostile)
@example(choice=0, data=b"")
def test_nothing_that_is_made_up_finds_anything(name: str, choice: int, data: bytes) -> None:
    TARGETS[name](bytes([choice]) + data)
