# C types for drive.py, which is compiled with them.
import cython

from wsext.runtime.step cimport Step, advance


cdef class Waiter:
    cdef object _loop
    cdef object _callback
    cdef object _context
    cdef object _message
    cdef Drive _drive
    cdef bint _cancelled
    cdef public object _asyncio_future_blocking
    cdef public bint done

    @cython.locals(drive=Drive)
    cpdef wake(self)
    cpdef finish(self)
    cdef _later(self)


cdef class Drive(Step):
    cdef object _context
    cdef object _coroutine
    cdef object _error
    cdef object _loop
    cdef Waiter _parked
    cdef object _pending
    cdef object _task

    cdef object step(self)
    cdef object _hand_over(self)

    @cython.locals(waiter=Waiter, parked=Waiter)
    cdef object _settle(self, object advance, object argument)

    @cython.locals(waiter=Waiter, parked=Waiter)
    cpdef resume(self)


@cython.locals(waiter=Waiter)
cpdef Waiter new_waiter(object loop)
