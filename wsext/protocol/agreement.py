"""What a negotiation is made of: offers, agreements, verdicts, and what is in use afterwards."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Any, ClassVar, Protocol

from wsext.protocol.boundary import Boundary
from wsext.protocol.codes import RSV
from wsext.protocol.contract import CodecLike
from wsext.protocol.journal import Journal
from wsext.protocol.params import Params

__all__ = [
    "Agreed",
    "Agreement",
    "Declined",
    "ExtensionLike",
    "Negotiation",
    "NegotiationContext",
    "Offer",
    "OfferRecord",
    "Phase",
    "Verdict",
]


class Phase(IntEnum):
    """Where an extension sits in the stack: from the application down to the wire."""

    APPLICATION = 10
    SEMANTIC = 20
    COMPRESSION = 30
    INTEGRITY = 40
    WIRE = 50


class Verdict(StrEnum):
    """What became of one offer."""

    AGREED = "agreed"
    DECLINED = "declined"
    SKIPPED = "skipped"
    MALFORMED = "malformed"


@dataclass(frozen=True, slots=True)
class NegotiationContext:
    """What an extension may know while it negotiates; later versions may add to it.

    Attributes:
        role: ``"server"`` or ``"client"``: whose side the extension is on.
        max_message_size: The limit for a whole received message, in bytes.
        request: The handshake request.
        binding: Bytes that no other session has and that both sides know, where the extension is a
            `wsext.SealedExtension`; otherwise empty.
        session: Client: the session that comes back and asks to be resumed; otherwise ``None``.
        worker: The name of the worker that negotiates, for `Extension.worker_of`; a token without
            dots, and empty without workers.
    """

    role: str
    max_message_size: int
    request: Any = None
    binding: bytes = b""
    session: Any = None
    worker: str = ""


@dataclass(frozen=True, slots=True)
class Agreement:
    """Returned by `Extension.accept`: yes, with these response parameters and this codec.

    Attributes:
        codec: The state of this one connection. Allocate what is large on first use: the
            handshake may still be refused (`Codec.close` is called then, too).
        params: The parameters of the response.
    """

    codec: CodecLike
    params: Params = field(default_factory=Params)


@dataclass(frozen=True, slots=True)
class Declined:
    """Returned by `Extension.accept`: not this offer; the next one is tried.

    Attributes:
        reason: Why, for `session.negotiation`; it is never sent.
    """

    reason: str = "declined"


class ExtensionLike(Protocol):
    """What the negotiator needs from an extension; `wsext.Extension` is one."""

    name: ClassVar[str]
    phase: ClassVar[Phase]
    rsv: ClassVar[RSV]
    opcodes: ClassVar[frozenset[int]]
    wire_params: ClassVar[frozenset[str]]
    secret_params: ClassVar[frozenset[str]]

    def offers(self) -> Sequence[Params]: ...
    def resume_offers(self, session: Any) -> Sequence[Params]: ...
    def accept(
        self, offer: Params, ctx: NegotiationContext
    ) -> Agreement | Declined | Awaitable[Agreement | Declined]: ...
    def confirm(
        self, offers: Sequence[Params], answer: Params, ctx: NegotiationContext
    ) -> CodecLike | Awaitable[CodecLike]: ...


@dataclass(frozen=True, slots=True)
class Offer:
    """One extension as it stands in a header: its name, and its parameters or what is wrong."""

    name: str
    params: Params = field(default_factory=Params)
    problem: str | None = None

    def __str__(self) -> str:
        params = str(self.params)
        return f"{self.name}; {params}" if params else self.name

    @property
    def header(self) -> str:
        """As it stands in the header, also the secret parameters, which ``str`` does not show."""
        return f"{self.name}; {self.params.header}" if self.params else self.name


@dataclass(frozen=True, slots=True)
class OfferRecord:
    """One offer and what became of it."""

    offer: Offer
    verdict: Verdict
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Agreed:
    """One extension in use on a session.

    Attributes:
        extension: The configured extension.
        params: The parameters of the response.
        codec: The state of this connection.
        boundary: Where its codec's faults go, and who closes it.
    """

    extension: Any
    params: Params
    codec: Any
    boundary: Boundary = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        boundary = Boundary(self.name, self.codec, type(self.extension))
        object.__setattr__(self, "boundary", boundary)

    @property
    def name(self) -> str:
        """The extension's token."""
        return str(self.extension.name)

    def __str__(self) -> str:
        return str(Offer(self.name, self.params))


@dataclass(frozen=True, slots=True)
class Negotiation:
    """The outcome: every offer with its verdict and reason, and what is in use.

    Attributes:
        records: In the order in which the offers were tried.
        agreed: In the order of the response.
    """

    records: tuple[OfferRecord, ...] = ()
    agreed: tuple[Agreed, ...] = ()

    @property
    def header(self) -> str | None:
        """The value of the response's ``Sec-WebSocket-Extensions``, or ``None`` for no header."""
        items = [Offer(agreed.name, agreed.params).header for agreed in self.agreed]
        return ", ".join(items) or None

    def forget_secrets(self) -> set[str]:
        """The handshake is over: forget the values of the secret parameters; what they were."""
        if not self.records and not self.agreed:
            return set()
        params = [record.offer.params for record in self.records]
        params += [agreed.params for agreed in self.agreed]
        secrets = {value for each in params for value in each.secrets.values()}
        for each in params:
            each.forget()
        return secrets

    @property
    def journal(self) -> Journal | None:
        """The journal of the codec that has one, if the session may outlive its connection."""
        if not self.agreed:
            return None
        journals = (getattr(agreed.codec, "journal", None) for agreed in self.agreed)
        return next((journal for journal in journals if journal is not None), None)

    def close(self) -> list[Boundary]:
        """Free the codecs of a handshake that failed after all; those that are left have an
        asynchronous `close`, and are freed by `Boundary.aclose`."""
        return [agreed.boundary for agreed in self.agreed if not agreed.boundary.close()]
