# C types for `_prepared_py.py`, which is compiled as `_prepared_c`; the source stays plain Python.
import cython

from wsext.protocol._frames_c cimport Frame
from wsext.protocol._pipeline_c cimport Pipeline


@cython.final
cdef class PreparedMessage:
    cdef Frame _frame
    cdef public object data
    cdef public object hints
    cdef public object meta
    cdef public dict shared
    cdef public Py_ssize_t size

    cpdef tuple share(self, Pipeline pipeline)
