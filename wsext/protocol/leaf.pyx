# cython: language_level=3
"""The loops over payload bytes, in C; ``_leaf_py.py`` is the same in Python.

What takes a ``const unsigned char *`` trusts its numbers: only the parser calls it, and the parser
has checked them.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_FillInfo, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_GET_SIZE
from cpython.bytes cimport (
    PyBytes_AS_STRING, PyBytes_CheckExact, PyBytes_FromStringAndSize, PyBytes_GET_SIZE,
)
from cpython.memoryview cimport PyMemoryView_FromObject
from libc.string cimport memcpy

cdef extern from "Python.h":
    str PyUnicode_New(Py_ssize_t size, Py_UCS4 maxchar)
    void *PyUnicode_DATA(object text)
    const char *PyUnicode_AsUTF8AndSize(object text, Py_ssize_t *size) except NULL

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>
    #if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__) && defined(__GLIBC__)
    #define WSEXT_WIDE __attribute__((target_clones("avx2", "default"), optimize("O3")))
    #else
    #define WSEXT_WIDE
    #endif

    /* target = source XOR key, over and over. Returns what all bytes of it have set together: without
       the highest bit it is ASCII. */
    WSEXT_WIDE static unsigned char wsext_xor(
        unsigned char *target, const unsigned char *source, size_t size, const unsigned char *key)
    {
        uint64_t keys, word, seen = 0;
        unsigned char wide[8], rest = 0;
        size_t at = 0;
        memcpy(wide, key, 4);
        memcpy(wide + 4, key, 4);
        memcpy(&keys, wide, 8);
        for (; at + 8 <= size; at += 8) {
            memcpy(&word, source + at, 8);
            word ^= keys;
            memcpy(target + at, &word, 8);
            seen |= word;
        }
        for (; at < size; at++) {
            target[at] = source[at] ^ key[at & 3];
            rest |= target[at];
        }
        return rest | ((seen & UINT64_C(0x8080808080808080)) ? 0x80 : 0);
    }

    /* Text, or None if it is not UTF-8: who asks need not be ready for an exception. */
    static PyObject *wsext_utf8(const unsigned char *data, Py_ssize_t size)
    {
        PyObject *text = PyUnicode_DecodeUTF8((const char *) data, size, NULL);
        if (text == NULL && PyErr_ExceptionMatches(PyExc_UnicodeDecodeError)) {
            PyErr_Clear();
            Py_RETURN_NONE;
        }
        return text;
    }
    """
    str wsext_utf8(const unsigned char *data, Py_ssize_t size)
    unsigned char wsext_xor(
        unsigned char *target, const unsigned char *source, size_t size, const unsigned char *key
    ) nogil


cdef const unsigned char *NO_KEY = b"\0\0\0\0"


cpdef bytes unmask(const unsigned char *data, Py_ssize_t at, Py_ssize_t size, Py_ssize_t key_at):
    """``size`` bytes from ``at`` on, with the four bytes from ``key_at`` on as the key."""
    cdef bytes out = PyBytes_FromStringAndSize(NULL, size)
    wsext_xor(<unsigned char *> PyBytes_AS_STRING(out), data + at, size, data + key_at)
    return out


cpdef str unmask_text(const unsigned char *data, Py_ssize_t at, Py_ssize_t size, Py_ssize_t key_at):
    """The same as text; ``None`` if it is not UTF-8."""
    return _text(data + at, size, data + key_at)


cpdef bytes copy(const unsigned char *data, Py_ssize_t at, Py_ssize_t size):
    """``size`` bytes from ``at`` on."""
    return PyBytes_FromStringAndSize(<const char *> data + at, size)


cpdef str copy_text(const unsigned char *data, Py_ssize_t at, Py_ssize_t size):
    """The same as text; ``None`` if it is not UTF-8."""
    return _text(data + at, size, NO_KEY)


