"""What an author of an extension builds on. Sans-I/O, like everything below.

options.py     option sets: typed, checked, documented
extension.py   Extension, Codec, MessageCodec, Interceptor
hookspecs.py   every hook
plugins.py     finding plugins: entry points, allow and deny, faults contained
installed.py   what one app or client has installed, and its hooks
"""
