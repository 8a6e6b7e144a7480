"""An AsyncAPI 3.0 document of an app: routes become channels, typed messages operations.

The specification is https://www.asyncapi.com/docs/reference/specification/v3.0.0. It speaks from
the app's side: the app receives what a client sends. A route whose handler is no `Dispatcher` is a
channel without operations, since nothing declares its types.
"""

from __future__ import annotations

import collections.abc
import inspect
import re
import typing
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from wsext.app.application import Application
from wsext.app.routing import PLACEHOLDER, Route
from wsext.app.tables import union_members
from wsext.app.typed import Dispatcher, ErrorReply

__all__ = ["document"]

_CONTENT_TYPES = {"json": "application/json", "msgpack": "application/vnd.msgpack"}

#: What a handler's annotation may wrap its replies in; they are the first or the last argument.
_STREAMS = {
    collections.abc.AsyncGenerator,
    collections.abc.AsyncIterable,
    collections.abc.AsyncIterator,
}
_AWAITABLES = {collections.abc.Awaitable, collections.abc.Coroutine}


def document(
    app: Application,
    *,
    title: str = "wsext",
    version: str = "1.0.0",
    description: str = "",
    server: str | None = None,
) -> dict[str, Any]:
    """The AsyncAPI document of an app, to be written as JSON or YAML.

    Args:
        app: The app; the routes of its plugins belong to it.
        title: The name of the API.
        version: The version of the API.
        description: What it is for; Markdown.
        server: Where it is served: ``wss://example.org/base``.

    Raises:
        OptionError, PluginError: As when the app is served.
        TypeError: If a handler's annotations cannot be read, or a type has no JSON schema.
        ValueError: If ``server`` is no WebSocket URL.
    """
    app.prepare()
    info = {"title": title, "version": version, **_if("description", description)}
    routes: dict[str, Route] = {}
    for route in app.routes:
        if route.kind != "http":
            routes[_unused(_slug(route.path), routes)] = route
    apis = {name: _Api(dispatcher) for name, route in routes.items() if (dispatcher := _of(route))}
    messages = _Messages(
        (kind, format) for api in apis.values() for kind in api.kinds() for format in api.formats
    )
    channels: dict[str, Any] = {}
    operations: dict[str, Any] = {}
    for name, route in routes.items():
        extensions = [item.name for item in app.profile(route)[1].extensions]
        channels[name] = _channel(route, extensions)
        if name in apis:
            channels[name]["messages"] = messages.of_channel(apis[name])
            operations.update(apis[name].operations(name, messages))
    return {
        "asyncapi": "3.0.0",
        "info": info,
        "defaultContentType": _CONTENT_TYPES["json"],
        **_if("servers", {"default": _server(server)} if server else None),
        "channels": channels,
        "operations": operations,
        "components": {"messages": messages.components, "schemas": messages.schemas},
    }


def _if(key: str, value: Any) -> dict[str, Any]:
    return {key: value} if value else {}


def _of(route: Route) -> type[Dispatcher] | None:
    return getattr(route.handler, "dispatcher", None)


def _server(url: str) -> dict[str, Any]:
    scheme, separator, rest = url.partition("://")
    host, _, path = rest.rstrip("/").partition("/")
    if not separator or scheme not in ("ws", "wss") or not host:
        raise ValueError(f"expected ws://host or wss://host, got {url!r}")
    return {"host": host, "protocol": scheme, **_if("pathname", path and f"/{path}")}


# --- channels ---------------------------------------------------------------------------------


def _slug(path: str) -> str:
    """A path as a key: ``/orders/<int:book>`` is ``orders-book``."""
    text = PLACEHOLDER.sub(lambda found: found["name"], path)
    return re.sub(r"[^A-Za-z0-9_]+", "-", text).strip("-") or "root"


def _unused(name: str, taken: Iterable[str]) -> str:
    number = 1
    while (candidate := name if number == 1 else f"{name}-{number}") in taken:
        number += 1
    return candidate


def _channel(route: Route, extensions: list[str]) -> dict[str, Any]:
    notes = inspect.cleandoc(route.handler.__doc__ or "")
    if route.kind == "raw":
        notes = f"{notes}\n\nFrames travel as they are, without reassembly.".strip()
    parameters = {
        found["name"]: {"description": found["converter"] or "string"}
        for found in PLACEHOLDER.finditer(route.path)
    }
    return {
        "address": PLACEHOLDER.sub(lambda found: f"{{{found['name']}}}", route.path),
        "title": getattr(route.handler, "__name__", "handler"),
        **_if("description", notes),
        **_if("parameters", parameters),
        "bindings": {"ws": _binding(route, extensions)},
    }


def _binding(route: Route, extensions: list[str]) -> dict[str, Any]:
    """The handshake, by the WebSockets binding: subprotocols and extensions are headers."""
    headers: dict[str, Any] = {}
    if route.subprotocols:
        headers["Sec-WebSocket-Protocol"] = {"type": "string", "enum": list(route.subprotocols)}
    if extensions:
        headers["Sec-WebSocket-Extensions"] = {
            "type": "string",
            "description": f"Extensions that may be agreed: {', '.join(extensions)}",
            "examples": extensions,
        }
    schema = {"headers": {"type": "object", "properties": headers}} if headers else {}
    return {"method": "GET", **schema, "bindingVersion": "0.1.0"}


