"""Local interceptors that log each frame (`FrameLog`) or each message (`MessageLog`) of a session,
on the server and on the client."""

from __future__ import annotations

import logging
import re
from typing import Annotated, Any, ClassVar, Literal

from wsext import Frame, Interceptor, Opcode, OptionError, OptionSet, Session, hookimpl, local

__all__ = ["FrameLog", "FrameLogOptions", "MessageLog", "MessageLogOptions"]


class MessageLogOptions(OptionSet):
    """The options of `MessageLog`."""

    level: Annotated[
        Literal["debug", "info", "warning", "error"], local("level of the log records")
    ] = "info"
    logger: Annotated[str, local("name of the logger", min_length=1)] = "wsext.messagelog"
    payload: Annotated[bool, local("whether payloads are logged, too")] = False
    max_payload: Annotated[int, local("characters of a payload that are logged", ge=1)] = 256
    redact: Annotated[
        tuple[str, ...], local("regular expressions; what matches is logged as [redacted]")
    ] = ()

    def check(self) -> None:
        for pattern in self.redact:
            try:
                re.compile(pattern)
            except re.error as error:
                raise OptionError("options", "redact", f"{pattern!r}: {error}") from None


class FrameLogOptions(MessageLogOptions):
    """The options of `FrameLog`."""

    logger: Annotated[str, local("name of the logger", min_length=1)] = "wsext.framelog"
    control: Annotated[bool, local("whether ping, pong and close are logged, too")] = True


class _Log:
    """Writes lines about what a session says: redacted, cut and quoted."""

    def __init__(self, options: MessageLogOptions) -> None:
        self._logger = logging.getLogger(options.logger)
        self._level = logging.getLevelNamesMapping()[options.level.upper()]
        patterns = [f"(?:{pattern})" for pattern in options.redact]
        self._redact = re.compile("|".join(patterns)) if patterns else None
        self._limit = options.max_payload

    @property
    def is_on(self) -> bool:
        """Whether anybody reads what is written."""
        return self._logger.isEnabledFor(self._level)

    def write(self, session: Session, direction: str, what: str, payload: str = "") -> None:
        """Write one line; with the payload, if it is not empty."""
        text = f": {self._show(payload)}" if payload else ""
        details: dict[str, Any] = {"session": session.id, "direction": direction}
        self._logger.log(
            self._level, "%s %s %s%s", session.id, direction, what, text, extra=details
        )

    def _show(self, text: str) -> str:
        # Redact first: a cut could split a secret and leave its first half to be seen.
        if self._redact is not None:
            text = self._redact.sub("[redacted]", text)
        limit = self._limit
        cut = f"… and {len(text) - limit} more" if len(text) > limit else ""
        return repr(text[:limit]) + cut  # quoted, so that a peer cannot forge lines of a log


class FrameLog(Interceptor):
    """Logs frames as the application sees them: decoded on the way in, not yet encoded on the
    way out.

    Payloads are not logged unless asked for, since they may hold secrets. A pattern of ``redact``
    sees one frame at a time: it does not find what is spread over two fragments. Use `MessageLog`
    where that matters.
    """

    name: ClassVar[str] = "framelog"
    Options: ClassVar[type[OptionSet]] = FrameLogOptions
    options: FrameLogOptions

    def setup(self) -> None:
        self._log = _Log(self.options)

    @hookimpl
    def wsext_frame_received(self, session: Session, frame: Frame) -> None:
        self._write("received", session, frame)

    @hookimpl
    def wsext_frame_sending(self, session: Session, frame: Frame) -> None:
        self._write("sending", session, frame)

    def _write(self, direction: str, session: Session, frame: Frame) -> None:
        if not self._log.is_on or (frame.is_control and not self.options.control):
            return
        payload = _text_of(frame) if self.options.payload else ""
        self._log.write(session, direction, repr(frame), payload)


class MessageLog(Interceptor):
    """Logs whole messages as the application sees them, in and out.

    Payloads are not logged unless asked for, since they may hold secrets. A pattern of ``redact``
    sees the whole message, in however many fragments it came.
    """

    name: ClassVar[str] = "messagelog"
    Options: ClassVar[type[OptionSet]] = MessageLogOptions
    options: MessageLogOptions

    def setup(self) -> None:
        self._log = _Log(self.options)

    @hookimpl
    def wsext_message_received(self, session: Session, message: str | bytes) -> None:
        self._write("received", session, message)

    @hookimpl
    def wsext_message_sending(self, session: Session, message: str | bytes) -> None:
        self._write("sending", session, message)

    def _write(self, direction: str, session: Session, message: str | bytes) -> None:
        if not self._log.is_on:
            return
        if isinstance(message, str):
            what, text = f"<TEXT {len(message)} characters>", message
        else:
            what, text = f"<BINARY {len(message)} bytes>", message.decode("latin-1")
        self._log.write(session, direction, what, text if self.options.payload else "")


def _text_of(frame: Frame) -> str:
    """A frame's payload as text."""
    data = bytes(frame.payload)
    if frame.opcode == Opcode.CLOSE and len(data) >= 2:
        return f"{int.from_bytes(data[:2], 'big')} {data[2:].decode('utf-8', 'replace')}"
    if frame.opcode == Opcode.BINARY:
        return data.decode("latin-1")
    return data.decode("utf-8", "replace")
