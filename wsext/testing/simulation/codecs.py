"""Was every codec that was made closed, exactly once?"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from wsext.protocol.agreement import Agreement
from wsext.sdk.codec import Codec
from wsext.sdk.extension import Extension

__all__ = ["CodecLedger"]


class CodecLedger:
    """Counts the codecs of extensions, from their making to their closing."""

    def __init__(self) -> None:
        self._made: dict[int, tuple[Codec, str]] = {}
        self._closed: dict[int, int] = {}
        self._watched: list[Extension] = []
        self._patched: dict[type[Codec], Callable[[Any], None] | None] = {}

    @property
    def made(self) -> int:
        """How many codecs were made."""
        return len(self._made)

    def findings(self) -> list[str]:
        """What is wrong: one text for each codec that was not closed exactly once."""
        return [
            f"a codec of {name} ({type(codec).__name__}) was closed {count} times"
            for key, (codec, name) in self._made.items()
            if (count := self._closed.get(key, 0)) != 1
        ]

    def watch(self, extensions: Iterable[Extension]) -> None:
        """Count what these make from now on."""
        for extension in extensions:
            if any(extension is other for other in self._watched):
                continue
            self._watched.append(extension)
            for name in ("make_codec", "accept", "confirm"):
                setattr(extension, name, self._counting(extension, getattr(extension, name)))

    def stop(self) -> None:
        """Count nothing any more, and leave everything as it was."""
        for extension in self._watched:
            for name in ("make_codec", "accept", "confirm"):
                vars(extension).pop(name, None)
        kind: Any
        for kind, close in self._patched.items():
            if close is None:
                del kind.close
            else:
                kind.close = close

    def _counting(self, extension: Extension, method: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **options: Any) -> Any:
            result = method(*arguments, **options)
            codec = result.codec if isinstance(result, Agreement) else result
            if isinstance(codec, Codec):
                self._enter(codec, extension.name)
            return result

        return counted

    def _enter(self, codec: Codec, name: str) -> None:
        if id(codec) in self._made:  # `accept` has it from `make_codec`
            return
        kind: Any = type(codec)
        if kind not in self._patched:
            own = vars(kind).get("close")
            inner = kind.close

            def close(codec: Codec) -> None:
                if type(codec) is kind:  # not when a subclass calls this one
                    self._closed[id(codec)] = self._closed.get(id(codec), 0) + 1
                inner(codec)

            try:
                kind.close = close
            except TypeError:  # written in C: it cannot be counted
                return
            self._patched[kind] = own
        self._made[id(codec)] = codec, name
