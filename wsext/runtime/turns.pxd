# C types for turns.py, which is compiled with them.
from cpython.time cimport perf_counter

cdef double _SLICE, _PASS, _QUEUED, _GRACE
cdef Py_ssize_t _ANY


cdef class Turns:
    cdef public bint is_spent
    cdef public bint is_full
    cdef public Py_ssize_t waiting
    cdef Py_ssize_t _most
    cdef dict _for_room
    cdef object _clock
    cdef object _loop
    cdef double _left
    cdef double _floor
    cdef list _queue
    cdef list _coming
    cdef Py_ssize_t _number
    cdef bint _is_due

    cpdef count(self, Py_ssize_t more)
    cpdef wait_for_room(self, object who)
    cpdef leave(self, object who)
    cdef _let(self, object who)
    cpdef double clock(self) except? -1
    cpdef bint is_over(self, double began) except -1
    cpdef charge(self, object who, double began)
    cpdef spend(self, double seconds)
    cpdef queue(self, object who)
    cdef _come_soon(self)
