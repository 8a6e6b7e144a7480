# cython: language_level=3
"""XOR with a masking key (RFC 6455 §5.3): the one thing that has to be C."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint64_t
from libc.string cimport memcpy


cdef bytes _xor(const unsigned char *data, Py_ssize_t size, const unsigned char *key):
    cdef bytes out = PyBytes_FromStringAndSize(NULL, size)
    cdef unsigned char *target = <unsigned char *> PyBytes_AS_STRING(out)
    cdef unsigned char wide[8]
    cdef uint64_t keys, word
    cdef Py_ssize_t at = 0
    memcpy(wide, key, 4)
    memcpy(wide + 4, key, 4)
    memcpy(&keys, wide, 8)
    while at + 8 <= size:
        memcpy(&word, data + at, 8)
        word ^= keys
        memcpy(target + at, &word, 8)
        at += 8
    while at < size:
        target[at] = data[at] ^ key[at & 3]
        at += 1
    return out


cpdef bytes unmask(bytes data, Py_ssize_t at, Py_ssize_t size, Py_ssize_t key_at):
    """``size`` bytes from ``at`` on, with the four bytes from ``key_at`` on as the key."""
    cdef Py_ssize_t end = PyBytes_GET_SIZE(data)
    cdef const unsigned char *start = <const unsigned char *> PyBytes_AS_STRING(data)
    if size < 0 or at < 0 or key_at < 0 or at + size > end or key_at + 4 > end:
        raise IndexError("outside of the data")
    return _xor(start + at, size, start + key_at)


cpdef bytes mask(bytes data, bytes key):
    """All of ``data``, with the four bytes of ``key``, over and over."""
    if PyBytes_GET_SIZE(key) != 4:
        raise ValueError("a masking key has four bytes")
    return _xor(
        <const unsigned char *> PyBytes_AS_STRING(data),
        PyBytes_GET_SIZE(data),
        <const unsigned char *> PyBytes_AS_STRING(key),
    )
