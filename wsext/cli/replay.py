"""``wsext replay``: what wsext-capture recorded, sent again, and the answers compared."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from wsext.cli.common import fail
from wsext.cli.comparing import Pair, describe
from wsext.cli.dialing import FAILURES, Exit, connect_options, explain, opener, with_scheme
from wsext.cli.replaying import Played, Timing, play
from wsext.errors import OptionError
from wsext.escape import escape, safe_url
from wsext.runtime.loop import new_event_loop

if TYPE_CHECKING:
    from wsext_capture import Recording

__all__ = ["replay"]

#: Headers that every handshake has of its own.
_OWN = (
    *("host", "upgrade", "connection", "origin", "user-agent"),
    *("content-length", "transfer-encoding", "expect", "trailer"),
)


class _Speed(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.4 only
    """How many times faster than recorded; ``max`` waits for answers only."""

    name = "times"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        if value == "max":
            return float("inf")
        try:
            speed = float(value)
        except ValueError:
            speed = 0.0
        if not 0 < speed < float("inf"):
            self.fail(f"{value!r} is neither a number above 0 nor 'max'.", param, ctx)
        return speed


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.argument("url", required=False)
@click.option(
    "--speed", type=_Speed(), default="1", show_default=True,
    help="How many times faster; max waits for answers only, and for no time.",
)  # fmt: skip
@click.option(
    "--wait", type=click.FloatRange(min=0), default=1.0, show_default=True,
    help="Seconds without a message, until recorded answers are waited for no more.",
)  # fmt: skip
@connect_options
def replay(file: Path, url: str | None, speed: float, wait: float, **given: Any) -> None:
    """Send again what the clients of a recording have sent, and compare the answers.

    FILE is what wsext-capture wrote, as JSONL or HAR. Each session goes to its recorded address,
    or to URL; there, it asks for its recorded path if URL has none.

    Every frame is sent when it was sent then: a message in its fragments, pings, and the Close
    frame. If an answer came before it then, it is waited for. Messages are compared as the
    application sees them, whatever extensions are agreed now. What differs is printed: what was
    recorded after a minus, what has come after a plus. The last line counts all frames.

    \b
    wsext serve --ext capture:path=sessions.jsonl
    wsext replay sessions.jsonl
    wsext replay --speed 60 sessions.jsonl ws://127.0.0.1:9000
    wsext replay --speed max sessions.har

    \b
    Exit codes:
      0    everything was sent, and every answer was the same
      1    something differs, or a session was not opened
      2    the command line is wrong, or FILE is no whole recording
      130  Ctrl-C
    """
    recordings = _read(file)
    open_one = opener(given)
    try:
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            code = runner.run(_play_all(recordings, url, speed, wait, open_one, given["timeout"]))
    except KeyboardInterrupt:
        code = Exit.INTERRUPTED
    raise SystemExit(code)


def _read(file: Path) -> list[Recording]:
    """The sessions of a file; ends the command if they cannot be sent again."""
    try:
        from wsext_capture import UnreadableRecording, read_recordings
    except ImportError:
        problem = "needs wsext-capture: pip install 'wsext[capture]'"
        raise OptionError("replay", "FILE", problem) from None
    try:
        recordings = read_recordings(file)
    except OSError as error:
        fail(f"{file}: {error.strerror}", Exit.USAGE)
    except UnreadableRecording as error:
        fail(str(error), Exit.USAGE)
    for recording in recordings:
        for frame in recording.frames:
            if frame.by_client and len(frame.payload) < frame.size:
                recorded = f"only {len(frame.payload)} of {frame.size} bytes of a frame"
                fail(f"{frame.place}: {recorded} were recorded: see max_payload", Exit.USAGE)
    return recordings


async def _play_all(
    recordings: Sequence[Recording],
    url: str | None,
    speed: float,
    wait: float,
    open_one: Callable[..., Any],
    seconds: float,
) -> int:
    """Play all sessions at their times, and tell of them in their order."""
    begin = recordings[0].time
    timing = Timing(begin, asyncio.get_running_loop().time(), speed, wait)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    console = Console(stderr=True)
    with Progress(
        *columns, console=console, transient=True, disable=not sys.stderr.isatty()
    ) as bar:
        frames = sum(len(recording.frames) for recording in recordings)
        step = partial(bar.advance, bar.add_task("frames", total=frames))

        async def one(recording: Recording) -> Played | str:
            address = _address(recording.url, url)
            try:
                opening = open_one(address, **_handshake(recording, open_one))
                return await play(recording, opening, timing, step)
            except FAILURES as error:
                return explain(error, address, seconds)[0]

        results = await asyncio.gather(*map(one, recordings))
    return _tell(recordings, results)


def _address(recorded: str, url: str | None) -> str:
    """Where a session is opened: the recorded path at a server that was named."""
    if url is None:
        return recorded
    url = with_scheme(url)
    parts = urlsplit(recorded)
    path = f"{parts.path}?{parts.query}" if parts.query else parts.path
    if url.startswith("ws+unix:"):
        socket, _, resource = url.removeprefix("ws+unix:").partition(":")
        return url if resource.strip("/") else f"ws+unix:{socket}:{path}"
    given = urlsplit(url)
    return url if given.path.strip("/") or given.query else f"{given.scheme}://{given.netloc}{path}"


def _handshake(recording: Recording, open_one: Any) -> dict[str, Any]:
    """What the client asked for then, where the command line says nothing else."""
    then = {name.lower(): value for name, value in recording.headers}
    now = {name.lower() for name, _ in open_one.keywords["headers"]}
    offered = then.get("sec-websocket-protocol", "")
    kept = [
        (name, value)
        for name, value in recording.headers
        if name.lower() not in (*now, *_OWN) and not name.lower().startswith("sec-websocket-")
    ]
    return {
        "headers": [*kept, *open_one.keywords["headers"]],
        "origin": open_one.keywords["origin"] or then.get("origin"),
        "subprotocols": [name.strip() for name in offered.split(",") if name.strip()],
        "user_agent": then.get("user-agent"),
    }


# --- the report -------------------------------------------------------------------------------


def _tell(recordings: Sequence[Recording], results: Sequence[Played | str]) -> int:
    """Print what differs, and count everything; the exit code."""
    counts = dict.fromkeys(("same", "different", "missing", "extra"), 0)
    sent = left = unsent = 0
    for recording, result in zip(recordings, results, strict=True):
        name = f"session {recording.id} {safe_url(recording.url)}"
        if isinstance(result, str):
            unsent += sum(frame.by_client for frame in recording.frames)
            click.echo(escape(f"{name}: not opened: {result}"))
            continue
        sent, left, unsent = sent + result.sent, left + result.left, unsent + result.unsent
        for number, pair in enumerate(result.pairs(), 1):
            verdict = _judge(pair)
            counts[verdict] += 1
            if verdict != "same":
                lines = [f"{name}, answer {number}: {verdict}", *describe(pair)]
                click.echo("\n".join(map(escape, lines)))
    failed = sum(isinstance(result, str) for result in results)
    parts = [f"{len(results)} session{'' if len(results) == 1 else 's'}, {failed} not opened"]
    parts.append(f"frames: {sent} sent, {left} left to the connection, {unsent} not sent")
    parts.append("answers: " + ", ".join(f"{count} {what}" for what, count in counts.items()))
    click.echo("; ".join(parts))
    is_same = not failed and not unsent and sum(counts.values()) == counts["same"]
    return 0 if is_same else 1


def _judge(pair: Pair) -> str:
    recorded, came = pair
    if recorded is None or came is None:
        return "missing" if came is None else "extra"
    return "same" if recorded.is_like(came) else "different"
