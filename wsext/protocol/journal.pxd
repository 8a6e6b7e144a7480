# C types for journal.py, which is compiled with them.
import cython

from wsext.protocol.frames cimport Frame

cdef long long _NEVER
cdef list _NOTHING


cdef class Journal:
    # What every message meets comes first, so that it shares cache lines. Pairs of `int` and `bint`
    # leave no holes: a server has one of these for each session.
    cdef list _kept
    cdef public long long sent
    cdef public long long kept_bytes
    cdef public long long max_bytes
    cdef public Py_ssize_t max_messages
    cdef public bint is_full
    cdef public bint is_ack_near
    cdef public long long received
    cdef long long _bytes
    cdef long long _told
    cdef long long _bytes_told
    cdef long long _taken
    cdef int _every
    cdef public int opcode
    cdef public object queue
    cdef public long long acknowledged
    cdef public long long acks
    cdef public long long replayed
    cdef public long long replayed_bytes
    cdef public long long skip
    cdef long long _lost
    cdef list _begun
    cdef long long _begun_bytes
    cdef list _parts
    cdef long long _parts_bytes
    cdef int _begun_sent
    cdef public bint is_started
    cdef bint _is_over
    cdef public double window
    cdef public object session
    cdef public object peer_received
    cdef public str fresh
    cdef public object claim
    cdef public object owner

    @cython.locals(text=str, kept=list)
    cpdef record(self, object data, Py_ssize_t size)

    cdef _encode_last(self, str text)

    @cython.locals(size=Py_ssize_t, parts=list, first=Frame)
    cpdef record_frame(self, Frame frame, object hints)

    cpdef begin(self, Frame frame)

    @cython.locals(count=Py_ssize_t, at=Py_ssize_t, kept=list)
    cpdef take_ack(self, object payload)

    cpdef count(self, Py_ssize_t size)
    cpdef count_frame(self, Frame frame)
    cdef void _look(self) noexcept
    cdef bint _has_quarter(self) noexcept

    cpdef Py_ssize_t taken(self) except -1
    cpdef bint has_news(self) except -1
    cpdef bytes ack_payload(self)

    @cython.locals(news="long long")
    cpdef bint is_ack_due(self) except -1

    cpdef bint is_untold(self) except -1

    @cython.locals(at=Py_ssize_t)
    cpdef object next_kept(self)
    cpdef Frame next_begun(self)


@cython.locals(frame=Frame, text=str)
cdef Py_ssize_t _size_of(object kept) except -1
