"""The client: addresses and proxies, opening a session, opening it again."""
