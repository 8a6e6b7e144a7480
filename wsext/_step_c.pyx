# cython: language_level=3
"""An awaitable that is a coroutine without a frame; ``_step_py.py`` is the same in Python.

A result leaves ``__next__`` as a StopIteration. Raised by compiled code it would cost a traceback,
which is several times what the rest costs, so the slot is filled by hand.
"""

from cpython.object cimport PyObject

cdef extern from *:
    """
    static PyObject *(*wsext_step)(PyObject *) = NULL;
    static int wsext_ready = 0;

    static PyObject *wsext_next(PyObject *self)
    {
        PyObject *out = wsext_step(self);
        if (out == NULL || !wsext_ready)
            return out;
        if (out != Py_None)
            PyErr_SetObject(PyExc_StopIteration, out);
        Py_DECREF(out);
        return NULL;
    }

    static void wsext_install(PyTypeObject *type, PyObject *(*step)(PyObject *))
    {
        wsext_step = step;
        type->tp_iternext = wsext_next;
        PyType_Modified(type);
    }
    """
    int wsext_ready
    ctypedef object (*step_function)(object)
    void wsext_install(object type, step_function step)


cdef class Step:
    cdef object step(self):
        raise NotImplementedError

    def __await__(self):
        return self

    def __iter__(self):
        return self

    def __next__(self):
        raise NotImplementedError  # the slot is filled below

    def send(self, value):
        out = self.step()
        if self.ready:
            raise StopIteration(out)
        return out

    def throw(self, kind, value=None, traceback=None):
        self.close()
        if value is None:
            value = kind() if isinstance(kind, type) else kind
        raise value

    def close(self):
        pass


cdef object _step(object raw):
    global wsext_ready
    cdef Step self = <Step> raw
    out = self.step()
    wsext_ready = self.ready
    return out


wsext_install(Step, &_step)
