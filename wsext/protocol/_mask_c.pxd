cpdef bytes unmask(bytes data, Py_ssize_t at, Py_ssize_t size, Py_ssize_t key_at)
cpdef bytes mask(bytes data, bytes key)
