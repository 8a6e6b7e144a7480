# C types for path.py, which is compiled with them.
import cython

from wsext.protocol.connection cimport Connection
from wsext.protocol.frames cimport Frame, Message
from wsext.protocol.journal cimport Journal
from wsext.protocol.prepared cimport PreparedMessage
from wsext.runtime.inbox cimport Inbox
from wsext.runtime.turns cimport Turns

cdef Py_ssize_t _LARGE, _SEND_TURN
cdef int _ROUNDS, _LISTENED


cdef class LinkPath:
    cdef public Connection connection
    cdef public SessionPath _session
    cdef bytearray _buffer
    cdef object _view
    cdef public object _write
    cdef bint _is_dirty
    cdef bint _in_place
    cdef public bint is_async
    cdef public bint _paused
    cdef public bint queueing
    cdef public long long free_until
    cdef public long long turn_until
    cdef public bint _stalled
    cdef public bint _pulling
    cdef public bint _gathering
    cdef public bint _heard
    cdef public bint _has_read
    cdef public bint is_lost
    cdef public bint acks_later
    cdef public bint has_acked
    cdef list _dirty
    cdef public Turns _turns
    cdef public double used
    cdef public double last
    cdef public bint is_queued
    cdef public object options
    cdef public object _loop
    cdef public object _transport

    @cython.locals(
        connection=Connection,
        turns=Turns,
        session=SessionPath,
        began=double,
        is_light=bint,
        message=Message,
    )
    cdef _read(self, object data, Py_ssize_t size)

    @cython.locals(connection=Connection, began=double)
    cpdef go_on(self)

    @cython.locals(
        connection=Connection, session=SessionPath, turns=Turns, count=Py_ssize_t, rounds=int,
        listens=bint
    )
    cdef _pull(self, object event, double began)

    @cython.locals(session=SessionPath, inbox=Inbox, connection=Connection)
    cpdef _count(self)

    @cython.locals(session=SessionPath)
    cpdef bint _has_to_wait(self) except -1

    @cython.locals(session=SessionPath, frame=Frame)
    cdef _hand_over(self, object event)

    @cython.locals(connection=Connection)
    cpdef bint send_prepared(self, PreparedMessage message) except -1

    @cython.locals(connection=Connection)
    cdef long long _sent(self) except -1

    cdef _begin_turn(self)

    @cython.locals(journal=Journal)
    cdef _acknowledge(self)

    @cython.locals(connection=Connection)
    cdef _send(self, object data, object hints, object meta)

    @cython.locals(connection=Connection, pending=Py_ssize_t)
    cdef _write_out(self)

    cdef _soon(self)

    @cython.locals(dirty=list)
    cdef _mark(self)


cdef class Send:
    cdef SessionPath _session
    cdef object _data
    cdef object _hints
    cdef object _meta
    cdef object _steps
    cdef bint _started

    @cython.locals(session=SessionPath, link=LinkPath)
    cdef object _start(self)


@cython.locals(sending=Send)
cdef Send _new_send(SessionPath session, object data, object hints, object meta)


cdef class SessionPath:
    cdef public bint _raw
    cdef public object _on_message
    cdef public object _life
    cdef public Connection _connection
    cdef public LinkPath _link
    cdef public Inbox _inbox

    @cython.locals(inbox=Inbox, message=Message)
    cdef _deliver(self, object item)
    cdef _deliver_one(self, Message message)

    cpdef bint _try_prepared(self, PreparedMessage message) except -1
