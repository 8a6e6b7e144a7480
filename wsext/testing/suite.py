"""The conformance kit: what every extension has to hold, as a class of tests.

    from wsext.testing import ExtensionSuite

    class TestFoo(ExtensionSuite):
        extension = Foo

That is a whole test module. pytest runs it as it is; `run` runs it without pytest, which is what
``wsext ext check`` does. What a case says is its docstring; it is skipped, with the reason, where
an extension has not what it tests.
"""

from __future__ import annotations

import inspect
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
    SessionCases,
):
    """Everything that a wire extension has to hold.

    Attributes:
        extension: The class under test.
        options: Options of every instance, for an extension that needs some:
            ``{"key": "for tests"}``.
        variants: Sets of options that are negotiated with each other, for example
            ``({}, {"size": 100}, {"size": 4096})``. By default they are made of the bounds of the
            wire options.
        messages: Payloads that the cases use: ``[b'{"price": 1}', b"\\x00"]``.
        examples: How many random conversations are tried, the same in every run. 40 by default.
        inflates: Whether decoding may make much more than came in. ``None``, the default: it is
            found out.
        detects_corruption: Whether every change of a message on the wire is refused, and unmarked
            messages, too. ``None``, the default: yes for a `SealedCodec`, otherwise no.
        detects_replay: Whether messages are refused that come twice, out of order, after a missing
            one, back to their sender or from another connection. ``None``, the default: yes for a
            `SealedCodec` that is ``ordered``, otherwise no.
    """


class InterceptorSuite(OptionCases, LocalCases):
    """Everything that a local interceptor has to hold.

    Attributes:
        extension: The class under test.
        options: Options of every instance, for an interceptor that needs some.
        variants: Sets of options worth trying; by default made of the bounds of the options.
        messages: Payloads that the cases use.
        examples: How many random conversations are tried; no case of this suite has any.
        transparent: Whether messages have to arrive as they were sent. ``True`` by default.
    """


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
) -> Iterator[CaseResult]:
    """Run a suite without pytest, case by case.

    Args:
        suite: A subclass of `ExtensionSuite` or `InterceptorSuite`.
        started: Told the title of each case before it runs.
        first: Names of cases that run before the others.
    """
    for name, title in sorted(cases(suite), key=lambda case: case[0] not in first):
        if started is not None:
            started(title)
        try:
            getattr(suite(), name)()
        except unittest.SkipTest as skipped:
            yield CaseResult(name, title, Outcome.SKIPPED, str(skipped))
        except Exception as error:
            yield CaseResult(name, title, Outcome.FAILED, _explain(error))
        else:
            yield CaseResult(name, title, Outcome.PASSED)


def _explain(error: BaseException) -> str:
    """An assertion's text, or an exception with the place in the extension that it came from."""
    if isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, AssertionError):
        lines = [str(error)]
    else:
        lines = [f"{type(error).__name__}: {error}"]
        for frame in reversed(traceback.extract_tb(error.__traceback__)):
            if "/wsext/" not in frame.filename and "hypothesis" not in frame.filename:
                lines.append(f"at {frame.filename}:{frame.lineno} in {frame.name}")
                break
    lines += [str(note).strip() for note in getattr(error, "__notes__", ())]
    return "\n".join(line for line in lines if line)
