"""OpenTelemetry through messages: every message carries its trace context to the other side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, SpanKind, Tracer

from wsext import Frame, Interceptor, Message, OptionSet, Session, hookimpl, local

__all__ = ["Trace", "TraceOptions", "context_of"]

_CARRIER = "permessage-meta"


class TraceOptions(OptionSet):
    """The options of `Trace`."""

    spans: Annotated[bool, local("whether a span is made of every message sent and received")] = (
        True
    )


class Trace(Interceptor):
    """Carries the trace context of every message in its metadata, and links the spans.

    The context travels by permessage-meta; on sessions that have not agreed on it nothing is sent,
    and spans are made all the same.
    """

    name: ClassVar[str] = "trace"
    Options: ClassVar[type[OptionSet]] = TraceOptions
    options: TraceOptions

    def setup(self) -> None:
        self._tracer: Tracer = trace.get_tracer("wsext_trace")

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
        if session.extension_or_none(_CARRIER) is None:
            return None
        carrier: dict[str, Any] = dict(frame.meta or {})
        propagate.inject(carrier)
        return frame.replace(meta=carrier) if carrier else None

    def _span(self, what: str, kind: SpanKind, session: Session, frame: Frame, links: Any) -> Any:
        return self._tracer.start_as_current_span(
            f"{session.request.path} {what}",
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
