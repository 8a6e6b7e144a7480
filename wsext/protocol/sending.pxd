# C types for sending.py, which is compiled with them.
import cython

from wsext.protocol.epochs cimport Encoding
from wsext.protocol.frames cimport Frame, make_frame
from wsext.protocol.journal cimport Journal
from wsext.protocol.leaf cimport build_frame, size_of
from wsext.protocol.pipeline cimport Pipeline
from wsext.protocol.prepared cimport PreparedMessage
from wsext.protocol.wire cimport MaskSource, payload_size, to_payload, write_apart

cdef Py_ssize_t _APART_FROM
cdef int _NONE
cdef int _CLOSE
cdef int _PONG


cdef class Sender:
    # What every message meets comes first, so that it shares cache lines.
    cdef public object state
    cdef public Pipeline pipeline
    cdef public Journal journal
    cdef MaskSource _masks
    cdef bytes _chunk
    cdef list _chunks
    cdef public Py_ssize_t pending_bytes
    cdef int _sending
    cdef public bint raw
    cdef public long long messages_out
    cdef public long long app_bytes_out
    cdef public long long wire_bytes_out
    cdef public long long dropped_bytes_out
    cdef long long _uncounted
    cdef public bint local_first
    cdef bint _hold_pongs
    cdef public str role
    cdef public object failure
    cdef public object local_close
    cdef public object remote_close
    cdef object _held_pong

    cpdef fail(self, object error)

    @cython.locals(size=Py_ssize_t, text=str, frame=Frame)
    cpdef send_message(self, object data, object hints=*, object meta=*)

    @cython.locals(pipeline=Pipeline, encoding=Encoding)
    cpdef object share_message(self, PreparedMessage message)

    cpdef send_shared(self, bytes wire)

    @cython.locals(item=Frame, frames=list)
    cdef _encode(self, Frame frame)

    @cython.locals(size=Py_ssize_t)
    cdef _count(self, Frame frame)

    @cython.locals(journal=Journal, pipeline=Pipeline, each=Frame)
    cdef _record(self, Frame frame)

    cdef _write_again(self, Frame frame, bint is_whole, list frames)

    @cython.locals(frame=Frame)
    cpdef send_ack(self)

    cpdef send_frame(self, Frame frame)
    cdef _check_send(self, Frame frame)
    cpdef send_control(self, int opcode, object payload)
    cpdef answer_ping(self, object payload)

    cdef list _encoded_control(self, Frame frame)

    @cython.locals(first=int, size=Py_ssize_t)
    cdef _write(self, Frame frame)

    @cython.locals(masks=MaskSource, size=Py_ssize_t, chunk=bytes)
    cdef Py_ssize_t _append(self, int first, object data) except -1

    cdef _push(self, bytes chunk)
    cdef _make_list(self)

    @cython.locals(chunks=list)
    cpdef list data_to_send(self)

    @cython.locals(chunk=bytes)
    cpdef object take_output(self)
