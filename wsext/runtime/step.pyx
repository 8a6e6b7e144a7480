# cython: language_level=3
"""An awaitable that is a coroutine without a frame; ``_step_py.py`` is the same in Python.

Cython gives a class no ``am_send``, and a StopIteration that it raises costs a traceback, which is
several times what the rest costs. So both slots are filled by hand.
"""

cdef extern from *:
    """
    static PyObject *(*wsext_step)(PyObject *) = NULL;
    static int wsext_ready = 0;

    /* Takes over the value; a tuple or an exception would be taken for the exception's arguments. */
    static void wsext_stop(PyObject *value)
    {
        if (PyTuple_Check(value) || PyExceptionInstance_Check(value)) {
            PyObject *error = PyObject_CallFunctionObjArgs(PyExc_StopIteration, value, NULL);
            Py_DECREF(value);
            value = error;
        }
        if (value != NULL) {
            PyErr_SetObject(PyExc_StopIteration, value);
            Py_DECREF(value);
        }
    }

    static PyObject *wsext_next(PyObject *self)
    {
        PyObject *out = wsext_step(self);
        if (out == NULL || !wsext_ready)
            return out;
        if (out != Py_None)
            wsext_stop(out);
        else
            Py_DECREF(out);
        return NULL;
    }

    static PySendResult wsext_send(PyObject *self, PyObject *value, PyObject **result)
    {
        *result = wsext_step(self);
        if (*result == NULL)
            return PYGEN_ERROR;
        return wsext_ready ? PYGEN_RETURN : PYGEN_NEXT;
    }

    static void wsext_install(PyObject *raw, PyObject *(*step)(PyObject *))
    {
        PyTypeObject *type = (PyTypeObject *) raw;
        wsext_step = step;
        type->tp_iternext = wsext_next;
        type->tp_as_async->am_send = wsext_send;
        PyType_Modified(type);
    }

    static PyObject *wsext_advance(PyObject *context, PyObject *coroutine)
    {
        PyObject *out = NULL;
        PySendResult how;
        if (PyContext_Enter(context))
            return NULL;
        how = PyIter_Send(coroutine, Py_None, &out);
        if (PyContext_Exit(context)) {
            Py_XDECREF(out);
            return NULL;
        }
        if (how != PYGEN_RETURN)
            return out;
        wsext_stop(out);
        return NULL;
    }
    """
    int wsext_ready
    ctypedef object (*step_function)(object)
    void wsext_install(object type, step_function step)
    object wsext_advance(object context, object coroutine)


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


cpdef object advance(object context, object coroutine):
    return wsext_advance(context, coroutine)
