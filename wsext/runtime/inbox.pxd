# C types for inbox.py, which is compiled with them.
import cython

from wsext.protocol.frames cimport Frame, Message
from wsext.runtime.drive cimport Waiter, new_waiter
from wsext.runtime.step cimport Step
from wsext.runtime.turns cimport Turns


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
    cdef Turns _turns
    cdef Py_ssize_t _counted
    cdef public Py_ssize_t undecoded
    cdef public bint is_counted
    cdef public bint is_held
    cdef public bint is_watched

    @cython.locals(is_awaited=bint)
    cpdef bint put(self, object item) except -1

    @cython.locals(turns=Turns, now=Py_ssize_t)
    cpdef count(self)

    cpdef drop_oldest(self)
    cpdef refuse(self)
    cpdef bint is_awaited(self)

    @cython.locals(waiter=Waiter, waiting=Py_ssize_t)
    cpdef wake(self, Py_ssize_t count)

    cpdef Take message(self)
    cpdef Take message_for(self, Take taker)
    cpdef Take data(self)
    cpdef Take frame(self)

    cpdef bint leave(self, Waiter waiter)

    cdef Take _take(self, int how)
    cdef Take _begin(self, Take taker, int how)

    cpdef object pop(self)

    @cython.locals(waiter=Waiter)
    cpdef Waiter wait(self)


cdef class Take(Step):
    cdef int _how
    cdef Inbox _inbox
    cdef Waiter _waiter

    @cython.locals(inbox=Inbox, waiter=Waiter)
    cdef object step(self)


cdef class Done(Step):
    cdef object step(self)


cdef int MESSAGE, DATA, FRAME, NEXT

@cython.locals(message=Message, frame=Frame)
cdef Py_ssize_t _size(object item) except -1

@cython.locals(message=Message)
cdef object _make(object item, int how)

@cython.locals(size=Py_ssize_t)
cdef _pack(Message message)

cdef Py_ssize_t _LARGE

cpdef Frame as_frame(Message message)
