"""How interceptors are called: whole messages for message hooks, and what each fault leads to.

A hook that raises, or returns what is no frame and no message, is isolated: its frame or message
passes unchanged, and after three faults in a row it is left out of the session. If its plugin has
``fail_closed = True``, the first fault ends the session with 1011 instead.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import pluggy

from wsext.errors import EndSession, LocalProtocolError, RemoteProtocolError
from wsext.escape import get_logger
from wsext.protocol.boundary import Steps, report, text_of
from wsext.protocol.closing import CloseCode, build_close
from wsext.protocol.contract import FrameHook
from wsext.protocol.frames import Frame, check_frame
from wsext.protocol.wire import to_payload

__all__ = ["MessageHooks", "bind_hook", "guard_frames"]

logger = get_logger("wsext.extensions")

#: Faults in a row after which an interceptor is left out of a session.
_MAX_FAULTS = 3

_NOTHING: Mapping[str, Any] = {}
_BYTES_LIKE = (bytes, bytearray, memoryview)


def bind_hook(impl: pluggy.HookImpl) -> Callable[..., Any]:
    """A hook implementation as a function that takes all arguments and passes on those it names."""
    function: Callable[..., Any] = impl.function
    names = impl.argnames

    def call(**arguments: Any) -> Any:
        return function(*map(arguments.__getitem__, names))

    return call


class _Guard:
    """One hook of one interceptor on one session, and the faults that it has had.

    Args:
        impl: The hook.
        session: The session.

    Attributes:
        call: Calls the hook, with all arguments by name.
        faults: How many faults it has had in a row.
        is_async: Whether the hook is a coroutine function.
        is_out: Whether it is left out of the session.
    """

    __slots__ = (
        "_fails_closed",
        "_name",
        "_origin",
        "_told",
        "_where",
        "call",
        "faults",
        "is_async",
        "is_out",
    )

    def __init__(self, impl: pluggy.HookImpl, session: Any) -> None:
        self.call = bind_hook(impl)
        self.is_async = inspect.iscoroutinefunction(impl.function)
        self.is_out = False
        self._name = impl.plugin_name
        self._origin: Any = impl.function
        self._where = f"session {getattr(session, 'id', None)}, {impl.function.__name__}"
        self._fails_closed = bool(getattr(impl.plugin, "fail_closed", False))
        self.faults = 0
        self._told = 0  # in all

    def failed(self, error: BaseException) -> None:
        """The hook has raised this, or returned what it must not.

        Raises:
            EndSession: If that is what it has raised, with a close code that may be sent.
            LocalProtocolError: If a fault of the hook ends the session.
        """
        try:
            if isinstance(error, EndSession):
                error = self._ending(error)
            if isinstance(error, EndSession):
                raise error
            self._count(error)
            if self._fails_closed:
                raise LocalProtocolError("interceptor failed", extension=self._name) from error
        finally:
            del error  # its traceback has this frame

    def _count(self, error: BaseException) -> None:
        self.faults += 1
        self._told += 1
        if self._told == 1:
            report(f"interceptor {self._name}", error, kind=self._origin, where=self._where)
        else:
            level = logging.WARNING if self._told <= _MAX_FAULTS else logging.DEBUG
            text = "%s: interceptor %s failed again: %s: %s"
            logger.log(level, text, self._where, self._name, type(error).__name__, text_of(error))
        if self.faults == _MAX_FAULTS and not self._fails_closed:
            self.is_out = True
            logger.error("%s: interceptor %s is disabled for this session", self._where, self._name)

    def _ending(self, end: EndSession) -> Exception:
        """What ends the session, or the fault if its code or its reason cannot be sent."""
        try:
            if not build_close(end.code, end.reason):
                raise ValueError(f"{end.code} may not be sent")
        except Exception as error:
            return error
        end.extension = self._name
        logger.info("%s: %s", self._where, end)
        return end


def guard_frames(impl: pluggy.HookImpl, session: Any) -> FrameHook:
    """A frame hook for one session, isolated."""
    guard = _Guard(impl, session)
    call = guard.call

    def hook(frame: Frame) -> Any:
        if guard.is_out:
            return None
        was = frame.opcode, frame.payload, frame.fin, frame.rsv
        try:
            result = call(session=session, frame=frame)
            if result is not None and type(result) is not Frame:
                result = _frames(result)
            for each in result if type(result) is list else (result or frame,):
                check_frame(each.opcode, each.payload, each.rsv)
        except BaseException as error:
            frame.opcode, frame.payload, frame.fin, frame.rsv = was  # it passes as it was
            guard.failed(error)
            return None
        guard.faults = 0
        return result

    return hook


def _frames(result: Any) -> list[Frame]:
    """What a frame hook has returned in place of one frame, checked."""
    if isinstance(result, Iterable) and not isinstance(result, (str, *_BYTES_LIKE, Mapping)):
        frames = list(result)
        if all(type(frame) is Frame for frame in frames):
            return frames
    raise _wrong(result, "None, a Frame, or several frames")


class MessageHooks:
    """The message hooks of one direction of a session; as a `MessageHook` of the pipeline.

    The fragments of a message are joined before the first hook sees it.

    Args:
        impls: The hooks, in the order in which they run.
        session: The session.
        most: Bytes that fragments may be joined to, and that a received message may be made.
        sending: Whether the messages are sent, and not received.
    """

    def __init__(
        self, impls: Sequence[pluggy.HookImpl], session: Any, most: int, *, sending: bool
    ) -> None:
        self._guards = [_Guard(impl, session) for impl in impls]
        self._session = session
        self._most = most
        self._sending = sending
        self._first: Frame | None = None  # of the message that is half way
        self._joined = bytearray()
        self._passing = 0  # bytes of the message that the hooks have

    @property
    def is_async(self) -> bool:
        """Whether a hook is a coroutine function."""
        return any(guard.is_async for guard in self._guards)

    @property
    def held_bytes(self) -> int:
        """Bytes of the message that is half way, or that a hook has now."""
        return len(self._joined) + self._passing

    def __call__(self, frame: Frame) -> Steps[list[Frame]]:
        """Run the hooks over a frame; a control frame passes, a fragment waits for the others."""
        if frame.opcode > 2:
            return [frame]
        whole = self._join(frame)
        if whole is None:
            return []
        self._passing = len(whole.payload)
        try:
            return (yield from self._pass(whole))
        finally:
            self._passing = 0

    def _pass(self, whole: Frame) -> Steps[list[Frame]]:
        message = was = self._message(whole)
        for guard in self._guards:
            if guard.is_out:
                continue
            waits = False
            try:
                result = guard.call(
                    session=self._session,
                    message=message,
                    hints=whole.hints or _NOTHING,
                    meta=whole.meta or _NOTHING,
                )
                if inspect.isawaitable(result):
                    waits = True
                    result = yield result
                    waits = False
                if result is not None:
                    result = self._checked(result)
            except BaseException as error:
                if waits and isinstance(error, GeneratorExit):
                    raise  # the session has ended meanwhile
                guard.failed(error)
                continue
            guard.faults = 0
            if result == ():
                return []
            if result is not None:
                message = result
        if message is was:
            return [whole]
        opcode, payload = to_payload(message)
        return [whole.replace(opcode=opcode, payload=payload)]

    def _join(self, frame: Frame) -> Frame | None:
        """The whole message, once its last fragment has come.

        Raises:
            LocalProtocolError: If the fragments grow too large, or if an extension or a frame hook
                has left one out.
        """
        first = self._first
        if frame.fin and frame.opcode and first is None:
            return frame
        if (first is None) == (frame.opcode == 0):
            raise LocalProtocolError("a fragment is missing, or stands where none may")
        first = first or frame
        self._joined += frame.payload
        if len(self._joined) > self._most:
            raise LocalProtocolError(f"message of more than {self._most} bytes", 1009)
        if not frame.fin:
            self._first = first
            return None
        whole = first.replace(payload=bytes(self._joined), fin=True)
        self._first, self._joined = None, bytearray()
        return whole

    def _message(self, frame: Frame) -> str | bytes:
        if frame.opcode == 2:
            return bytes(frame.payload)
        try:
            return str(frame.payload, "utf-8")
        except UnicodeDecodeError:
            reason, code = "text is not valid UTF-8", CloseCode.INVALID_DATA
            if self._sending:
                raise LocalProtocolError(reason, code) from None
            raise RemoteProtocolError(code, reason) from None

    def _checked(self, result: Any) -> str | bytes | tuple[()]:
        """What a message hook has returned instead of ``None``, checked."""
        if type(result) is tuple and not result:
            return ()
        if not isinstance(result, (str, *_BYTES_LIKE)):
            raise _wrong(result, "None, a str, bytes, or () to drop the message")
        _, payload = to_payload(result)
        if not self._sending and len(payload) > self._most:
            raise ValueError(f"returned {len(payload)} bytes, at most {self._most} are allowed")
        return result if isinstance(result, str) else payload


def _wrong(result: Any, expected: str) -> TypeError:
    """The fault of a hook that has returned something of a wrong type."""
    if inspect.iscoroutine(result):
        result.close()
    return TypeError(f"returned {type(result).__name__}, expected {expected}")
