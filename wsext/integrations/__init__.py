"""wsext inside other people's servers.

`wsext.integrations.uvicorn` runs any ASGI application on this engine, and
`wsext.integrations.websockets` gives wire extensions to a plain ``websockets`` server or client.
"""
