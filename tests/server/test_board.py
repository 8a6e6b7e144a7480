"""What a worker tells of itself, in memory that its supervisor shares."""

from __future__ import annotations

import socket
import sys

import pytest

from wsext.server.board import Board

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no descriptors can be passed")


def test_what_one_end_writes_the_other_reads() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        supervisors = Board.send(ours)
        workers = Board.receive(theirs)
    assert (supervisors.beats, supervisors.connections, supervisors.sessions) == (0, 0, 0)
    workers.beat()
    workers.beat()
    workers.write(connections=5, sessions=3)
    assert (supervisors.beats, supervisors.connections, supervisors.sessions) == (2, 5, 3)


def test_every_worker_has_its_own() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        one, other = Board.send(ours), Board.send(ours)
        Board.receive(theirs).beat()
    assert (one.beats, other.beats) == (1, 0)
