# C types for path.py, which is compiled with them.
import cython

from wsext.runtime.inbox cimport Inbox
from wsext.protocol.connection cimport Connection
from wsext.protocol.frames cimport Frame, Message
from wsext.protocol.prepared cimport PreparedMessage


cdef class LinkPath:
    cdef public Connection connection
    cdef SessionPath _session
    cdef bytearray _buffer
    cdef object _view
    cdef public object _write
    cdef public object _outbox
    cdef public object _send_lock
    cdef bint _is_dirty
    cdef bint _in_place
    cdef public bint _paused
    cdef public bint _gathering
    cdef public bint _heard
    cdef public bint _has_read
    cdef public bint _lost
    cdef list _dirty
    cdef public object options
    cdef public object _receiver
    cdef public object _loop
    cdef public object _transport

    @cython.locals(connection=Connection)
    cdef _take(self, object data, Py_ssize_t size)

    @cython.locals(connection=Connection)
    cpdef bint send_prepared(self, PreparedMessage message) except -1

    cdef bint _is_clear(self) except -1
    cdef _send(self, object data, object hints, object meta)

    @cython.locals(connection=Connection, pending=Py_ssize_t)
    cdef _write_out(self)

    @cython.locals(dirty=list)
    cdef _soon(self)


cdef class SessionPath:
    cdef public bint _raw
    cdef public object _on_message
    cdef public object _streaming
    cdef public Connection _connection
    cdef public LinkPath _link
    cdef public Inbox _inbox

    @cython.locals(inbox=Inbox, count=Py_ssize_t)
    cpdef deliver(self, list events)

    @cython.locals(inbox=Inbox)
    cdef _deliver_one(self, Message message)

    cdef _listen(self, object on_message, Message message)
