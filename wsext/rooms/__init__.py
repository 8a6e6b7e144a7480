"""Rooms: who is in them, what is said there, and what joins those of several processes."""
