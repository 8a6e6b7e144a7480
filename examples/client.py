"""A client that stays connected: it says hello, prints what comes, and comes back when it is cut.

python examples/client.py ws://127.0.0.1:8765/chat [MESSAGES]
"""

import asyncio
import sys

import wsext


async def main(url: str, wanted: int) -> None:
    received = 0
    async for session in wsext.connect(url, extensions=["permessage-deflate"]):
        agreed = session.negotiation.header or "no extension"
        print(f"connected, {agreed}, {await session.ping() * 1000:.1f} ms away")
        await session.send("hello from examples/client.py")
        async for message in session:
            print(message)
            received += 1
            if received >= wanted:
                return
        print("the session ended:", session.close_info)


if __name__ == "__main__":
    url = sys.argv[1] if len(sys.argv) > 1 else "ws://127.0.0.1:8765/chat"
    asyncio.run(main(url, int(sys.argv[2]) if len(sys.argv) > 2 else 10))
