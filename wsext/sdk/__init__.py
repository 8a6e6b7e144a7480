"""What an author of an extension builds on. Sans-I/O, like everything below.

options.py     option sets: typed, checked, documented
codec.py       Codec, MessageCodec: what transforms the frames of one connection
sealed.py      SealedCodec, SealedExtension: integrity and encryption
extension.py   Extension, Interceptor: what is installed and negotiated
hookspecs.py   every hook
hooks.py       the implementations of hooks, as plain calls
plugins.py     which plugins there are, and what each brings
installed.py   what one app, route or client has installed
"""
