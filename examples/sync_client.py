"""What `client.py` does, without an event loop: says hello, prints what comes, and comes back.

python examples/sync_client.py ws://127.0.0.1:8765/chat [MESSAGES]
"""

import sys

from wsext.sync import connect


def main(url: str, wanted: int) -> None:
    received = 0
    for session in connect(url, extensions=["permessage-deflate"]):
        agreed = session.negotiation.header or "no extension"
        print(f"connected, {agreed}, {session.ping(timeout=10) * 1000:.1f} ms away")
        session.send("hello from examples/sync_client.py")
        for message in session:
            print(message)
            received += 1
            if received >= wanted:
                return
        print("the session ended:", session.close_info)


if __name__ == "__main__":
    url = sys.argv[1] if len(sys.argv) > 1 else "ws://127.0.0.1:8765/chat"
    main(url, int(sys.argv[2]) if len(sys.argv) > 2 else 10)
