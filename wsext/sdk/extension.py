"""What is installed and negotiated: extensions, and local interceptors.

An **extension** is a class with a registered token. Installing it with an option set gives one
configured, immutable instance. Negotiation turns an offer into an **agreement**: the parameters of
the response, and a **codec** that lives as long as one connection and transforms its frames.

    class Upper(MessageCodec):
        def encode_message(self, data: bytes) -> bytes:
            return data.upper()

    class UpperExtension(Extension):
        name = "x-upper"
        rsv = RSV.RSV2
        def make_codec(self, params, ctx):
            return Upper()

The core does the rest: the header's grammar, several offers with fallback, allocation of reserved
bits, the order of the stack, limits, close codes. An **interceptor** has no token on the wire: it
sees, replaces, drops or adds frames on its own side only.
"""

from __future__ import annotations

from collections.abc import Awaitable, Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar

from wsext.errors import NegotiationError, OptionError, PluginError
from wsext.protocol.agreement import Agreement, Declined, NegotiationContext, Phase
from wsext.protocol.boundary import distribution_of
from wsext.protocol.codes import RSV
from wsext.protocol.params import Params
from wsext.sdk.checks import check_class, check_name
from wsext.sdk.codec import Codec
from wsext.sdk.options import OptionField, OptionSet, option_fields, show_options, wire_field

__all__ = ["Extension", "Installable", "Interceptor", "wire_fields"]


class NoOptions(OptionSet):
    """The options of what has none."""


