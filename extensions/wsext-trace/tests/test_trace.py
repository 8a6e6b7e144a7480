"""The trace goes on at the other side."""

from __future__ import annotations

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from wsext_trace import Trace, context_of

import wsext
from wsext import App, Session, testing

_exporter = InMemorySpanExporter()


@pytest.fixture(scope="module", autouse=True)
def _provider() -> None:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(_exporter))
    trace.set_tracer_provider(provider)


@pytest.fixture
def spans() -> InMemorySpanExporter:
    _exporter.clear()
    return _exporter


class TestTrace(testing.InterceptorSuite):
    extension = Trace


async def test_spans_are_linked_across_client_and_server(spans: InMemorySpanExporter) -> None:
    tracer = trace.get_tracer("test")
    async with testing.pair(["permessage-meta", Trace()]) as (client, server):
        with tracer.start_as_current_span("work") as work:
            await client.send("hello", meta={"id": 7})
        message = await server.receive_message()
        assert message.data == "hello"
        assert message.meta["id"] == 7
        with tracer.start_as_current_span("handle", context=context_of(message)) as handle:
            assert handle.get_span_context().trace_id == work.get_span_context().trace_id
    by_name = {span.name: span for span in spans.get_finished_spans()}
    sent, received = by_name["/ send"], by_name["/ receive"]
    assert sent.kind is trace.SpanKind.PRODUCER
    assert received.kind is trace.SpanKind.CONSUMER
    assert sent.parent is not None
    assert sent.parent.span_id == work.get_span_context().span_id
    assert received.links[0].context.span_id == sent.context.span_id
    assert by_name["handle"].parent is not None
    assert by_name["handle"].parent.span_id == sent.context.span_id
    assert sent.attributes is not None
    assert sent.attributes["messaging.message.body.size"] == 5


async def test_without_permessage_meta_nothing_travels(spans: InMemorySpanExporter) -> None:
    async with testing.pair([Trace()]) as (client, server):
        await client.send("hello")
        message = await server.receive_message()
        assert message.meta == {}
    names = {span.name for span in spans.get_finished_spans()}
    assert names == {"/ send", "/ receive", "/ session"}


async def test_without_spans_only_the_context_is_passed_on(spans: InMemorySpanExporter) -> None:
    tracer = trace.get_tracer("test")
    async with testing.pair(["permessage-meta", Trace(spans=False, sessions=False)]) as (
        client,
        server,
    ):
        with tracer.start_as_current_span("work") as work:
            await client.send(b"hello")
        message = await server.receive_message()
        assert trace.get_current_span(context_of(message)).get_span_context().span_id == (
            work.get_span_context().span_id
        )
    assert [span.name for span in spans.get_finished_spans()] == ["work"]


async def test_streams_carry_the_context_once(spans: InMemorySpanExporter) -> None:
    async def chunks() -> object:
        yield "one "
        yield "two"

    async with testing.pair(["permessage-meta", Trace(sessions=False)]) as (client, server):
        await client.send(chunks())  # type: ignore[arg-type]
        message = await server.receive_message()
        assert message.data == "one two"
        assert "traceparent" in message.meta
    assert len(spans.get_finished_spans()) == 2


async def test_a_session_goes_on_from_its_handshake_and_ends_with_its_code(
    spans: InMemorySpanExporter,
) -> None:
    app = App()
    app.install(Trace())

    @app.websocket("/room/<name>")
    async def room(session: Session, name: str) -> None:
        async for message in session:
            await session.send(message)

    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    async with wsext.serve(app) as server:
        url = f"{server.url}/room/tea"
        async with wsext.connect(url, headers={"Traceparent": parent}) as session:
            await session.send("hello")
            await session.receive()
            await session.close(3000)
    by_name = {span.name: span for span in spans.get_finished_spans()}
    whole = by_name["/room/<name> session"]
    assert whole.kind is trace.SpanKind.SERVER
    assert whole.parent is not None
    assert f"{whole.parent.span_id:x}" == "b7ad6b7169203331"
    assert whole.attributes is not None
    assert whole.attributes["wsext.close.code"] == 3000
    assert whole.attributes["wsext.messages.in"] == 1
    received = by_name["/room/tea receive"]
    assert received.parent is not None
    assert received.parent.span_id == whole.context.span_id
