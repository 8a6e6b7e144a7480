# C types for connection.py, which is compiled with them.
import cython

from wsext.protocol.frames cimport Frame, Message, make_message
from wsext.protocol.joining cimport Joiner
from wsext.protocol.journal cimport Journal
from wsext.protocol.leaf cimport copy_text, size_of
from wsext.protocol.pipeline cimport Pipeline
from wsext.protocol.sending cimport Sender
from wsext.protocol.wire cimport FrameParser

cdef long long _UNITS_PER_TURN
cdef long long _UNITS_PER_DECODING
cdef int _UNIT_BITS
cdef int _NONE
cdef int _CLOSE
cdef int _PING
cdef int _PONG


cdef class Connection(Sender):
    cdef FrameParser _parser
    cdef public bint has_more
    cdef public bint streaming
    cdef int _partial
    cdef long long _turn
    cdef public long long messages_in
    cdef public long long app_bytes_in
    cdef public long long wire_bytes_in
    cdef public long long pings_in
    cdef public long long frames_in
    cdef list _decoded
    cdef bint _handed_out
    cdef object _due
    cdef long long _wire_size
    cdef long long _wire_limit
    cdef long long _max_message
    cdef int _wire_partial
    cdef bint _wire_known
    cdef Joiner _joiner
    cdef long long _skip

    cpdef object room(self)

    @cython.locals(parser=FrameParser, pipeline=Pipeline)
    cpdef object receive(self, object data, Py_ssize_t size=*)

    @cython.locals(parser=FrameParser)
    cpdef object next_event(self)

    cpdef new_turn(self)
    cpdef keep(self)
    cdef bint _is_receiving(self) except -1
    @cython.locals(frame=Frame)
    cdef bint _is_barrier(self, list frames) except -1

    cdef _discard(self)
    cdef _fail_receiving(self, object failure)

    cdef bint _is_direct(self) except -1

    @cython.locals(journal=Journal, pipeline=Pipeline, each=Frame)
    cdef _count_in(self, object result)

    @cython.locals(frame=Frame)
    cpdef object ready_event(self)

    @cython.locals(
        message=Message, pipeline=Pipeline, frame=Frame, opcode=int, decoded=list
    )
    cdef object _take(self, object item)

    @cython.locals(opcode=int, is_whole=bint)
    cdef object _deliver(self, Frame frame)

    @cython.locals(size=Py_ssize_t, whole=bytes)
    cdef Message _whole(self, Frame frame)

    @cython.locals(opcode=int, size="long long")
    cdef _check_wire(self, Frame frame)

    cdef object _deliver_other(self, Frame frame)

    @cython.locals(joiner=Joiner)
    cdef object _deliver_fragment(self, Frame frame)

    @cython.locals(opcode=int)
    cdef Frame _deliver_control(self, Frame frame)
