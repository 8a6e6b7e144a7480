"""A local interceptor that logs every frame of a session, on the server and on the client."""

from __future__ import annotations

import logging
import re
from typing import Annotated, Any, ClassVar, Literal

from wsext import Frame, Interceptor, Opcode, OptionError, OptionSet, Session, hookimpl, local

__all__ = ["FrameLog", "FrameLogOptions"]


class FrameLogOptions(OptionSet):
    """The options of `FrameLog`."""

    level: Annotated[
        Literal["debug", "info", "warning", "error"], local("level of the log records")
    ] = "info"
    logger: Annotated[str, local("name of the logger", min_length=1)] = "wsext.framelog"
    payload: Annotated[bool, local("whether payloads are logged, too")] = False
    max_payload: Annotated[int, local("characters of a payload that are logged", ge=1)] = 256
    redact: Annotated[
        tuple[str, ...], local("regular expressions; what matches is logged as [redacted]")
    ] = ()
    control: Annotated[bool, local("whether ping, pong and close are logged, too")] = True

    def check(self) -> None:
        for pattern in self.redact:
            try:
                re.compile(pattern)
            except re.error as error:
                raise OptionError("options", "redact", f"{pattern!r}: {error}") from None


class FrameLog(Interceptor):
    """Logs frames as the application sees them: decoded on the way in, not yet encoded on the
    way out.

    Payloads are not logged unless asked for, since they may hold secrets. A pattern of ``redact``
    sees one frame at a time: what is spread over two fragments is not found.
    """

    name: ClassVar[str] = "framelog"
    Options: ClassVar[type[OptionSet]] = FrameLogOptions
    options: FrameLogOptions

    def setup(self) -> None:
        self._logger = logging.getLogger(self.options.logger)
        self._level = logging.getLevelNamesMapping()[self.options.level.upper()]
        patterns = [f"(?:{pattern})" for pattern in self.options.redact]
        self._redact = re.compile("|".join(patterns)) if patterns else None

    @hookimpl
    def wsext_frame_received(self, session: Session, frame: Frame) -> None:
        self._log("received", session, frame)

    @hookimpl
    def wsext_frame_sending(self, session: Session, frame: Frame) -> None:
        self._log("sending", session, frame)

    def _log(self, what: str, session: Session, frame: Frame) -> None:
        if not self._logger.isEnabledFor(self._level):
            return
        if frame.is_control and not self.options.control:
            return
        details: dict[str, Any] = {"session": session.id, "direction": what}
        if self.options.payload and frame.payload:
            text = self._show(frame)
            self._logger.log(
                self._level, "%s %s %r: %s", session.id, what, frame, text, extra=details
            )
        else:
            self._logger.log(self._level, "%s %s %r", session.id, what, frame, extra=details)

    def _show(self, frame: Frame) -> str:
        data = bytes(frame.payload)
        if frame.opcode == Opcode.CLOSE and len(data) >= 2:
            text = f"{int.from_bytes(data[:2], 'big')} {data[2:].decode('utf-8', 'replace')}"
        elif frame.opcode == Opcode.BINARY:
            text = data.decode("latin-1")
        else:
            text = data.decode("utf-8", "replace")
        # Redact first: a cut could split a secret and leave its first half to be seen.
        if self._redact is not None:
            text = self._redact.sub("[redacted]", text)
        limit = self.options.max_payload
        cut = f"… and {len(text) - limit} more" if len(text) > limit else ""
        return repr(text[:limit]) + cut  # quoted, so that a peer cannot forge lines of a log
