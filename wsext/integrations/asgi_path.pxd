# C types for asgi_path.py, which is compiled with them.
import cython

from wsext.protocol.frames cimport Message
from wsext.runtime.inbox cimport Inbox, Take
from wsext.runtime.session_path cimport Send, SessionPath, new_send
from wsext.runtime.step cimport Step


cdef class Receiving(Step):
    cdef ConversationPath _conversation
    cdef dict _event
    cdef Take _take

    @cython.locals(event=dict, take=Take, message=Message)
    cdef object step(self)


cdef class ConversationPath:
    cdef public SessionPath session
    cdef public object state
    cdef public bint accepted
    cdef public bint connect_told

    @cython.locals(receiving=Receiving)
    cpdef object receive(self)

    @cython.locals(fields=dict, sending=Send)
    cpdef object send(self, object message)
