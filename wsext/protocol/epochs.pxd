# C types for epochs.py, which is compiled with them.
import cython

cdef long long _MOST_SPARE


cdef class Encoding:
    cdef public bytes wire
    cdef public Py_ssize_t size
    cdef public tuple passed
    cdef public tuple beside
    cdef public object epoch
    cdef public long long number
    cdef public long long inside
    cdef public long long outside


cdef class Follower:
    cdef public object epoch
    cdef public long long number
    cdef public long long spare

    cpdef bint follows(self, Encoding encoding) except -1
    cpdef take(self, Encoding encoding, long long size)
    cpdef bint spend(self, long long size) except -1
