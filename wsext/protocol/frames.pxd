# C types for frames.py, which is compiled with them.
import cython


cdef class Frame:
    cdef public int opcode
    cdef public object payload
    cdef public bint fin
    cdef public int rsv
    cdef public object hints
    cdef public object meta


cdef class Message:
    cdef public object data
    cdef public Py_ssize_t size
    cdef public object meta
    cdef public bint fin
    cdef public bint first


cpdef check_frame(int opcode, object payload, int rsv)

@cython.locals(frame=Frame)
cpdef Frame make_frame(int opcode, object payload, bint fin, int rsv)

@cython.locals(message=Message)
cpdef Message make_message(object data, Py_ssize_t size, object meta)
