cpdef bytes unmask(const unsigned char *data, Py_ssize_t at, Py_ssize_t size, Py_ssize_t key_at)
cpdef str unmask_text(const unsigned char *data, Py_ssize_t at, Py_ssize_t size, Py_ssize_t key_at)
cpdef bytes copy(const unsigned char *data, Py_ssize_t at, Py_ssize_t size)
cpdef str copy_text(const unsigned char *data, Py_ssize_t at, Py_ssize_t size)
cpdef Py_ssize_t size_of(object payload) except -1
cpdef bytes mask(bytes data, bytes key)
cpdef bytes build_frame(int first, object data, bytes key)
cpdef move(bytearray target, Py_ssize_t at, const unsigned char *data, Py_ssize_t start, Py_ssize_t size)
cpdef object text_view(str text)
