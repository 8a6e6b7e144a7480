"""The compiled codec and the Python source that it is made from do the same."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.lives import compiled, sources
from wsext import ProtocolError
from wsext.compiled import CODEC, MODULES

wire_source = sources("wsext.protocol.wire")
ROOT = Path(__file__).parent.parent

leaf_source = sources("wsext.protocol.leaf")


def outcome(
    module: Any, chunks: list[bytes], options: dict[str, Any], ask_only: bool = False
) -> Any:
    """What a parser makes of a stream: frames, and the error that ends it."""
    options = dict(options)
    direct = options.pop("direct")
    in_place = options.pop("in_place")
    parser = module.FrameParser(**options)
    parser.direct = direct
    frames: list[Any] = []
    error = None
    try:
        for chunk in chunks:
            while in_place and chunk and (room := parser.room()) is not None:
                size = min(len(room), len(chunk))
                room[:size] = chunk[:size]
                parser.advance(size)
                parser.feed(b"", frames)
                chunk = chunk[size:]
            item = parser.only(chunk) if ask_only else None
            if item is None:
                parser.feed(chunk, frames)
            else:
                frames.append(item)
    except ProtocolError as failure:
        error = (type(failure), failure.code, failure.reason)
    return [as_values(item) for item in frames], error


def as_values(item: Any) -> Any:
    if hasattr(item, "opcode"):
        return item.opcode, bytes(item.payload), item.fin, int(item.rsv)
    return item.data, item.size


options = st.fixed_dictionaries(
    {
        "direct": st.booleans(),
        "in_place": st.booleans(),
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
    expected = outcome(wire_source, chunks, options)
    assert outcome(compiled("wsext.protocol.wire"), chunks, options) == expected
    for module in (compiled("wsext.protocol.wire"), wire_source):
        assert outcome(module, chunks, options, ask_only=True) == expected


@given(
    size=st.sampled_from([0, 1, 2, 125, 126, 65535, 65536]),
    first=st.sampled_from([0x81, 0x82, 0xC2, 0x01, 0x80, 0x8A]),
    masked=st.booleans(),
    more=st.sampled_from([0, 0, 1, 2]),
)
def test_a_read_that_is_one_message_is_known_as_such(
    size: int, first: int, masked: bool, more: int
) -> None:
    header = wire_source.frame_header(first & 0x0F, size, first >= 0x80, first & 0x70, masked)
    read = header + bytes(4 if masked else 0) + b"x" * size + b"\x81\x00"[:more]
    is_one = first in (0x81, 0x82, 0xC2) and not more and size < 65536 and len(read) >= 4
    for module in (compiled("wsext.protocol.wire"), wire_source):
        parser = module.FrameParser(masked=masked, max_size=1 << 20, rsv_first=0x40)
        for buffer in (read, bytearray(read + b"what was read before")):
            item = parser.only(buffer, len(read))
            assert (item is not None) == is_one
            if is_one:
                assert as_values(item) == (first & 0x0F, b"x" * size, True, first & 0x70)


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
    c = compiled("wsext.protocol.wire").frame_header(opcode, size, fin, rsv, masked)
    assert c == wire_source.frame_header(opcode, size, fin, rsv, masked)


@given(data=st.binary(max_size=2000), key=st.binary(min_size=4, max_size=4), pad=st.integers(0, 9))
def test_both_mask_alike(data: bytes, key: bytes, pad: int) -> None:
    c = compiled("wsext.protocol.leaf")
    assert c.mask(data, key) == leaf_source.mask(data, key)
    around = bytes(pad) + key + data + b"after"
    expected = leaf_source.unmask(around, pad + 4, len(data), pad)
    assert c.unmask(around, pad + 4, len(data), pad) == expected == leaf_source.mask(data, key)


@given(
    first=st.integers(0, 255),
    data=st.one_of(
        st.text(max_size=300), st.binary(max_size=300), st.sampled_from([b"x" * 70_000, "ä" * 300])
    ),
    key=st.one_of(st.none(), st.binary(min_size=4, max_size=4)),
)
def test_both_build_the_same_frames(first: int, data: str | bytes, key: bytes | None) -> None:
    expected = leaf_source.build_frame(first, data, key)
    assert compiled("wsext.protocol.leaf").build_frame(first, data, key) == expected
    view = memoryview(data.encode() if isinstance(data, str) else data)
    assert compiled("wsext.protocol.leaf").build_frame(first, view, key) == expected
    for module in (compiled("wsext.protocol.wire"), wire_source):
        assert module.payload_size(len(expected), key is not None) == len(view)
        if key is None:
            out: list[Any] = []
            assert module.write_apart(out, first, data) == len(view)
            assert b"".join(out) == expected


@given(data=st.binary(max_size=600), key=st.binary(min_size=4, max_size=4))
def test_both_decode_text_alike(data: bytes, key: bytes) -> None:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = None
    for module in (compiled("wsext.protocol.leaf"), leaf_source):
        assert module.unmask_text(key + module.mask(data, key), 4, len(data), 0) == text
        assert module.copy_text(b"head" + data, 4, len(data)) == text


def test_the_leaf_writes_nothing_outside_of_its_target() -> None:
    c = compiled("wsext.protocol.leaf")
    for at, size in ((-1, 1), (0, 9), (8, 1), (0, -1)):
        with pytest.raises(IndexError):
            c.move(bytearray(8), at, bytes(16), 0, size)
    with pytest.raises(ValueError, match="four"):
        c.mask(b"x", b"123")


@pytest.mark.parametrize("choice", ["python", "c"])
def test_the_environment_chooses(choice: str) -> None:
    if choice == "c":
        compiled("wsext.protocol.wire")
    code = (
        "from wsext import compiled; from wsext.protocol import wire;"
        "print(compiled.CODEC, wire.__file__)"
    )
    env = {**os.environ, "WSEXT_CODEC": choice}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
    )
    life, file = done.stdout.split()
    assert life == choice
    assert file.endswith("wire.py") == (choice == "python")


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
    assert f"codec: {CODEC}" in done.stdout


@pytest.mark.parametrize("life", [sources, compiled])
def test_replace_changes_what_it_is_told_to_and_nothing_else(life: Any) -> None:
    old = {"opcode": 1, "payload": b"old", "fin": False, "rsv": 64, "hints": {"a": 1}, "meta": {}}
    new = {"opcode": 2, "payload": b"", "fin": True, "rsv": 0, "hints": None, "meta": None}
    frame = life("wsext.protocol.frames").Frame(**old)
    for changed in [[], *([key] for key in old), list(old)]:
        copy = frame.replace(**{key: new[key] for key in changed})
        assert {key: getattr(copy, key) for key in old} == {
            key: (new if key in changed else old)[key] for key in old
        }
    assert {key: getattr(frame, key) for key in old} == old
    with pytest.raises(TypeError, match="opcod"):
        frame.replace(opcod=1)


def negative_indexes(tree: ast.AST) -> list[str]:
    """Places where a sequence is counted from its end."""
    return [
        f"line {node.lineno}: {ast.unparse(node)}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Subscript)
        and isinstance(node.slice, ast.UnaryOp)
        and isinstance(node.slice.op, ast.USub)
    ]


@pytest.mark.parametrize("module", MODULES)
def test_fast_modules_do_not_count_from_the_end(module: str) -> None:
    """They are compiled without ``wraparound``: there ``items[-1]`` reads what stands before."""
    path = ROOT.joinpath(*module.split(".")).with_suffix(".py")
    found = negative_indexes(ast.parse(path.read_text()))
    assert not found, "\n".join(found)


def test_the_test_finds_negative_indexes() -> None:
    tree = ast.parse("a = items[-1]\ndel items[at][-n]\nrest = data[:-4]")
    assert negative_indexes(tree) == ["line 1: items[-1]", "line 2: items[at][-n]"]


def test_the_command_says_what_is_wrong_with_the_choice_in_one_line() -> None:
    env = {**os.environ, "WSEXT_CODEC": "cc"}
    command = [sys.executable, "-m", "wsext", "serve"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "wsext: WSEXT_CODEC is auto, c or python, not 'cc'\n"