# --- operations -------------------------------------------------------------------------------


class _Api:
    """The types of one dispatcher: what each method takes and sends."""

    def __init__(self, dispatcher: type[Dispatcher]) -> None:
        self.dispatcher = dispatcher
        self.formats = sorted({dispatcher.format, *dispatcher.subprotocols.values()})
        self.takes = {name: list(kinds) for name, kinds in dispatcher.table.kinds.items()}
        custom = dispatcher.error_reply is not Dispatcher.error_reply
        errors = list(_returns(dispatcher, "error_reply")) if custom else [ErrorReply]
        self.replies = {
            name: list(dict.fromkeys([*_returns(dispatcher, name), *errors])) for name in self.takes
        }
        pushes = (member for kind in dispatcher.pushes for member in union_members(kind))
        self.pushes = list(dict.fromkeys([*_returns(dispatcher, "on_open"), *pushes]))

    def kinds(self) -> Iterator[Any]:
        """Every type, some more than once."""
        for name, kinds in self.takes.items():
            yield from kinds
            yield from self.replies[name]
        yield from self.pushes

    def operations(self, channel: str, messages: _Messages) -> Iterator[tuple[str, dict[str, Any]]]:
        """The operations on a channel by name."""
        where = {"$ref": f"#/channels/{channel}"}

        def refs(kinds: Iterable[Any]) -> list[dict[str, str]]:
            names = messages.names(kinds, self.formats)
            return [{"$ref": f"#/channels/{channel}/messages/{name}"} for name in names]

        for name, kinds in self.takes.items():
            method = inspect.unwrap(getattr(self.dispatcher, name))
            replies = refs(self.replies[name])
            yield (
                f"{channel}-{method.__name__}",
                {
                    "action": "receive",
                    "channel": where,
                    **_if("description", inspect.cleandoc(method.__doc__ or "")),
                    "messages": refs(kinds),
                    **_if("reply", replies and {"channel": where, "messages": replies}),
                },
            )
        if self.pushes:
            sent = {"action": "send", "channel": where, "messages": refs(self.pushes)}
            yield f"{channel}-pushes", sent


def _returns(dispatcher: type[Dispatcher], name: str) -> Iterator[Any]:
    """The types that a method's annotation says it sends."""
    method = inspect.unwrap(getattr(dispatcher, name))
    try:
        kind = typing.get_type_hints(method, include_extras=True).get("return", Any)
    except NameError as error:
        raise TypeError(
            f"{dispatcher.__name__}.{name}: {error}; its annotations need names of the module"
        ) from None
    origin = typing.get_origin(kind)
    if origin in _STREAMS:
        kind = typing.get_args(kind)[0]
    elif origin in _AWAITABLES:
        kind = typing.get_args(kind)[-1]
    for member in union_members(kind):
        if member is not Any:
            yield member


# --- messages ---------------------------------------------------------------------------------


class _Messages:
    """All messages and their schemas; each type is described once.

    Attributes:
        components: The messages by name.
        schemas: The JSON schemas that they refer to.
    """

    def __init__(self, wanted: Iterable[tuple[Any, str]]) -> None:
        pairs = list(dict.fromkeys(wanted))
        payloads, schemas = msgspec.json.schema_components(
            [kind for kind, _ in pairs], ref_template="#/components/schemas/{name}"
        )
        self.schemas = {name: _draft_7(schema) for name, schema in schemas.items()}
        self.components: dict[str, Any] = {}
        self._names: dict[tuple[Any, str], str] = {}
        for (kind, format), payload in zip(pairs, payloads, strict=True):
            ref = payload.get("$ref", "").rpartition("/")[2]
            name = ref or _slug(getattr(kind, "__name__", None) or str(kind))
            key = _unused(name if format == "json" else f"{name}.{format}", self.components)
            self._names[kind, format] = key
            self.components[key] = {
                "name": name,
                "contentType": _CONTENT_TYPES[format],
                "payload": _draft_7(payload),
            }

    def names(self, kinds: Iterable[Any], formats: Iterable[str]) -> list[str]:
        """The names of types' messages in some formats."""
        return [self._names[kind, format] for kind in kinds for format in formats]

    def of_channel(self, api: _Api) -> dict[str, Any]:
        """The messages of one channel."""
        names = dict.fromkeys(self.names(api.kinds(), api.formats))
        return {name: {"$ref": f"#/components/messages/{name}"} for name in names}


def _draft_7(schema: Any) -> Any:
    """msgspec's schema (2020-12, with OpenAPI's discriminator) as AsyncAPI wants it: draft 7."""
    if isinstance(schema, list):
        return [_draft_7(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    result = {key: _draft_7(value) for key, value in schema.items()}
    if isinstance(result.get("description"), str):
        result["description"] = inspect.cleandoc(result["description"])
    if "anyOf" in result and isinstance(result.get("discriminator"), dict):
        del result["discriminator"]  # the tags are enums of the members, so nothing is lost
    if result.get("type") == "array" and "prefixItems" in result:
        result["additionalItems"] = result.get("items", True)
        result["items"] = result.pop("prefixItems")
    return result
