cdef class Step:
    cdef public bint ready
    cdef object step(self)
