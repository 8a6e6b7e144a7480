"""Attacks on every promise of SECURITY.md, each with figures of what it costs.

    python -m tests.attack                      every attack on every front that it applies to
    python -m tests.attack --list               what there is
    python -m tests.attack --only inflate       those with that in their name
    python -m tests.attack --front http1,tls    those fronts
    python -m tests.attack --write              and put the table into SECURITY.md
    python -m tests.attack --soak 30            minutes of honest and hostile load together

The server runs in a process of its own; the attacker is the command's process. A third process,
`tests.attack.honest`, has a few sessions that are echoed all the time, and opens a new one now and
then; it measures what other people notice. The kernel says what the server spends.

| file | what it answers |
|---|---|
| `registry.py` | what an attack is, and which there are |
| `fronts.py` | how each front's server is started, and ended |
| `target.py` | what an attack may do: connections, floods, be a hostile server |
| `peers.py` | connections that count what they send, over HTTP/1.1 and HTTP/2 |
| `meter.py` | what the server's processes spend, by the kernel |
| `honest.py` | how long an honest session waits meanwhile |
| `running.py` | one attack from start to verdict |
| `report.py` | the tables |
| `victim.py`, `asgi.py`, `trio_victim.py` | the attacked apps, one for each kind of server |
| `soak.py` | honest and hostile load for minutes, and whether anything grows |

**To add an attack**, write a function into the file of its area: `accepting.py`, `handshake.py`,
`hosts.py`, `frames.py`, `compression.py`, `http2.py`, `rooms.py`, `logs.py`, `workers.py`,
`client.py`. A new file is named in `registry.AREAS`::

    @attack(
        "empty fragments without end",                  # in plain words; unique
        "a message in a million fragments",             # the row of SECURITY.md that it attacks
        fronts=("http1", "http2", "uvicorn"),
        sessions=2,                                     # so many that it may hold
    )
    async def empty_fragments(target: Target) -> None:
        await target.flood(masked(2, b"", False) + masked(0, b"", False) * 20_000, sessions=2)

It may take `target.seconds`, and what it opened is closed afterwards. `assert` what the peer has
to get, for example a close code. The runner checks the rest, for every attack: memory at most 8 MiB
for each session and 64 MiB in all; after five seconds at most 32 MiB, no session and no descriptor
more than before; at most 100 lines of log and no traceback; no error and at most 50 ms (p99) for
honest sessions; and a newcomer gets in, unless ``newcomers=False`` says that the attack uses up a
limit, and ``ends_sessions=True`` that honest sessions may end. So an attack needs no assertion
about these.

Prepare what is sent once, outside of the loop: the attacker has to be cheaper than the server. Set
limits so that they are reached soon (``options={"server.handshake_timeout": 1}``); attacks with the
same options share a server in the suite's short form.
"""
