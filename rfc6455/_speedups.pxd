from cpython.object cimport PyObject

cpdef bytes mask_slice(bytes data, Py_ssize_t start, Py_ssize_t stop, bytes key, int turn)
cpdef bytes take_payload(bytes data, Py_ssize_t start, Py_ssize_t stop, int masked)
cpdef bytes pack_frame(int first, bytes payload, bytes masking_key)

cdef class PayloadBuffer:
    # A bytes object of which nobody else knows, so that it may still be written; it may be longer than _size.
    cdef PyObject *_data
    cdef Py_ssize_t _size
    cdef Py_ssize_t _checked
    # Whether what was checked has more than ASCII.
    cdef bint _beyond_ascii

    cdef unsigned char *_end(self, Py_ssize_t added, Py_ssize_t more) except NULL
    cpdef append(self, bytes payload)
    cpdef append_slice(self, bytes data, Py_ssize_t start, Py_ssize_t stop, bytes key, int turn, Py_ssize_t more)
    cdef bint _is_beginning_of_text(self)
    cpdef check_text(self)
    cpdef bytes take_bytes(self)
    cdef _clear(self)
    cpdef str take_text(self)
    cpdef Py_ssize_t allocated(self) except -1