class Installable:
    """What can be installed on an app or a client: a token and typed options.

    Args:
        options: A whole option set, or
        values: single options by name.

    Raises:
        OptionError: For an unknown option or a value that does not fit.
        PluginError: If its option set or its `setup` raises anything else.
        TypeError: When a subclass is made, for an attribute that cannot be used.

    Attributes:
        name: The token: the entry point's name, and for a wire extension the name in the header.
        Options: The class of the option set; a set without options if there are none.
        options: The option set of this instance, checked and immutable.
        counters: What it counts, by name; `wsext-metrics` shows it. Numbers only grow. The default
            is nothing.
        conformance: What `wsext ext check` cannot find out itself: names and values of attributes
            of the kit's suite, for example ``{"options": {"key": "a key for tests"}}``.
    """

    name: ClassVar[str]
    counters: Mapping[str, int] = MappingProxyType({})
    Options: ClassVar[type[OptionSet]] = NoOptions
    conformance: ClassVar[Mapping[str, Any]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        check_class(cls)

    def __init__(self, options: OptionSet | None = None, /, **values: Any) -> None:
        check_name(type(self))
        doing = "its option set"
        try:
            self.options: Any = self._take_options(options, values)
            doing = "setup()"
            self.setup()
        except (OptionError, PluginError):
            raise
        except BaseException as error:
            problem = f"{doing} failed: {type(error).__name__}: {error}"
            raise PluginError(self.name, problem, distribution_of(type(self)) or None) from error

    def _take_options(self, options: OptionSet | None, values: dict[str, Any]) -> OptionSet:
        if options is None:
            return self.Options.parse(values, owner=self.name)
        if not isinstance(options, self.Options):
            raise OptionError(
                self.name, None, f"expected {self.Options.__name__}, got {type(options).__name__}"
            )
        return options.replace(values, owner=self.name) if values else options

    def setup(self) -> None:
        """Override to derive things from ``self.options`` once, when it is installed."""

    def memory_estimate(self) -> int | None:
        """Bytes that one connection costs with these options, or ``None`` when unknown."""
        return None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({show_options(self.options, self.options.changed())})"


class Extension(Installable):
    """A wire extension: negotiated by its token, working through a codec.

    The default negotiates a token without parameters; override `make_codec` for that. Override
    `offers`, `accept` and `confirm` to negotiate parameters.

    Attributes:
        name: The token: the entry point's name, and the name in the header.
        phase: Where it sits in the stack, from the application (first) to the wire (last). The
            default is ``Phase.SEMANTIC``.
        rsv: The reserved bits that it claims: one of `RSV`, or several with ``|``. Two extensions
            on one connection never share one. The default is ``RSV.NONE``.
        opcodes: The reserved opcodes that it claims: 3 to 7 and 11 to 15. The default is none.
        Options: The class of the option set; a set without options if there are none.
        options: The option set of this instance, checked and immutable.
        wire_params: The parameters that may stand in a header: the option set's wire fields and
            ``extra_wire_params``. The core sets it when the class is made.
        secret_params: Those of them whose values nobody is to see (``wire(..., secret=True)``): no
            log, no tool, and not `Session.negotiation`. The core sets it, too.
        extra_wire_params: Parameters that are no option, such as the name of a dictionary: names,
            or a mapping that describes each for ``wsext ext show``, such as
            ``{"dict": Annotated[str, wire("hash of the dictionary")]}``.
        off_until_configured: Whether ``wsext serve`` leaves it off until somebody configures it,
            if only with its name. What has a required option is off until then anyway. The default
            is ``False``.
        counters: What it counts, by name; `wsext-metrics` shows it. The default is nothing.
        conformance: What `wsext ext check` cannot find out itself: names and values of attributes
            of `wsext.testing.ExtensionSuite`, for example ``{"detects_corruption": True}``.
    """

    phase: ClassVar[Phase] = Phase.SEMANTIC
    rsv: ClassVar[RSV] = RSV.NONE
    opcodes: ClassVar[frozenset[int]] = frozenset()
    off_until_configured: ClassVar[bool] = False
    wire_params: ClassVar[frozenset[str]] = frozenset()
    secret_params: ClassVar[frozenset[str]] = frozenset()
    extra_wire_params: ClassVar[Collection[str]] = frozenset()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.rsv, cls.opcodes = RSV(cls.rsv), frozenset(cls.opcodes)
        fields = [field for field in option_fields(cls.Options) if field.wire]
        extra = cls.extra_wire_params
        if isinstance(extra, Mapping):
            fields += [wire_field(name, kind) for name, kind in extra.items()]
        cls.wire_params = frozenset(field.wire for field in fields if field.wire) | frozenset(extra)
        cls.secret_params = frozenset(field.wire for field in fields if field.wire and field.secret)

    def offers(self) -> Sequence[Params]:
        """Client: what to ask for, as alternatives, the best first."""
        return [Params()]

    def resume_offers(self, session: Any) -> Sequence[Params]:
        """Client: what to ask for when a session comes back whose connection was lost; by default
        the `offers`.

        Args:
            session: The session. `NegotiationContext.session` is the same one in `confirm`.
        """
        return self.offers()

    def accept(
        self, offer: Params, ctx: NegotiationContext
    ) -> Agreement | Declined | Awaitable[Agreement | Declined]:
        """Server: answer one offer.

        Parameters that are not in `wire_params` were refused before. Raise `NegotiationError`
        (the readers of `Params` do) or return `Declined`: the client's next offer is tried.

        It may be ``async def``. Servers and uvicorn wait for all extensions of a handshake together
        as long as ``negotiation_timeout`` allows, and decline what takes longer. Where nothing can
        be awaited (``websockets``, a `Connection` without I/O) such an extension is declined.
        """
        return Agreement(self.make_codec(Params(), ctx), Params())

    def worker_of(self, offer: Params) -> str:
        """Server with workers: the one that has to answer an offer, by the name that it had in
        `NegotiationContext.worker`; empty if anyone may, as is the default.

        It is asked before anything is decided. The worker that has read the request hands the
        connection over. If that cannot be (there is no such worker any more, or it does not
        answer), another one negotiates as usual; so the answer is a hint, and may be wrong.
        """
        return ""

    def confirm(
        self, offers: Sequence[Params], answer: Params, ctx: NegotiationContext
    ) -> Codec | Awaitable[Codec]:
        """Client: take the server's answer to `offers`. It may be ``async def``, as `accept`.

        Raises:
            NegotiationError: If the answer cannot be used; the connection is failed (RFC 6455
                §4.1).
        """
        if answer and not any(dict(answer) == dict(offer) for offer in offers):
            raise NegotiationError(f"the answer {str(answer)!r} was not offered")
        return self.make_codec(answer, ctx)

    def make_codec(self, params: Params, ctx: NegotiationContext) -> Codec:
        """The codec for agreed parameters; what the default `accept` and `confirm` call."""
        return Codec()


class Interceptor(Installable):
    """Local, without any negotiation: sees messages or frames on the application's side of the
    codecs.

    Mark the hooks that it needs with `hookimpl`::

        class Shout(Interceptor):
            name = "shout"

            @hookimpl
            def wsext_message_sending(self, session, message):
                return message.upper()

    Outgoing data passes first the message hooks and then the frame hooks, both in the order of
    installation; incoming data takes the reverse way. To end the session, raise `EndSession`.

    An interceptor fails open by default: if it raises, or returns what it must not, that is logged,
    and the frame or message passes as it was. After three faults in a row the hook is left out for
    the rest of the session.

    Attributes:
        name: The token: the entry point's name. It never stands in a header.
        Options: The class of the option set; a set without options if there are none.
        options: The option set of this instance, checked and immutable.
        fail_closed: Whether its first fault ends the session with 1011 instead. Set it where
            nothing may pass that the interceptor has not seen.
        counters: What it counts, by name; `wsext-metrics` shows it. The default is nothing.
        conformance: What `wsext ext check` cannot find out itself: names and values of attributes
            of `wsext.testing.InterceptorSuite`, for example ``{"transparent": False}``.
    """

    #: Whether its first fault ends the session with 1011.
    fail_closed: ClassVar[bool] = False


def wire_fields(kind: type[Extension]) -> list[OptionField]:
    """Every parameter that an extension may put into a header: its options first."""
    options = [field for field in option_fields(kind.Options) if field.wire]
    described: dict[str, Any] = {}
    for base in reversed(kind.__mro__):
        extra = vars(base).get("extra_wire_params")
        described |= extra if isinstance(extra, Mapping) else {}
    beside = sorted(kind.wire_params - {field.wire for field in options})
    return [*options, *(wire_field(name, described.get(name, Any)) for name in beside)]
