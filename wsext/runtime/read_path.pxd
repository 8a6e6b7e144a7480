# C types for read_path.py, which is compiled with them.
import cython

from wsext.protocol.connection cimport Connection
from wsext.protocol.frames cimport Frame, Message
from wsext.protocol.journal cimport Journal
from wsext.runtime.inbox cimport Inbox
from wsext.runtime.session_path cimport SessionPath
from wsext.runtime.turns cimport Turns
from wsext.runtime.write_path cimport WritePath

cdef Py_ssize_t _LARGE
cdef double _PER_BYTE, _PER_TLS_BYTE
cdef int _ROUNDS, _LISTENED


cdef class ReadPath(WritePath):
    cdef public SessionPath _session
    cdef bytearray _buffer
    cdef object _view
    cdef bint _in_place
    cdef bint _grows
    cdef double _per_byte
    cdef public bint _stalled
    cdef public bint _pulling
    cdef public bint _heard
    cdef public bint _has_read
    cdef public dict _active
    cdef public bint acks_later
    cdef public bint has_acked
    cdef public Py_ssize_t resumed
    cdef public Turns _turns
    cdef public double used
    cdef public double last
    cdef public bint is_queued

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

    @cython.locals(session=SessionPath, frame=Frame, journal=Journal)
    cdef _hand_over(self, object event)

    @cython.locals(journal=Journal)
    cdef _end_read(self)

    @cython.locals(journal=Journal)
    cdef _acknowledge(self)
