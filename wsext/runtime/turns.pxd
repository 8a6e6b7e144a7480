# C types for turns.py, which is compiled with them.
cdef double _SLICE, _PASS, _QUEUED


cdef class Turns:
    cdef public bint is_spent
    cdef public object clock
    cdef object _loop
    cdef double _left
    cdef double _floor
    cdef list _queue
    cdef Py_ssize_t _number
    cdef bint _is_due

    cpdef bint is_over(self, double began) except -1
    cpdef charge(self, object who, double began)
    cpdef queue(self, object who)
    cdef _come_soon(self)
