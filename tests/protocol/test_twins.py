"""The compiled codec and the Python source that it is made from do the same."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsext import ProtocolError
from wsext.protocol import _mask_py, _wire_py, wire


def compiled(name: str) -> ModuleType:
    try:
        return importlib.import_module(f"wsext.protocol.{name}")
    except ImportError:
        if os.environ.get("CI"):
            pytest.fail("the codec is not compiled, and CI must test it")
        pytest.skip("the codec is not compiled")


def outcome(module: Any, chunks: list[bytes], options: dict[str, Any]) -> Any:
    """What a parser makes of a stream: frames, and the error that ends it."""
    parser = module.FrameParser(**options)
    frames: list[Any] = []
    error = None
    try:
        for chunk in chunks:
            parser.feed(chunk, frames)
    except ProtocolError as failure:
        error = (type(failure), failure.code, failure.reason)
    return [(f.opcode, bytes(f.payload), f.fin, int(f.rsv)) for f in frames], error


options = st.fixed_dictionaries(
    {
        "masked": st.booleans(),
        "max_size": st.sampled_from([10, 125, 70_000, 1 << 31]),
        "rsv_first": st.sampled_from([0, 0x40, 0x70]),
        "rsv_rest": st.sampled_from([0, 0x40]),
        "rsv_control": st.sampled_from([0, 0x10]),
        "opcodes": st.sampled_from([frozenset(), frozenset({3, 11})]),
    }
)


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """Bytes that are nearly frames."""
    out = b""
    for _ in range(draw(st.integers(0, 5))):
        first = draw(st.sampled_from([0x81, 0x82, 0x01, 0x00, 0x80, 0x88, 0x89, 0xC1, 0x83, 0xFF]))
        size = draw(st.sampled_from([0, 1, 5, 125, 126, 300, 1030, 65535, 65536]))
        declared = draw(st.sampled_from([size, size, size, size + 1, 1 << 62, 1 << 63]))
        masked = draw(st.booleans())
        bit = 0x80 if masked else 0
        if declared < 126 and draw(st.booleans()):
            head = bytes([first, bit | declared])
        elif declared < 65536:
            head = bytes([first, bit | 126]) + declared.to_bytes(2, "big")
        else:
            head = bytes([first, bit | 127]) + declared.to_bytes(8, "big")
        out += head + (draw(st.binary(min_size=4, max_size=4)) if masked else b"")
        out += bytes(at & 0xFF for at in range(size))
    return out


@given(stream=st.one_of(streams(), st.binary(max_size=80)), options=options, data=st.data())
def test_both_parsers_do_the_same(stream: bytes, options: dict[str, Any], data: Any) -> None:
    chunks, at = [], 0
    while at < len(stream):
        step = data.draw(st.one_of(st.integers(1, 9), st.integers(1, 70_000)))
        chunks.append(stream[at : at + step])
        at += step
    assert outcome(compiled("_wire_c"), chunks, options) == outcome(_wire_py, chunks, options)


@given(
    opcode=st.integers(0, 15),
    size=st.sampled_from([0, 1, 125, 126, 65535, 65536, 1 << 40]),
    fin=st.booleans(),
    rsv=st.sampled_from([0, 0x40, 0x70]),
    masked=st.booleans(),
)
def test_both_write_the_same_headers(
    opcode: int, size: int, fin: bool, rsv: int, masked: bool
) -> None:
    c = compiled("_wire_c").frame_header(opcode, size, fin, rsv, masked)
    assert c == _wire_py.frame_header(opcode, size, fin, rsv, masked)


@given(data=st.binary(max_size=2000), key=st.binary(min_size=4, max_size=4), pad=st.integers(0, 9))
def test_both_mask_alike(data: bytes, key: bytes, pad: int) -> None:
    c = compiled("_mask_c")
    assert c.mask(data, key) == _mask_py.mask(data, key)
    around = bytes(pad) + key + data + b"after"
    expected = _mask_py.unmask(around, pad + 4, len(data), pad)
    assert c.unmask(around, pad + 4, len(data), pad) == expected == _mask_py.mask(data, key)


def test_the_leaf_reads_nothing_outside_of_the_data() -> None:
    c = compiled("_mask_c")
    for at, size, key_at in ((-1, 1, 0), (0, 9, 0), (0, -1, 0), (0, 1, 5), (9, 1, 0)):
        with pytest.raises(IndexError):
            c.unmask(b"12345678", at, size, key_at)
    with pytest.raises(ValueError, match="four"):
        c.mask(b"x", b"123")


@pytest.mark.parametrize("choice", ["python", "c"])
def test_the_environment_chooses(choice: str) -> None:
    if choice == "c":
        compiled("_wire_c")
    code = "from wsext.protocol import wire; print(wire.CODEC, wire.FrameParser.__module__)"
    env = {**os.environ, "WSEXT_CODEC": choice}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
    )
    suffix = "c" if choice == "c" else "py"
    assert done.stdout.split() == [choice, f"wsext.protocol._wire_{suffix}"]


def test_a_wrong_choice_says_what_is_right() -> None:
    env = {**os.environ, "WSEXT_CODEC": "fast"}
    done = subprocess.run(
        [sys.executable, "-c", "import wsext.protocol.wire"],
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "WSEXT_CODEC is auto, c or python, not 'fast'" in done.stderr


def test_version_says_which_is_live() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "wsext", "--version"], capture_output=True, text=True, check=True
    )
    assert f"codec: {wire.CODEC}" in done.stdout
