# C types for joining.py, which is compiled with them.
from wsext.protocol.frames cimport Frame
from wsext.protocol.journal cimport Journal


cdef class Joiner:
    cdef public long long size
    cdef long long _max_size
    cdef long long _skip
    cdef bytearray _buffer
    cdef object _decoder
    cdef bint _is_first
    cdef object _meta

    cpdef object take(self, Frame frame, bint streaming, Journal journal)
    cdef object _piece(self, Frame frame, str text, Journal journal)
