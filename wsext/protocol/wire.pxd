# C types for wire.py, which is compiled with them.
import cython

from wsext.protocol.frames cimport make_frame, make_message
from wsext.protocol.leaf cimport (
    copy, copy_text, mask, move, text_view, unmask, unmask_text,
)


cdef Py_ssize_t _READ_AT_MOST


cdef class MaskSource:
    cdef bytes _pool
    cdef Py_ssize_t _at

    @cython.locals(at=Py_ssize_t)
    cpdef bytes next(self)


cdef class Spare:
    cdef list _buffers
    cdef Py_ssize_t _size

    @cython.locals(buffer=bytearray)
    cdef bytearray take(self, Py_ssize_t size)

    @cython.locals(size=Py_ssize_t)
    cdef give(self, bytearray buffer)


cdef Spare _spare


cdef class FrameParser:
    cdef object _data
    cdef Py_ssize_t _at
    cdef Py_ssize_t _end
    cdef bytearray _body
    cdef bint _starved
    cdef bint _masked
    cdef public bint direct
    cdef bint _halfway
    cdef int _first
    cdef long long _max_size
    cdef Py_ssize_t _have
    cdef Py_ssize_t _need
    cdef int _rsv_control
    cdef int _rsv_first
    cdef int _rsv_rest
    cdef frozenset _opcodes

    @cython.locals(at=Py_ssize_t, end=Py_ssize_t)
    cpdef put(self, object data, Py_ssize_t size=*)

    @cython.locals(
        at=Py_ssize_t, end=Py_ssize_t, body_at=Py_ssize_t, length="long long",
        first=int, second=int, masked=bint, view="const unsigned char *",
    )
    cpdef object next(self)

    cpdef keep(self)
    cdef _starve(self)
    cpdef clear(self)
    cpdef feed(self, object data, list out, Py_ssize_t size=*)

    @cython.locals(start=Py_ssize_t, have=Py_ssize_t, need=Py_ssize_t, body=bytearray)
    cdef _begin(self, object data, Py_ssize_t body_at, Py_ssize_t end, int first, long long length)

    @cython.locals(body=bytearray, have=Py_ssize_t)
    cpdef object room(self)

    cpdef advance(self, Py_ssize_t size)

    @cython.locals(body=bytearray, larger=bytearray)
    cdef bytearray _grow(self, Py_ssize_t size)

    @cython.locals(body=bytearray, have=Py_ssize_t, take=Py_ssize_t)
    cdef Py_ssize_t _fill(self, object data, Py_ssize_t end) except -1

    @cython.locals(body=bytearray, start=Py_ssize_t)
    cdef object _end_body(self)

    @cython.locals(
        at=Py_ssize_t, end=Py_ssize_t, length=Py_ssize_t, first=int, second=int, masked=bint,
        view="const unsigned char *",
    )
    cpdef object only(self, object data, Py_ssize_t size=*)

    @cython.locals(opcode=int)
    cdef object _item(
        self, const unsigned char *data, Py_ssize_t at, Py_ssize_t size, Py_ssize_t key_at, int first
    )

    @cython.locals(opcode=int, rsv=int, allowed=int)
    cdef _check_head(self, int first, int second)


@cython.locals(first=int, mask_bit=int)
cpdef bytes frame_header(int opcode, long long size, bint fin, int rsv, bint masked)

@cython.locals(size=Py_ssize_t)
cpdef Py_ssize_t write_apart(list out, int first, object data) except -1

cpdef Py_ssize_t payload_size(Py_ssize_t whole, bint masked) noexcept

cpdef tuple to_payload(object data)
