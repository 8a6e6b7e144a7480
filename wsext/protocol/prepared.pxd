# C types for prepared.py, which is compiled with them.
import cython

from wsext.protocol.epochs cimport Encoding, Follower
from wsext.protocol.frames cimport Frame
from wsext.protocol.pipeline cimport Pipeline


cdef Py_ssize_t _KEPT


cdef class PreparedMessage:
    cdef Frame _frame
    cdef object _context
    cdef long long _number
    cdef dict _told
    cdef public object data
    cdef public object hints
    cdef public object meta
    cdef public dict shared
    cdef public Py_ssize_t size

    @cython.locals(message=PreparedMessage)
    cpdef PreparedMessage within(self, object context)

    @cython.locals(follower=Follower, encoding=Encoding, follows=bint, told=tuple)
    cpdef Encoding encoding_for(self, Pipeline pipeline)
