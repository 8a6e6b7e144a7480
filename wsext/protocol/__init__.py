"""The Sans-I/O engine: bytes in, frames out, and back. No sockets, no clock, no tasks.

frames.py       what travels: opcodes, reserved bits, frames, messages, close codes
states.py       every state transition, as tables
wire.py         frames to bytes and bytes to frames (RFC 6455 §5)
http.py         HTTP/1.1 messages, read and written within limits
handshake.py    the opening handshake of both roles (RFC 6455 §4)
origins.py      which pages may connect (RFC 6454)
negotiation.py  Sec-WebSocket-Extensions: offers, answers, order (RFC 6455 §9.1)
stack.py        the agreed codecs in order, and what follows from them
pipeline.py     runs them over the frames
connection.py   the open connection: messages, control frames, closing handshake
"""
