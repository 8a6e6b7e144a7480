"""What the commands that talk to a broker share: which one, names of rooms, and errors."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from wsext.cli.common import fail, server_config_option
from wsext.config.applying import plugins_of
from wsext.config.sources import read_config
from wsext.errors import OptionError, OutcomeUnknown, PublishError, WsextError
from wsext.escape import escape
from wsext.rooms.backplanes.faults import Faults
from wsext.rooms.backplanes.positions import Position
from wsext.rooms.blocking import BlockingPublisher
from wsext.rooms.heard import RoomMessage
from wsext.rooms.names import check_name
from wsext.rooms.notes import read_said
from wsext.rooms.publisher import outside_backplane

__all__ = ["broker_options", "find_backplane", "listen", "room_argument", "run"]

T = TypeVar("T")


def find_backplane(given: str | None, config: str | None, *, trust_folder: bool = True) -> str:
    """The URL of the broker: as given, or as ``wsext serve`` finds it.

    Raises:
        OptionError: If there is none.
    """
    conf = read_config(config, trust_folder=trust_folder)
    plugins_of(conf)  # a plugin may bring the backplane
    url: str | None = given or conf.section("server").backplane
    if url is None:
        problem = (
            "no broker is known: give --backplane URL, or set WSEXT_SERVER__BACKPLANE or "
            "[server] backplane in wsext.toml"
        )
        raise OptionError("server", "backplane", problem)
    return url


class _RoomName(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.4 only
    """A room; completes the rooms that the broker knows."""

    name = "room"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        given = ctx.params.get("backplane"), ctx.params.get("config")
        logging.disable()  # it would stand in the line that is being typed
        try:
            # Nobody asked for anything yet: a folder's wsext.toml must not name whom to talk to.
            url = find_backplane(*given, trust_folder=False)
            with BlockingPublisher(url, timeout=1) as publisher:
                names = publisher.rooms()
        except (WsextError, OSError, NotImplementedError):
            return []
        return [
            CompletionItem(name)
            for name in sorted(names)
            if name.startswith(incomplete) and name.isprintable()
        ]


def room_argument(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command its room."""
    return click.argument("room", type=_RoomName())(command)


def broker_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that say which broker, and how long to wait for it."""
    for option in (
        click.option(
            "--timeout", type=click.FloatRange(min=0, max=60, min_open=True), default=10.0,
            show_default=True, help="Seconds to wait for a broker that is away.",
        ),
        server_config_option,
        click.option(
            "--backplane", metavar="URL",
            help="The broker of the rooms.  [default: that of `wsext serve`]",
        ),
    ):  # fmt: skip
        command = option(command)
    return command


async def listen(url: str, room: str, count: int, show: Callable[[RoomMessage], None]) -> None:
    """Show the last messages of a room, and then what is said in it, until that fails."""
    check_name(room)
    backplane = outside_backplane(url)
    backplane.recovery = backplane.can_recover  # so that it tells positions
    listener = _Listener(Faults(backplane.status), show)
    await backplane.start(listener)
    try:
        if backplane.recovery:
            _, last = await backplane.open_log(room, count)
            for position, payload in last:
                listener.hear(room, position, payload)
        else:
            for payload in await backplane.open(room, count):
                listener.receive(room, payload)
        await listener.ended
    finally:
        await backplane.close()


class _Listener:
    """A subscriber that shows what is said."""

    def __init__(self, faults: Faults, show: Callable[[RoomMessage], None]) -> None:
        self.origin = secrets.token_hex(6)
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._faults = faults
        self._show = show

    def receive(self, room: str, payload: bytes) -> None:
        self.hear(room, None, payload)

    def hear(self, room: str, position: Position | None, payload: bytes | None) -> None:
        if payload is None or self.ended.done():
            return
        message = read_said(self._faults, room, position, payload)
        if message is not None:
            try:
                self._show(message)
            except OSError as error:  # whoever read the output has gone
                self.ended.set_exception(error)

    def lose(self, room: str, position: Position, reason: str) -> None:
        click.echo(f"wsext: messages are missing ({escape(reason)})", err=True)

    def resynced(self) -> None:
        pass


def run(work: Coroutine[Any, Any, T]) -> T:
    """The result of something that is done with a broker; every planned failure is one line on
    stderr and an exit code: 1, 2 for a command line that is wrong, 3 for an unknown outcome."""
    try:
        return asyncio.run(work)
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except BrokenPipeError:  # whoever read the output has gone
        raise
    except ValueError as error:  # an OptionError, a room's name, an id
        fail(str(error), 2)
    except PublishError as error:
        fail(str(error), 3 if isinstance(error, OutcomeUnknown) else 1)
    except (ConnectionError, NotImplementedError) as error:
        fail(str(error))
