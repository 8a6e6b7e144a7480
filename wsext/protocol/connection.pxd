# C types for connection.py, which is compiled with them.
import cython

from wsext.protocol.frames cimport Frame, Message, make_frame, make_message
from wsext.protocol.leaf cimport build_frame, copy_text, size_of
from wsext.protocol.pipeline cimport Pipeline
from wsext.protocol.prepared cimport PreparedMessage
from wsext.protocol.wire cimport (
    FrameParser, MaskSource, payload_size, to_payload, write_apart,
)

cdef Py_ssize_t _APART_FROM


cdef class Connection:
    # What every message meets comes first, so that it shares cache lines.
    cdef public object state
    cdef public Pipeline pipeline
    cdef FrameParser _parser
    cdef MaskSource _masks
    cdef bytes _chunk
    cdef list _chunks
    cdef public Py_ssize_t pending_bytes
    cdef int _partial
    cdef int _sending
    cdef public bint raw
    cdef public bint saw_pong
    cdef public long long messages_in
    cdef public long long messages_out
    cdef public long long app_bytes_in
    cdef public long long app_bytes_out
    cdef public long long wire_bytes_in
    cdef public long long wire_bytes_out
    cdef long long _wire_size
    cdef long long _wire_limit
    cdef long long _max_message
    cdef int _wire_partial
    cdef bint _wire_known
    cdef public bint local_first
    cdef public bint streaming
    cdef bint _hold_pongs
    cdef bint _buffered_first
    cdef public str role
    cdef public object failure
    cdef public object local_close
    cdef public object remote_close
    cdef object _held_pong
    cdef public long long pings_in
    cdef bytearray _buffer
    cdef object _decoder
    cdef object _meta
    cdef long long _size

    cpdef fail(self, object error)

    cpdef object room(self)

    cpdef list receive_data(self, object data, Py_ssize_t size=*)

    @cython.locals(
        parser=FrameParser, pipeline=Pipeline, events=list, frames=list, frames_in="long long"
    )
    cpdef object receive(self, object data, Py_ssize_t size=*)

    @cython.locals(parser=FrameParser)
    cdef _count_messages(self)

    @cython.locals(pipeline=Pipeline, frame=Frame)
    cdef _decode(self, list frames, list events)

    cdef _deliver(self, list frames, list events)
    cdef _deliver_frame(self, Frame frame, list events)

    @cython.locals(opcode=int)
    cdef bint _is_whole(self, Frame frame) noexcept

    @cython.locals(size=Py_ssize_t, whole=bytes)
    cdef Message _whole(self, Frame frame)

    @cython.locals(opcode=int, size="long long")
    cdef _check_wire(self, Frame frame)

    cdef _deliver_other(self, Frame frame, list events)
    cdef _deliver_fragment(self, Frame frame, list events)
    cdef _deliver_streamed(self, Frame frame, str text, list events)
    cdef _finish(self, Message message, list events)

    @cython.locals(opcode=int)
    cdef _deliver_control(self, Frame frame, list events)

    @cython.locals(size=Py_ssize_t, text=str, frame=Frame)
    cpdef send_message(self, object data, object hints=*, object meta=*)

    @cython.locals(pipeline=Pipeline, shared=tuple, size=Py_ssize_t)
    cpdef object share_message(self, PreparedMessage message)

    cpdef send_shared(self, bytes wire)

    @cython.locals(item=Frame, frames=list)
    cdef _encode(self, Frame frame)

    cpdef send_frame(self, Frame frame)
    cdef _check_send(self, Frame frame)
    cpdef send_control(self, int opcode, object payload)

    @cython.locals(item=Frame)
    cdef _send_through(self, Frame frame)

    @cython.locals(first=int, size=Py_ssize_t)
    cpdef _write(self, Frame frame)

    @cython.locals(masks=MaskSource, size=Py_ssize_t, chunk=bytes)
    cdef Py_ssize_t _append(self, int first, object data) except -1

    cdef _push(self, bytes chunk)
    cdef _make_list(self)

    @cython.locals(chunks=list)
    cpdef list data_to_send(self)

    @cython.locals(chunk=bytes)
    cpdef object take_output(self)

