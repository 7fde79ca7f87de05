# cython: language_level=3, boundscheck=False, wraparound=False, freethreading_compatible=True
"""The compiled body of masking (5.3); `masking.py` holds the two lines that it is tested against."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcpy


cdef void mask_into(unsigned char *target, const unsigned char *source, Py_ssize_t length, const unsigned char *key) noexcept nogil:
    cdef uint32_t key32
    cdef uint64_t key64, block
    cdef Py_ssize_t i = 0
    memcpy(&key32, key, 4)
    key64 = (<uint64_t>key32 << 32) | key32
    while i + 8 <= length:
        memcpy(&block, source + i, 8)
        block ^= key64
        memcpy(target + i, &block, 8)
        i += 8
    while i < length:
        target[i] = source[i] ^ key[i & 3]
        i += 1


cpdef bytes mask_slice(bytes data, Py_ssize_t start, Py_ssize_t stop, bytes key):
    if not (0 <= start <= stop <= len(data)) or len(key) != 4:
        raise ValueError("mask_slice() needs 0 <= start <= stop <= len(data) and a key of 4 bytes")
    cdef bytes masked = PyBytes_FromStringAndSize(NULL, stop - start)
    mask_into(<unsigned char *>PyBytes_AS_STRING(masked), <const unsigned char *>PyBytes_AS_STRING(data) + start,
              stop - start, <const unsigned char *>PyBytes_AS_STRING(key))
    return masked
