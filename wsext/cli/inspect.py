"""``wsext inspect``: the frames of a session, before and after every stage, as they go by."""

from __future__ import annotations

import sys
import time
from typing import Any

import click
import msgspec
from rich import markup
from rich.console import Console

from wsext.cli.connect import Ended, converse, form_of, traffic
from wsext.cli.dialing import Exit, dial, dial_options
from wsext.cli.input import input_lines
from wsext.escape import escape, safe_url
from wsext.inspector.frames import opcode_name
from wsext.protocol.codes import RSV, Opcode
from wsext.protocol.frames import Frame
from wsext.runtime.session import Session

__all__ = ["inspect_"]

_ARROWS = {"out": "→", "in": "←"}


@click.command("inspect")
@dial_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per frame.")
@click.option("--payload", type=click.IntRange(min=0), default=48, show_default=True,
              help="Bytes of each payload to show.")  # fmt: skip
def inspect_(url: str, as_json: bool, payload: int, **given: Any) -> None:
    """Connect and show every frame at every stage: bits, sizes, what each codec made of it.

    Lines that are typed or piped are sent, as with `wsext connect`. Exit codes are the same, too.

    \b
    wsext inspect ws://127.0.0.1:8765/echo
    echo hello | wsext inspect --count 1 ws://127.0.0.1:8765/echo
    """

    form = form_of(given)

    async def talk(opening: Any, url: str) -> int:
        interactive = sys.stdin.isatty() and sys.stdout.isatty()
        console = Console(highlight=False, soft_wrap=True)
        async with opening as session, input_lines(interactive) as lines:
            printer: Any = _JsonPrinter(payload) if as_json else _Printer(console, payload)
            printer.opened(session, url)
            session.trace(printer.frame)
            nothing: Any = lambda data: None  # noqa: E731
            ended = await converse(session, lines, form, given, interactive, nothing, nothing)
        printer.closed(session)
        if ended is Ended.INTERRUPTED:
            return Exit.INTERRUPTED
        return Exit.PLANNED if session.close_info.ok else Exit.ENDED

    raise SystemExit(dial(url, given, talk))


def _plain(text: str) -> str:
    """What a server may have written, as it may be printed: neither controls nor markup."""
    return markup.escape(escape(text))


def _preview(frame: Frame, stage: str, limit: int) -> str:
    data = bytes(frame.payload)
    if frame.opcode == Opcode.CLOSE and len(data) >= 2:
        return f"{int.from_bytes(data[:2], 'big')} {data[2:].decode('utf-8', 'replace')}".strip()
    if frame.opcode == Opcode.TEXT and not frame.rsv:
        text = data.decode("utf-8", "replace")
        cut = text[:limit] + ("…" if len(text) > limit else "")
        if stage in ("app", "wire") and cut.isprintable():
            return repr(cut)
    return data[:limit].hex(" ") + (" …" if len(data) > limit else "")


class _Printer:
    """For people: a line per frame and stage."""

    def __init__(self, console: Console, limit: int) -> None:
        self._console = console
        self._limit = limit
        self._started = time.monotonic()

    def opened(self, session: Session, url: str) -> None:
        self._console.print(f"[bold]{_plain(safe_url(url))}[/]")
        for record in session.negotiation.records:
            style = "green" if record.verdict.value == "agreed" else "yellow"
            reason = f"  {record.reason}" if record.reason else ""
            self._console.print(
                f"  offered {_plain(str(record.offer))}: [{style}]{record.verdict.value}[/]"
                f"{_plain(reason)}"
            )
        stack = " → ".join(["app", *(item.name for item in session.extensions), "wire"])
        self._console.print(f"  outgoing frames: {_plain(stack)}")

    def frame(self, direction: str, stage: str, frame: Frame) -> None:
        took = time.monotonic() - self._started
        style = "cyan" if direction == "out" else "magenta"
        bits = ["FIN"] if frame.fin else ["..."]
        if frame.rsv:
            bits.append(RSV(frame.rsv).names())
        name = opcode_name(frame.opcode)
        preview = _preview(frame, stage, self._limit)
        self._console.print(
            f"[dim]{took:9.3f}[/] [{style}]{_ARROWS[direction]} {_plain(stage):20}[/]"
            f" {name:12} {' '.join(bits):10} {len(frame.payload):>8}  {_plain(preview)}"
        )

    def closed(self, session: Session) -> None:
        self._console.print(f"closed: {_plain(str(session.close_info))}")
        for line in traffic(session):
            self._console.print(line)
        if session.latency is not None:
            self._console.print(f"latency: {session.latency * 1000:.1f} ms")


class _JsonPrinter:
    """For programs: a JSON object per line."""

    def __init__(self, limit: int) -> None:
        self._limit = limit

    def _put(self, value: dict[str, Any]) -> None:
        text = msgspec.json.encode(value).decode()
        click.echo(escape(text) if sys.stdout.isatty() else text)

    def opened(self, session: Session, url: str) -> None:
        self._put(
            {
                "event": "open",
                "url": safe_url(url),
                "subprotocol": session.subprotocol,
                "extensions": [str(item) for item in session.extensions],
            }
        )

    def frame(self, direction: str, stage: str, frame: Frame) -> None:
        self._put(
            {
                "event": "frame",
                "time": time.time(),
                "direction": direction,
                "stage": stage,
                "opcode": opcode_name(frame.opcode),
                "fin": frame.fin,
                "rsv": RSV(frame.rsv).names(),
                "size": len(frame.payload),
                "preview": _preview(frame, stage, self._limit),
            }
        )

    def closed(self, session: Session) -> None:
        stats = session.stats
        self._put(
            {
                "event": "close",
                "code": session.close_info.code,
                "reason": session.close_info.reason,
                "app_bytes_in": stats.app_bytes_in,
                "wire_bytes_in": stats.wire_bytes_in,
                "app_bytes_out": stats.app_bytes_out,
                "wire_bytes_out": stats.wire_bytes_out,
            }
        )
