"""What happens when code of an extension fails, as a table; it stands in docs/outcomes.md."""

from __future__ import annotations

__all__ = ["CALLS", "FAULTS", "HOOKS", "MEANINGS", "markdown"]

#: What may go wrong, in the order of the columns.
FAULTS = (
    "Exception",
    "ValueError",
    "legal code",
    "illegal code",
    "SystemExit",
    "KeyboardInterrupt",
    "CancelledError",
    "wrong type",
    "None",
    "never returns",
)

_ROWS = """
option-set     refused option refused refused refused refused refused ignored ignored blocks
setup          refused refused refused refused refused refused refused ignored ignored blocks
offers         unoffered unoffered unoffered unoffered unoffered unoffered unoffered unoffered unoffered blocks
accept         declined declined declined declined declined declined declined declined declined declined
confirm        failed failed failed failed failed failed failed failed failed failed
make_codec     codeless codeless codeless codeless codeless codeless codeless codeless codeless blocks
share_key      alone alone alone alone alone alone alone alone alone blocks
wants          1011 1011 own 1011 1011 1011 1011 true false blocks
encode         1011 1011 own 1011 1011 1011 1011 1011 1011 1011
can_share      1011 1011 own 1011 1011 1011 1011 true alone blocks
make_history   fresh fresh fresh fresh fresh fresh fresh fresh fresh blocks
SharedHistory.encode  fresh fresh fresh fresh fresh fresh fresh fresh fresh blocks
encode_shared  1011 1011 own 1011 1011 1011 1011 1011 1011 blocks
skip_shared    1011 1011 own 1011 1011 1011 1011 ignored ignored blocks
decode         1011 1007 own 1011 1011 1011 1011 1011 1011 1011
close          logged logged logged logged logged logged logged ignored ignored blocks
"""  # noqa: E501

_HOOK_ROWS = """
wsext_frame_received    passes passes passes passes passes passes passes passes ignored blocks
wsext_frame_sending     passes passes passes passes passes passes passes passes ignored blocks
wsext_message_received  passes passes passes passes passes passes passes passes ignored passes
wsext_message_sending   passes passes passes passes passes passes passes passes ignored passes
wsext_handshake       503 503 503 503 503 503 503 503 ignored dropped
wsext_negotiate       logged logged logged logged logged logged logged logged ignored blocks
wsext_session_opened  1011 1011 own 1011 1011 1011 1011 ignored ignored blocks
wsext_session_closed  logged logged logged logged logged logged logged ignored ignored blocks
wsext_answered        logged logged logged logged logged logged logged ignored ignored blocks
wsext_limited         logged logged logged logged logged logged logged ignored ignored blocks
wsext_not_ready       unready unready unready unready unready unready unready unready ignored blocks
wsext_routes          refused refused refused refused refused refused refused ignored ignored blocks
"""


def _read(rows: str) -> dict[str, tuple[str, ...]]:
    return {call: tuple(words) for call, *words in map(str.split, rows.strip().splitlines())}


#: What happens, by call: a word for each fault.
CALLS = _read(_ROWS)
HOOKS = _read(_HOOK_ROWS)

MEANINGS = {
    "refused": "A `PluginError` names the extension, its distribution and the cause when it is "
    "installed. `wsext serve` logs it and leaves the extension out; with `strict = true` it stops.",
    "option": "An `OptionError` names the option set's extension.",
    "unoffered": "Client: `connect` raises `NegotiationError`; nothing has been sent.",
    "declined": "Server: the offer is declined, the next one is tried, and the session opens.",
    "failed": "Client: `connect` raises `NegotiationError`, and the server gets a Close frame with "
    "1011.",
    "codeless": "As `accept` on a server, as `confirm` on a client.",
    "alone": "The session works; a broadcast is encoded for it alone.",
    "fresh": "The session works; messages to a group are encoded without a memory.",
    "1011": 'The connection is failed with 1011 and the words "extension failed".',
    "1007": 'The connection is failed with 1007 and the words "message cannot be decoded".',
    "own": "The connection is failed with the code and the reason that the extension gave.",
    "true": "It counts as true.",
    "false": "It counts as false: the message passes by the codec.",
    "ignored": "Nothing: it is not used.",
    "logged": "Nothing but a line in the log.",
    "blocks": "Nothing can help: a function that is not asynchronous blocks its thread.",
    "503": "The handshake is refused with 503: nobody can tell whether the peer may connect.",
    "dropped": "The connection is dropped when `handshake_timeout` is over.",
    "passes": "The frame or message goes on as it was. After three faults in a row the "
    "interceptor is left out of the session. With `fail_closed = True`, the first fault is 1011.",
    "unready": "`/readyz` answers 503, as for a reason.",
}


def _rows(calls: dict[str, tuple[str, ...]]) -> list[str]:
    head = [f"| call | {' | '.join(FAULTS)} |", "|---" * (len(FAULTS) + 1) + "|"]
    return head + [f"| `{call}` | {' | '.join(row)} |" for call, row in calls.items()]


def markdown() -> str:
    """The tables as they stand in the docs."""
    meanings = [f"| {word} | {meaning} |" for word, meaning in MEANINGS.items()]
    lines = [
        *_rows(CALLS),
        "",
        *_rows(HOOKS),
        "",
        "| word | what happens |",
        "|---|---|",
        *meanings,
    ]
    return "\n".join(lines) + "\n"
