"""Values as JSON or MessagePack and back, through msgspec; what is wrong is one exception."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Literal, TypeAlias

import msgspec

from wsext.errors import MessageError

__all__ = ["NAMES", "Format", "decode", "decoder", "encode", "encode_json"]

Format: TypeAlias = Literal["json", "msgpack"]

NAMES: dict[Format, str] = {"json": "JSON", "msgpack": "MessagePack"}

#: Characters of msgspec's text that are passed on: it may quote what the peer sent.
_MAX_TEXT = 200

_PLACE = re.compile(r"(.*?) - at (`key` in )?`(\$.*)`", re.DOTALL)


def decoder(type: Any, format: Format) -> Callable[[Any], Any]:
    """What decodes to a type; made once.

    Raises:
        TypeError: If msgspec cannot decode to it.
    """
    try:
        return _kept(type, format)
    except TypeError:  # perhaps only because it cannot be hashed
        return _make(type, format)


def _make(type: Any, format: Format) -> Callable[[Any], Any]:
    module = msgspec.json if format == "json" else msgspec.msgpack
    decode: Callable[[Any], Any] = module.Decoder(type).decode
    return decode


_kept = lru_cache(256)(_make)


def decode(data: str | bytes, type: Any, format: Format) -> Any:
    """A message as a value of a type. JSON may be text or binary, MessagePack is binary.

    Raises:
        MessageError: ``malformed`` if it is not in the format, ``invalid`` if it is another type.
    """
    if format == "msgpack" and isinstance(data, str):
        raise MessageError("malformed", "Expected a binary message, got text")
    read = decoder(type, format)
    try:
        return read(data)
    except msgspec.ValidationError as error:
        raise _invalid(str(error)) from error
    except msgspec.DecodeError as error:
        raise MessageError("malformed", str(error)[:_MAX_TEXT]) from error
    except UnicodeDecodeError as error:
        raise MessageError("malformed", "Invalid UTF-8 encoded string") from error
    except TypeError as error:  # msgspec 0.20 and a key that is no text
        raise MessageError("invalid", str(error)[:_MAX_TEXT]) from error
    except RecursionError as error:
        raise MessageError("malformed", "Too many levels") from error


def _invalid(text: str) -> MessageError:
    found = _PLACE.fullmatch(text)
    if found is None:
        return MessageError("invalid", text[:_MAX_TEXT])
    problem = f"{found[1]} (a key)" if found[2] else found[1]
    return MessageError("invalid", problem[:_MAX_TEXT], found[3][:_MAX_TEXT])


def encode(value: Any, format: Format) -> str | bytes:
    """A value as a message: JSON as text, MessagePack as bytes.

    Raises:
        TypeError: If the value cannot be encoded.
    """
    if format == "json":
        return encode_json(value)
    return msgspec.msgpack.encode(value, enc_hook=_dump)


def encode_json(value: Any, text: bool = True) -> str | bytes:
    """A value as JSON, for a text message or a binary one.

    Raises:
        TypeError: If the value cannot be encoded.
    """
    data = msgspec.json.encode(value, enc_hook=_dump)
    return data.decode() if text else data


def _dump(value: Any) -> Any:
    """What msgspec does not know, as plain data: pydantic's models, which FastAPI's users have."""
    dump = getattr(value, "model_dump", None)
    if dump is None:
        raise TypeError(f"values of the type {type(value).__name__} cannot be encoded")
    return dump(mode="json")
