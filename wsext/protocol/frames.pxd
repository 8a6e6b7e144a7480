# C types for `_frames_py.py`, which is compiled as `_frames_c`; the source stays plain Python.
import cython


@cython.no_gc  # payloads are bytes; hints and meta hold plain values
@cython.freelist(64)
@cython.final
cdef class Frame:
    cdef public int opcode
    cdef public object payload
    cdef public bint fin
    cdef public int rsv
    cdef public object hints
    cdef public object meta


@cython.no_gc
@cython.freelist(64)
@cython.final
cdef class Message:
    cdef public object data
    cdef public Py_ssize_t size
    cdef public object meta
    cdef public bint fin
    cdef public bint first


@cython.locals(frame=Frame)
cpdef Frame make_frame(int opcode, object payload, bint fin, int rsv)

@cython.locals(message=Message)
cpdef Message make_message(object data, Py_ssize_t size, object meta)
