from cpython.object cimport PyObject

cpdef bytes mask_slice(bytes data, Py_ssize_t start, Py_ssize_t stop, bytes key, int turn)
cpdef bytes take_payload(bytes data, Py_ssize_t start, Py_ssize_t stop, int masked)
cpdef bytes pack_header(int first, Py_ssize_t length, bytes masking_key)
cpdef bytes pack_frame(int first, bytes payload, bytes keys, Py_ssize_t at)
cpdef bytes pack_text(int first, str text, bytes keys, Py_ssize_t at)
cpdef tuple read_head(bytes data, Py_ssize_t stop, most)

cdef class Loan:
    # An object that is kept alive, and the place in it that is lent; whether only this loan refers to it; and the
    # number of views of it.
    cdef PyObject *_object
    cdef unsigned char *_data
    cdef Py_ssize_t _size
    cdef bint _is_alone
    cdef Py_ssize_t _exports

    cpdef view(self)
    cdef bint _end(self) noexcept
    cpdef bytes take(self, Py_ssize_t size)

cdef class PayloadBuffer:
    # An object to which nothing else refers, so that its bytes may still be written, and their number.
    cdef PyObject *_object
    cdef unsigned char *_data
    cdef Py_ssize_t _room
    cdef Py_ssize_t _size
    cdef Loan _loan

    cdef int _reserve(self, Py_ssize_t room) except -1
    cdef _clear(self)
    cdef int _end_loan(self) except -1
    cdef unsigned char *_end(self, Py_ssize_t added, Py_ssize_t more) except NULL
    cpdef append(self, bytes payload)
    cpdef append_slice(self, bytes data, Py_ssize_t start, Py_ssize_t stop, bytes key, int turn, Py_ssize_t more)
    cpdef bint append_simply(self, bytes data, bytes key, int turn) except -1
    cpdef Loan lend(self, Py_ssize_t size, Py_ssize_t more)
    cpdef append_loan(self, Loan loan, Py_ssize_t size, bytes key, int turn)
    cpdef Py_ssize_t allocated(self) except -1

cdef class BytesBuffer(PayloadBuffer):
    cpdef bytes take_bytes(self)

cdef class TextBuffer(PayloadBuffer):
    # As in byte_loops.py. There are no blocks as long as the text is ASCII.
    cdef Py_ssize_t _checked
    cdef bint _beyond_ascii
    cdef bint _is_wide
    cdef list _blocks
    cdef Py_ssize_t _size_of_blocks
    cdef Py_ssize_t _memory_of_blocks

    cdef _decode_block(self)
    cpdef check_text(self)
    cdef str _take_last(self)
    cpdef str take_text(self)
