"""Market data: quotes of some hundred bytes, each compressed on its own, with a dictionary that was
trained on yesterday's.

python examples/market_data.py record > quotes.jsonl
wsext zstd train quotes.jsonl -o quotes.zdict
wsext serve market_data:app --app-dir examples --ext permessage-zstd:dictionaries=quotes.zdict
python examples/market_data.py watch ws://127.0.0.1:8765/quotes quotes.zdict
"""

import asyncio
import random
import sys
from collections.abc import Iterator

import msgspec

import wsext
from wsext import App, Session

app = App()
# Without context takeover a connection keeps no compressor, and a broadcast is encoded once.
app.install("permessage-zstd", server_no_context_takeover=True)
app.install("permessage-deflate", server_no_context_takeover=True)


def quotes(seed: int) -> Iterator[bytes]:
    """What an exchange would send."""
    draw = random.Random(seed)
    for number in range(2000):
        price = round(draw.uniform(10, 500), 2)
        yield msgspec.json.encode(
            {
                "type": "quote",
                "symbol": draw.choice(["WSX", "ACME", "GLOB", "INIT"]),
                "venue": draw.choice(["XNYS", "XNAS", "XLON"]),
                "sequence": number,
                "bid": price,
                "bid_size": draw.randrange(1, 100) * 100,
                "ask": round(price + 0.01 * draw.randrange(1, 9), 2),
                "ask_size": draw.randrange(1, 100) * 100,
            }
        )


@app.websocket("/quotes")
async def feed(session: Session) -> None:
    for quote in quotes(seed=2):
        await session.send(quote.decode())


async def watch(url: str, dictionary: str) -> None:
    """Take the feed in several ways, and compare what travels."""
    ways = {
        "as they are": [],
        "permessage-deflate": ["permessage-deflate"],
        "permessage-zstd": ["permessage-zstd"],
        f"with {dictionary}": {"permessage-zstd": {"dictionaries": (dictionary,)}},
    }
    for name, extensions in ways.items():
        async with wsext.connect(url, extensions=extensions) as session:
            async for _ in session:
                pass
            stats = session.stats
        each = stats.wire_bytes_in / stats.messages_in
        print(f"{name:<20} {each:6.1f} bytes each, {each * stats.messages_in:9,.0f} in all")


if __name__ == "__main__":
    if sys.argv[1:2] == ["record"]:
        sys.stdout.buffer.writelines(quote + b"\n" for quote in quotes(seed=1))
    elif sys.argv[1:2] == ["watch"]:
        asyncio.run(watch(*sys.argv[2:4]))
    else:
        app.run()
