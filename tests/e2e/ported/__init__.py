"""Programs of the shape of those in the documentation of `websockets`, for it and for wsext.

Each function of `theirs` serves one with `websockets`. That of the same name in `ours` serves it as
docs/migrating.md says. Both yield the server's URL.
"""
