"""Negotiation of permessage-deflate, both roles, through the public API."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from wsext_deflate import DeflateCodec, PermessageDeflate

import wsext
from wsext import App, NegotiationContext, NegotiationError, OptionError, Params, Session

from .conftest import BACKENDS

SERVER = NegotiationContext("server", 1 << 20)
CLIENT = NegotiationContext("client", 1 << 20)


def params(text: str) -> Params:
    pairs = [item.strip().partition("=") for item in text.split(";") if item.strip()]
    return Params([(name, value or None) for name, _, value in pairs])


def accept(offer: str, **options: Any) -> tuple[str, Any]:
    agreement = PermessageDeflate(**options).accept(params(offer), SERVER)
    assert isinstance(agreement.codec, DeflateCodec)
    return str(agreement.params), agreement.codec.settings


@pytest.mark.parametrize(
    ("options", "offer", "answer"),
    [
        ({}, "", ""),
        ({}, "client_max_window_bits", "client_max_window_bits=12"),
        ({}, "client_max_window_bits=15", "client_max_window_bits=12"),
        ({"client_max_window_bits": 15}, "client_max_window_bits", ""),
        (
            {},
            "client_no_context_takeover; client_max_window_bits",
            "client_no_context_takeover",
        ),
        ({}, "server_no_context_takeover", "server_no_context_takeover"),
        ({}, "client_no_context_takeover", "client_no_context_takeover"),
        ({}, "server_max_window_bits=10", "server_max_window_bits=10"),
        ({}, "server_max_window_bits=15", "server_max_window_bits=15"),
        ({}, "server_max_window_bits=8", "server_max_window_bits=8"),
        ({}, "client_max_window_bits=11", "client_max_window_bits=11"),
        ({"server_max_window_bits": 11}, "", "server_max_window_bits=11"),
        ({"server_max_window_bits": 11}, "server_max_window_bits=9", "server_max_window_bits=9"),
        ({"server_max_window_bits": 9}, "server_max_window_bits=12", "server_max_window_bits=9"),
        ({"client_max_window_bits": 10}, "", ""),
        ({"client_max_window_bits": 10}, "client_max_window_bits", "client_max_window_bits=10"),
        ({"client_max_window_bits": 10}, "client_max_window_bits=9", "client_max_window_bits=9"),
        ({"server_no_context_takeover": True}, "", "server_no_context_takeover"),
        ({"client_no_context_takeover": True}, "", "client_no_context_takeover"),
    ],
)
def test_what_a_server_answers(options: dict[str, Any], offer: str, answer: str) -> None:
    assert accept(offer, **options)[0] == answer


def test_a_server_keeps_what_it_agreed_to() -> None:
    _, settings = accept(
        "server_no_context_takeover; server_max_window_bits=9; client_max_window_bits=10"
    )
    assert (settings.own_reset, settings.own_bits) == (True, 9)
    assert (settings.peer_reset, settings.peer_bits) == (False, 10)
    # Without an agreement this side may still use a smaller window than 15 bits.
    assert accept("", backend="zlib")[1].own_bits == 12
    kept = accept("", server_max_window_bits=15)[1]
    assert (kept.own_bits, kept.history) == (15, 32768)


def test_what_is_kept_is_4_kib_where_nothing_is_said(backend: str) -> None:
    _, settings = accept("", backend=backend)
    assert settings.history == 4096
    # Within a message ISA-L looks further back at no cost.
    assert settings.own_bits == (15 if backend == "isal" else 12)
    _, settings = accept("server_max_window_bits=9", backend=backend)
    assert (settings.own_bits, settings.history) == (9, 512)


@pytest.mark.parametrize(
    "offer",
    [
        "server_max_window_bits",
        "server_max_window_bits=7",
        "server_max_window_bits=16",
        "server_max_window_bits=08",
        "client_max_window_bits=x",
        "server_no_context_takeover=true",
        "client_no_context_takeover=1",
    ],
)
def test_a_wrong_offer_is_declined(offer: str) -> None:
    with pytest.raises(NegotiationError):
        accept(offer)


@pytest.mark.parametrize(
    ("options", "offers"),
    [
        ({}, ["client_max_window_bits"]),
        ({"client_max_window_bits": 10}, ["client_max_window_bits=10"]),
        (
            {"client_no_context_takeover": True},
            ["client_no_context_takeover; client_max_window_bits"],
        ),
        (
            {"server_max_window_bits": 11, "server_no_context_takeover": True},
            [
                "server_no_context_takeover; server_max_window_bits=11; client_max_window_bits",
                "client_max_window_bits",
            ],
        ),
    ],
)
def test_what_a_client_offers(options: dict[str, Any], offers: list[str]) -> None:
    made = PermessageDeflate(**options).offers()
    assert [dict(offer) for offer in made] == [dict(params(offer)) for offer in offers]


def confirm(answer: str, **options: Any) -> Any:
    extension = PermessageDeflate(**options)
    return extension.confirm(extension.offers(), params(answer), CLIENT).settings


def test_a_client_takes_what_a_server_may_answer() -> None:
    assert confirm("").peer_bits == 15
    assert confirm("server_max_window_bits=9").peer_bits == 9  # unasked, and allowed (§7.1.2.1)
    assert confirm("server_no_context_takeover").peer_reset
    assert confirm("client_no_context_takeover").own_reset
    assert confirm("client_max_window_bits=9").own_bits == 9
    assert confirm("client_max_window_bits=15", backend="zlib").own_bits == 12
    assert confirm("", client_no_context_takeover=True).own_reset
    assert confirm("", client_max_window_bits=8).own_bits == 8
    assert confirm("", server_max_window_bits=10).peer_bits == 15  # the fallback was answered


@pytest.mark.parametrize(
    "answer",
    [
        "client_max_window_bits",
        "client_max_window_bits=7",
        "server_max_window_bits",
        "server_max_window_bits=16",
        "server_no_context_takeover=1",
    ],
)
def test_a_client_refuses_what_a_server_may_not_answer(answer: str) -> None:
    with pytest.raises(NegotiationError):
        confirm(answer)


def test_a_window_that_was_not_offered_cannot_be_asked_for() -> None:
    with pytest.raises(NegotiationError, match="not offered"):
        PermessageDeflate().confirm([Params()], params("client_max_window_bits=10"), CLIENT)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"level": 10}, "level.*0 to 9"),
        ({"mem_level": 0}, "mem_level.*1 to 9"),
        ({"server_max_window_bits": 7}, "server_max_window_bits.*8 to 15"),
        ({"strategy": "fast"}, "strategy"),
        ({"treshold": 1}, "did you mean 'threshold'"),
        ({"compress_if": 5}, "compress_if"),
    ],
)
def test_wrong_options(options: dict[str, Any], words: str) -> None:
    with pytest.raises(OptionError, match=words) as caught:
        PermessageDeflate(**options)
    assert caught.value.owner == "permessage-deflate"


async def test_sessions_with_every_agreement() -> None:
    app = App()
    app.install("permessage-deflate", threshold=10)
    plain = "plain, please" * 3

    @app.websocket("/")
    async def echo(session: Session) -> None:
        async for message in session:
            await session.send(message, hints={"compress": message != plain})

    async with wsext.serve(app) as server:
        for options in (
            {},
            {"server_no_context_takeover": True, "client_no_context_takeover": True},
            {"server_max_window_bits": 8, "client_max_window_bits": 8},
            {"level": 9, "server_max_window_bits": 15, "client_max_window_bits": 15},
        ):
            offered = PermessageDeflate(**options)
            async with wsext.connect(server.url, extensions=[offered]) as session:
                for message in ("tiny", plain, "x" * 5000, b"", b"\x01" * 300_000):
                    await session.send(message)
                    assert await session.receive() == message
                before = session.stats.wire_bytes_in
                await session.send(plain)
                await session.receive()
                assert session.stats.wire_bytes_in - before == len(plain)


@pytest.mark.parametrize(
    "options",
    [
        *({"backend": name} for name in BACKENDS),
        {"mem_level": 1, "server_max_window_bits": 9, "client_max_window_bits": 9},
        {"mem_level": 9, "server_max_window_bits": 15},
        {"server_no_context_takeover": True, "client_no_context_takeover": True},
    ],
    ids=str,
)
def test_the_memory_estimate_is_near_what_the_system_says(options: dict[str, Any]) -> None:
    # In a process of its own: in a used one, freed memory is used again and not seen.
    done = subprocess.run(
        [sys.executable, "-c", _MEASURE, json.dumps(options)],
        capture_output=True,
        text=True,
        check=True,
    )
    estimate, measured = map(float, done.stdout.split())
    assert estimate == pytest.approx(measured, rel=0.3, abs=6000)


_MEASURE = """
import json, sys
from pathlib import Path
from wsext import Frame, NegotiationContext, Params
from wsext_deflate import PermessageDeflate

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

extension = PermessageDeflate(live_compressors=0, **json.loads(sys.argv[1]))
server, client = NegotiationContext("server", 1 << 20), NegotiationContext("client", 1 << 20)
offer = Params(client_max_window_bits=True)
agreed = [extension.accept(offer, server) for _ in range(200)]
other = PermessageDeflate().confirm(extension.offers(), agreed[0].params, client)
text = Frame(1, b"".join(b"%d some text " % number for number in range(5000)))
packed = other.encode(text)
before = resident()
for agreement in agreed:
    agreement.codec.encode(text)
    agreement.codec.decode(packed.replace(fin=False), 1 << 20)
print(extension.memory_estimate(), (resident() - before) / len(agreed))
"""
