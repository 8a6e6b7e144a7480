# C types for `_wire_py.py`, which is compiled as `_wire_c`; the source stays plain Python.
import cython

from wsext.protocol._mask_c cimport mask, unmask


cdef class FrameParser:
    cdef object _body
    cdef int _first
    cdef bytes _key
    cdef bint _masked
    cdef long long _max_size
    cdef Py_ssize_t _missing
    cdef frozenset _opcodes
    cdef int _rsv_control
    cdef int _rsv_first
    cdef int _rsv_rest
    cdef bytes _tail

    @cython.locals(
        at=Py_ssize_t, end=Py_ssize_t, body_at=Py_ssize_t, key_at=Py_ssize_t, missing=Py_ssize_t,
        size="long long", first=int, second=int, opcode=int, masked=bint,
    )
    cpdef feed(self, bytes data, list out)

    @cython.locals(opcode=int, rsv=int, allowed=int)
    cdef _check_head(self, int first, int second)


@cython.locals(first=int, mask_bit=int)
cpdef bytes frame_header(int opcode, long long size, bint fin, int rsv, bint masked)
