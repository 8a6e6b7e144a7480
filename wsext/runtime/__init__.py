"""One connection on asyncio: sessions, reading and writing, flow control, pings, closing."""
