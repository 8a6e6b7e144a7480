# C types for write_path.py, which is compiled with them.
import cython

from wsext.protocol.connection cimport Connection
from wsext.protocol.prepared cimport PreparedMessage

cdef extern from "pythread.h":
    cpdef unsigned long get_ident "PyThread_get_thread_ident"() noexcept nogil

cdef extern from *:
    """
    #ifdef MS_WINDOWS
    #define send_now(descriptor, data, size) (-1)
    #else
    #include <sys/socket.h>
    #ifndef MSG_NOSIGNAL  /* macOS: Python ignores SIGPIPE, as long as nobody changes that */
    #define MSG_NOSIGNAL 0
    #endif
    #define send_now(descriptor, data, size) send(descriptor, data, size, MSG_NOSIGNAL)
    #endif
    """
    Py_ssize_t send_now(int descriptor, const char *data, size_t size) noexcept nogil

cdef Py_ssize_t _SEND_PASS, _SEND_TURN, _GATHER_AT_MOST


cdef class WritePath:
    cdef public Connection connection
    cdef public object _write
    cdef readonly int _descriptor
    cdef bint _is_dirty
    cdef bint _is_behind
    cdef int _turn
    cdef public bint is_async
    cdef public bint _paused
    cdef public bint queueing
    cdef public long long free_until
    cdef public long long turn_until
    cdef public bint _gathering
    cdef public bint is_lost
    cdef list _dirty
    cdef unsigned long _thread
    cdef public object options
    cdef public object _loop
    cdef public object _transport

    @cython.locals(connection=Connection)
    cpdef bint send_prepared(self, PreparedMessage message) except -1

    @cython.locals(connection=Connection, said="long long")
    cdef long long _sent(self) except -1

    cdef _begin_turn(self)
    cdef _write_soon(self, int turn)

    @cython.locals(connection=Connection)
    cdef _send(self, object data, object hints, object meta)

    @cython.locals(connection=Connection, pending=Py_ssize_t)
    cdef _write_out(self)

    @cython.locals(sent=Py_ssize_t)
    cdef _put_out(self, bytes data)

    @cython.locals(connection=Connection)
    cdef _finish(self)

    cdef _soon(self)

    @cython.locals(dirty=list)
    cdef _mark(self)


@cython.locals(links=list, link=WritePath)
cpdef _write_dirty(object loop, list dirty)
