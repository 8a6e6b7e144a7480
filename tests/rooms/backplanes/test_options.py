"""What can be set in a backplane's URL."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Annotated

import pytest

from wsext import OptionError, in_code
from wsext.rooms.backplanes.options import MemoryOptions, NatsOptions, RemoteOptions, take_options


def test_its_own_parameters_are_taken_out_of_a_url() -> None:
    url = "redis://user:pass@host:6379/0?retain=5&prefix=chat&ssl_cert_reqs=none"
    bare, options = take_options(url, RemoteOptions, ("ssl_",))
    assert bare == "redis://user:pass@host:6379/0?ssl_cert_reqs=none"
    assert (options.retain, options.prefix, options.ttl) == (5, "chat", 86_400)


def test_without_parameters_there_are_the_defaults() -> None:
    assert take_options("nats://host", NatsOptions) == ("nats://host", NatsOptions())
    assert take_options("memory://", MemoryOptions)[1] == MemoryOptions()


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("retian=5", "retain"),  # the nearest name
        ("retain=", "retain"),
        ("retain=many", "retain"),
        ("prefix=a.b", "prefix"),
        ("timeout=0", "timeout"),
        ("storage=file", "storage"),  # an option of NATS only
        ("ssl_cert_reqs=none", "ssl_cert_reqs"),  # not said to be passed on
    ],
)
def test_what_does_not_fit_is_named_with_the_scheme(query: str, named: str) -> None:
    with pytest.raises(OptionError, match=named) as caught:
        take_options(f"redis://host?{query}", RemoteOptions)
    assert "redis://" in str(caught.value)


def test_a_url_cannot_set_what_only_code_sets() -> None:
    class Mine(RemoteOptions):
        clock: Annotated[Callable[[], float], in_code("seconds")] = time.monotonic

    assert take_options("mine://host?retain=5", Mine)[1].clock is time.monotonic
    with pytest.raises(OptionError, match=r"mine://: clock: can only be set in code"):
        take_options("mine://host?clock=time.time", Mine)
