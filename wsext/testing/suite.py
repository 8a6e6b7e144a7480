"""The conformance kit: what every extension has to hold, as a class of tests.

    from wsext.testing import ExtensionSuite

    class TestFoo(ExtensionSuite):
        extension = Foo

That is a whole test module. pytest runs it as it is; `run` runs it without pytest, which is what
``wsext ext check`` does. What a case says is its docstring; it is skipped, with the reason, where
an extension has not what it tests.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import os.path
import selectors
import sys
import threading
import traceback
import unittest
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from wsext.sdk.conformance import check_conformance
from wsext.sdk.extension import Extension, Installable, Interceptor
from wsext.testing.cases_codec import CodecCases
from wsext.testing.cases_damage import DamageCases
from wsext.testing.cases_histories import HistoryCases
from wsext.testing.cases_integrity import IntegrityCases
from wsext.testing.cases_local import LocalCases
from wsext.testing.cases_negotiation import NegotiationCases
from wsext.testing.cases_options import OptionCases
from wsext.testing.cases_plugin import PluginCases
from wsext.testing.cases_session import SessionCases
from wsext.testing.cases_sharing import SharingCases
from wsext.testing.cases_state import StateCases

__all__ = ["CaseResult", "ExtensionSuite", "InterceptorSuite", "Outcome", "run", "suite_for"]


class ExtensionSuite(
    OptionCases,
    NegotiationCases,
    CodecCases,
    DamageCases,
    IntegrityCases,
    StateCases,
    SharingCases,
    HistoryCases,
    SessionCases,
):
    """Everything that a wire extension has to hold.

    A subclass says what cannot be found out::

        class TestFoo(ExtensionSuite):
            extension = Foo
            options = {"key": "secret"}
            detects_corruption = True

    Attributes:
        extension: The class under test.
        options: Options that every instance gets, for an extension that needs some.
        variants: Sets of options to negotiate with each other; by default one for each choice, and
            for each bound of a number, of the wire options.
        messages: Payloads that the cases use besides their own.
        examples: How many random conversations are tried; they are the same in every run.
        inflates: Whether decoding may make much more than came in; found out when it is ``None``.
        detects_corruption: Whether every message is refused that was changed, cut off, made up or
            sent without the extension's bit. ``None``: true for a `SealedCodec`, otherwise false.
        detects_replay: Whether every message is refused that comes twice, too early, after one that
            is missing, from another connection, or back to its sender. ``None``: true for a
            `SealedCodec` that is ``ordered``, otherwise false.
        ground: What the sessions of the cases run on: asyncio, or trio
            (`wsext.testing.on_trio.OnTrio`).
    """


class InterceptorSuite(OptionCases, LocalCases):
    """Everything that a local interceptor has to hold.

    Attributes:
        extension: The class under test.
        options: Options that every instance gets.
        messages: Payloads that are sent through it.
        transparent: Whether messages have to arrive as they were sent.
        variants, examples: Not used for an interceptor, which negotiates nothing.
        ground: As for `ExtensionSuite`.
    """


#: Folders and files whose lines say nothing to an author.
_NOT_THEIRS = (
    os.path.dirname(os.path.dirname(__file__)) + os.sep,
    os.path.dirname(asyncio.__file__) + os.sep,
    *(str(module.__file__) for module in (contextlib, selectors, threading)),
)


class Outcome(StrEnum):
    """What became of a case."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class CaseResult:
    """One case and what became of it.

    Attributes:
        name: The test's name.
        title: What it demands, in a sentence.
        outcome: Whether the extension holds it.
        detail: Why it was skipped, or how it failed.
    """

    name: str
    title: str
    outcome: Outcome
    detail: str = ""


def suite_for(kind: Any, **attributes: Any) -> type[Any]:
    """The suite of what an entry point leads to: an extension, an interceptor, or a plugin of
    hooks.

    Raises:
        TypeError: For an attribute that the suites do not have, or one of another type.
    """
    check_conformance(getattr(kind, "__name__", repr(kind)), attributes)
    if not (inspect.isclass(kind) and issubclass(kind, Installable)):
        return type("TestPlugin", (PluginCases,), {"plugin": kind, **attributes})
    if issubclass(kind, Extension):
        base: type[Any] = ExtensionSuite
    elif issubclass(kind, Interceptor):
        base = InterceptorSuite
    else:
        raise TypeError(f"{kind.__name__} is neither an Extension nor an Interceptor")
    return type(f"Test{kind.__name__}", (base,), {"extension": kind, **attributes})


def cases(suite: type[Any]) -> list[tuple[str, str]]:
    """The names of a suite's cases and what each demands, in the order of the source."""
    found = []
    for cls in reversed(suite.__mro__):
        for name, member in vars(cls).items():
            if name.startswith("test_") and callable(member):
                title = (inspect.getdoc(member) or name).partition("\n")[0]
                found.append((name, title))
    return list(dict(found).items())


def run(
    suite: type[Any],
    started: Callable[[str], None] | None = None,
    *,
    first: Sequence[str] = (),
    seconds: float | None = None,
) -> Iterator[CaseResult]:
    """Run a suite without pytest, case by case.

    Args:
        suite: A subclass of `ExtensionSuite` or `InterceptorSuite`.
        started: Told the title of each case before it runs.
        first: Names of cases that run before the others.
        seconds: How long a case may take; by default for ever. One that takes longer has failed,
            and is the last one: nothing can end code that does not return. It goes on in a thread.
    """
    for name, title in sorted(cases(suite), key=lambda case: case[0] not in first):
        if started is not None:
            started(title)
        try:
            _call(getattr(suite(), name), seconds)
        except _Endless as error:
            yield CaseResult(name, title, Outcome.FAILED, str(error))
            return
        except unittest.SkipTest as skipped:
            yield CaseResult(name, title, Outcome.SKIPPED, str(skipped))
        except Exception as error:
            yield CaseResult(name, title, Outcome.FAILED, _explain(error))
        else:
            yield CaseResult(name, title, Outcome.PASSED)


class _Endless(Exception):
    """A case takes too long; says where it is."""


def _call(case: Callable[[], None], seconds: float | None) -> None:
    """Run a case; in a thread, if it may not take for ever."""
    if seconds is None:
        case()
        return
    raised: list[BaseException] = []

    def call() -> None:
        try:
            case()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=call, name="wsext case", daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        stack = traceback.extract_stack(sys._current_frames().get(thread.ident or 0))
        theirs = [frame for frame in stack if not frame.filename.startswith(_NOT_THEIRS)]
        where = f"in {theirs[0].name}()" if theirs else "waiting for what never comes"
        lines = [f"did not end within {seconds:g} s: it is {where}; no other case was run"]
        lines += [f"at {frame.filename}:{frame.lineno} in {frame.name}" for frame in theirs]
        raise _Endless("\n".join(lines))
    if raised:
        raise raised[0]


def _explain(error: BaseException) -> str:
    """What was wrong, and the place in the author's code that an exception came from."""
    if isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    lines = [str(error)]
    if not isinstance(error, AssertionError):
        lines = [f"{type(error).__name__}: {error}"]
    cause: BaseException | None = error
    while cause is not None:
        for frame in reversed(traceback.extract_tb(cause.__traceback__)):
            if not frame.filename.startswith(_NOT_THEIRS):
                place = f"at {frame.filename}:{frame.lineno} in {frame.name}"
                lines.append(place if cause is error else f"{place}: {type(cause).__name__}")
                return "\n".join(lines)
        cause = cause.__cause__
    return "\n".join(lines)
