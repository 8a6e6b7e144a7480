cdef class Step:
    cdef public bint ready
    cdef object step(self)


cpdef object advance(object context, object coroutine)
