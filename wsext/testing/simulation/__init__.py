"""A simulated world for tests: virtual time, and a network that misbehaves by a seed."""