cdef str _text(const unsigned char *data, Py_ssize_t size, const unsigned char *key):
    # Straight into a string as if it were ASCII; if it is not, what is there now is the UTF-8.
    if size == 0:
        return ""
    cdef str out = PyUnicode_New(size, 127)
    if wsext_xor(<unsigned char *> PyUnicode_DATA(out), data, size, key) < 0x80:
        return out
    return wsext_utf8(<const unsigned char *> PyUnicode_DATA(out), size)


cpdef Py_ssize_t size_of(object payload) except -1:
    """How many bytes these are."""
    return PyBytes_GET_SIZE(payload) if PyBytes_CheckExact(payload) else len(payload)


cpdef bytes mask(bytes data, bytes key):
    """All of ``data``, with the four bytes of ``key``, over and over."""
    if PyBytes_GET_SIZE(key) != 4:
        raise ValueError("a masking key has four bytes")
    cdef bytes out = PyBytes_FromStringAndSize(NULL, PyBytes_GET_SIZE(data))
    wsext_xor(
        <unsigned char *> PyBytes_AS_STRING(out),
        <const unsigned char *> PyBytes_AS_STRING(data),
        PyBytes_GET_SIZE(data),
        <const unsigned char *> PyBytes_AS_STRING(key),
    )
    return out


cpdef bytes build_frame(int first, object data, bytes key):
    """A whole frame: its first byte, then the length, the key if there is one, the payload."""
    cdef const char *source
    cdef Py_ssize_t size
    cdef Py_buffer view
    if type(data) is str:
        source = PyUnicode_AsUTF8AndSize(data, &size)
        return _build(first, <const unsigned char *> source, size, key)
    if type(data) is bytes:
        return _build(
            first, <const unsigned char *> PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), key
        )
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        return _build(first, <const unsigned char *> view.buf, view.len, key)
    finally:
        PyBuffer_Release(&view)


cdef bytes _build(int first, const unsigned char *source, Py_ssize_t size, bytes key):
    cdef Py_ssize_t head = 2 if size < 126 else 4 if size < 65536 else 10
    cdef Py_ssize_t start = head if key is None else head + 4
    cdef bytes out = PyBytes_FromStringAndSize(NULL, start + size)
    cdef unsigned char *target = <unsigned char *> PyBytes_AS_STRING(out)
    cdef int bit = 0 if key is None else 0x80
    cdef int at
    target[0] = first
    if size < 126:
        target[1] = bit | size
    elif size < 65536:
        target[1] = bit | 126
        target[2] = size >> 8
        target[3] = size & 0xFF
    else:
        target[1] = bit | 127
        for at in range(8):
            target[2 + at] = (size >> (56 - 8 * at)) & 0xFF
    if key is None:
        memcpy(target + start, source, size)
    else:
        memcpy(target + head, PyBytes_AS_STRING(key), 4)
        wsext_xor(target + start, source, size, <const unsigned char *> PyBytes_AS_STRING(key))
    return out


cpdef move(bytearray target, Py_ssize_t at, const unsigned char *data, Py_ssize_t start, Py_ssize_t size):
    """Copy ``size`` bytes from ``start`` on to where ``target`` has room for them."""
    if at < 0 or size < 0 or at + size > PyByteArray_GET_SIZE(target):
        raise IndexError("outside of the target")
    memcpy(PyByteArray_AS_STRING(target) + at, data + start, size)


cdef class _Text:
    """A string's UTF-8 as a buffer, without a copy."""

    cdef str text

    def __getbuffer__(self, Py_buffer *view, int flags):
        cdef Py_ssize_t size
        cdef const char *data = PyUnicode_AsUTF8AndSize(self.text, &size)
        PyBuffer_FillInfo(view, self, <void *> data, size, True, flags)


cpdef object text_view(str text):
    """The text's UTF-8 as something to write to a transport."""
    cdef _Text out = _Text.__new__(_Text)
    out.text = text
    return PyMemoryView_FromObject(out)
