# C types for `_queues_py.py`, which is compiled as `_queues_c`; the source stays plain Python.
import cython

from wsext._step_c cimport Step, advance
from wsext.protocol._frames_c cimport Frame, Message


@cython.freelist(64)
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
    cdef finish(self)
    cdef _later(self)


@cython.final
cdef class Inbox:
    cdef object _head
    cdef list _rest
    cdef Waiter _waiter
    cdef Waiter _idle
    cdef list _waiters
    cdef public Py_ssize_t size
    cdef Py_ssize_t _capacity
    cdef Py_ssize_t _max_bytes
    cdef bint _deaf
    cdef public bint full
    cdef object _loop
    cdef object _end
    cdef object _on_room
    cdef public Py_ssize_t dropped
    cdef public bint quiet

    cpdef bint put(self, object item) except -1
    cpdef drop_oldest(self)
    cpdef bint is_awaited(self)

    @cython.locals(waiter=Waiter, waiting=Py_ssize_t)
    cpdef wake(self, Py_ssize_t count)

    cpdef Take message(self)
    cpdef Take data(self)
    cpdef Take frame(self)

    cpdef bint leave(self, Waiter waiter)

    @cython.locals(taker=Take)
    cdef Take _take(self, int how)

    cpdef object pop(self)

    @cython.locals(waiter=Waiter)
    cpdef Waiter wait(self)


cdef class Take(Step):
    cdef int _how
    cdef Inbox _inbox
    cdef Waiter _waiter

    @cython.locals(inbox=Inbox, waiter=Waiter)
    cdef object step(self)


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


cdef class Done(Step):
    cdef object step(self)


cdef int MESSAGE, DATA, FRAME, NEXT

@cython.locals(waiter=Waiter)
cdef Waiter new_waiter(object loop)

@cython.locals(message=Message, frame=Frame)
cdef Py_ssize_t _size(object item) except -1

@cython.locals(message=Message)
cdef object _make(object item, int how)

cpdef Frame as_frame(Message message)
