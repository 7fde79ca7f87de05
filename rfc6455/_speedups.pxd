from cpython.object cimport PyObject

cpdef bytes mask_slice(bytes data, Py_ssize_t start, Py_ssize_t stop, bytes key, int turn)
cpdef bytes take_payload(bytes data, Py_ssize_t start, Py_ssize_t stop, int masked)
cpdef bytes pack_frame(int first, bytes payload, bytes masking_key)
cpdef int count_incomplete(bytes data) except -1

cdef class PayloadBuffer:
    # A bytes object of which nobody else knows, so that it may still be written; longer than what it holds.
    cdef PyObject *_data
    cdef Py_ssize_t _size

    cdef int _reserve(self, Py_ssize_t size) except -1
    cpdef append(self, bytes payload)
    cpdef bytes last(self, Py_ssize_t count)
    cpdef bytes take_bytes(self)
    cpdef str take_text(self)
    cpdef Py_ssize_t allocated(self) except -1
