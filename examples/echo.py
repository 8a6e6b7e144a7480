"""An echo server, twice: as a coroutine, and as a listener for the last bit of speed.

python examples/echo.py        and in another terminal: wsext connect ws://127.0.0.1:8765/
"""

from wsext import App, Listener, Session

app = App()


@app.websocket("/")
async def echo(session: Session) -> None:
    async for message in session:
        await session.send(message)


@app.websocket("/fast")
class Echo(Listener):
    def on_message(self, session: Session, message: str | bytes) -> None:
        session.send_nowait(message)


if __name__ == "__main__":
    app.run()
