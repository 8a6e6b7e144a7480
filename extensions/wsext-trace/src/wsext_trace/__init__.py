"""OpenTelemetry: a span per session, and messages that carry their trace context along."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar
from weakref import WeakKeyDictionary

from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanKind, StatusCode, Tracer

from wsext import CloseInfo, Frame, Interceptor, Message, OptionSet, Session, hookimpl, local

__all__ = ["Trace", "TraceOptions", "context_of"]

_CARRIER = "permessage-meta"


class TraceOptions(OptionSet):
    """The options of `Trace`."""

    spans: Annotated[bool, local("whether a span is made of every message sent and received")] = (
        True
    )
    sessions: Annotated[bool, local("whether a span is made of every session")] = True


class Trace(Interceptor):
    """Makes a span of every session, carries the trace context of every message, links the spans.

    A session's span goes on from the ``traceparent`` header of its handshake, and lasts until the
    session has ended; spans of messages that belong to nothing else belong to it.

    The context travels by permessage-meta; on sessions that have not agreed on it nothing is sent,
    and spans are made all the same.
    """

    name: ClassVar[str] = "trace"
    Options: ClassVar[type[OptionSet]] = TraceOptions
    options: TraceOptions

    def setup(self) -> None:
        self._tracer: Tracer = trace.get_tracer("wsext_trace")
        self._sessions: WeakKeyDictionary[Session, Span] = WeakKeyDictionary()

    @hookimpl
    def wsext_session_opened(self, session: Session) -> None:
        """Begin the session's span."""
        if not self.options.sessions:
            return
        request = session.request
        server = session.role == "server"
        came_with = dict(request.headers.raw_items()) if server else {}
        carrier = {name.lower(): value for name, value in came_with.items()}
        self._sessions[session] = self._tracer.start_span(
            f"{request.route or request.path} session",
            propagate.extract(carrier) if server else None,
            SpanKind.SERVER if server else SpanKind.CLIENT,
            {
                "network.protocol.name": "websocket",
                "url.path": request.path,
                "http.route": request.route or "",
                "client.address": request.remote or "",
                "wsext.session": session.id,
                "wsext.extensions": [agreed.name for agreed in session.extensions],
            },
        )

    @hookimpl
    def wsext_session_closed(self, session: Session, info: CloseInfo) -> None:
        """End it with how the session ended."""
        span = self._sessions.pop(session, None)
        if span is None:
            return
        stats = session.stats
        span.set_attributes(
            {
                "wsext.close.code": info.code,
                "wsext.messages.in": stats.messages_in,
                "wsext.messages.out": stats.messages_out,
                "wsext.bytes.in": stats.app_bytes_in,
                "wsext.bytes.out": stats.app_bytes_out,
            }
        )
        if info.exception is not None:
            span.set_status(StatusCode.ERROR, type(info.exception).__name__)
        span.end()

    @hookimpl
    def wsext_frame_sending(self, session: Session, frame: Frame) -> Frame | None:
        """Begin a message: a PRODUCER span, whose context goes with it."""
        if not 1 <= frame.opcode <= 2:
            return None
        if not self.options.spans:
            return self._with_context(session, frame)
        with self._span("send", SpanKind.PRODUCER, session, frame, ()):
            return self._with_context(session, frame)

    @hookimpl
    def wsext_frame_received(self, session: Session, frame: Frame) -> None:
        """A message has come: a CONSUMER span, linked to the one that sent it."""
        if not 1 <= frame.opcode <= 2 or not self.options.spans:
            return
        sender = trace.get_current_span(context_of(frame)).get_span_context()
        links = [Link(sender)] if sender.is_valid else []
        with self._span("receive", SpanKind.CONSUMER, session, frame, links):
            pass

    def _with_context(self, session: Session, frame: Frame) -> Frame | None:
        if session.extension(_CARRIER, None) is None:
            return None
        carrier: dict[str, Any] = dict(frame.meta or {})
        propagate.inject(carrier)
        return frame.replace(meta=carrier) if carrier else None

    def _span(self, what: str, kind: SpanKind, session: Session, frame: Frame, links: Any) -> Any:
        parent = None
        if not trace.get_current_span().get_span_context().is_valid and session in self._sessions:
            parent = trace.set_span_in_context(self._sessions[session])
        return self._tracer.start_as_current_span(
            f"{session.request.path} {what}",
            context=parent,
            kind=kind,
            links=links,
            attributes={
                "messaging.system": "websocket",
                "messaging.operation.type": what,
                "messaging.destination.name": session.request.path,
                "messaging.message.body.size": len(frame.payload),
                "wsext.session": session.id,
                "wsext.text": frame.opcode == 1,
            },
        )


def context_of(message: Message | Frame) -> Context:
    """The trace context that came with a message; give it to ``start_as_current_span(context=)``.

    Without one it is the empty context.
    """
    meta: Mapping[str, Any] = message.meta or {}
    carrier = {name: value for name, value in meta.items() if isinstance(value, str)}
    return propagate.extract(carrier, context=Context())
