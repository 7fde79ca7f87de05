from cpython.object cimport PyObject

cpdef bytes mask_slice(bytes data, Py_ssize_t start, Py_ssize_t stop, bytes key, int turn)
cpdef bytes take_payload(bytes data, Py_ssize_t start, Py_ssize_t stop, int masked)
cpdef bytes pack_frame(int first, bytes payload, bytes masking_key)

cdef class PayloadBuffer:
    # An object of which nobody else knows, so that its bytes may still be written; and how many it has.
    cdef PyObject *_object
    cdef unsigned char *_data
    cdef Py_ssize_t _room
    cdef Py_ssize_t _size

    cdef int _reserve(self, Py_ssize_t room) except -1
    cdef _clear(self)
    cdef unsigned char *_end(self, Py_ssize_t added, Py_ssize_t more) except NULL
    cpdef append(self, bytes payload)
    cpdef append_slice(self, bytes data, Py_ssize_t start, Py_ssize_t stop, bytes key, int turn, Py_ssize_t more)
    cpdef Py_ssize_t allocated(self) except -1

cdef class BytesBuffer(PayloadBuffer):
    cpdef bytes take_bytes(self)

cdef class TextBuffer(PayloadBuffer):
    # So many bytes are known to be whole characters; and whether there is more than ASCII among them.
    cdef Py_ssize_t _checked
    cdef bint _beyond_ascii

    cdef bint _is_beginning_of_text(self)
    cpdef check_text(self)
    cpdef str take_text(self)
