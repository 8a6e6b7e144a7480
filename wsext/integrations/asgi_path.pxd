# C types for asgi_path.py, which is compiled with them.
import cython

from wsext.protocol.frames cimport Message
from wsext.runtime.inbox cimport Inbox, Take
from wsext.runtime.session_path cimport SessionPath, new_send


cdef class Receiving(Take):
    cdef ConversationPath _conversation
    cdef dict _event

    @cython.locals(message=Message)
    cdef object step(self)


cdef class ConversationPath:
    cdef public SessionPath session
    cdef public object state
    cdef public bint accepted
    cdef public bint connect_told

    @cython.locals(receiving=Receiving)
    cpdef object receive(self)

    @cython.locals(fields=dict)
    cpdef object send(self, object message)
