# C types for session_path.py, which is compiled with them.
import cython

from wsext.protocol.connection cimport Connection
from wsext.protocol.frames cimport Message
from wsext.protocol.prepared cimport PreparedMessage
from wsext.runtime.inbox cimport Inbox
from wsext.runtime.write_path cimport WritePath


cdef class Send:
    cdef SessionPath _session
    cdef object _data
    cdef object _hints
    cdef object _meta
    cdef object _steps
    cdef object _sender
    cdef bint _started

    @cython.locals(session=SessionPath, link=WritePath)
    cdef object _start(self)


@cython.locals(sending=Send)
cpdef Send new_send(SessionPath session, object sender, object data, object hints, object meta)


cdef class SessionPath:
    cdef public bint _raw
    cdef public object _on_message
    cdef public object _life
    cdef public Connection _connection
    cdef public WritePath _link
    cdef public Inbox _inbox

    @cython.locals(inbox=Inbox, message=Message)
    cdef _deliver(self, object item)
    cdef _deliver_one(self, Message message)

    cpdef bint _try_prepared(self, PreparedMessage message) except -1


@cython.locals(session=SessionPath, link=WritePath, number=Py_ssize_t)
cpdef list send_to_all(PreparedMessage message, list sessions)
