cimport cython
from cpython.object cimport PyObject

ctypedef const unsigned char *Source

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
    # The key of the payload that is being appended.
    cdef bint _is_masked
    cdef unsigned char _key[4]

    cdef int _reserve(self, Py_ssize_t room) except -1
    cdef _clear(self)
    cdef int _end_loan(self) except -1
    cdef unsigned char *_end(self, Py_ssize_t added, Py_ssize_t more) except NULL
    cpdef append(self, bytes payload)
    cpdef append_slice(self, bytes data, Py_ssize_t start, Py_ssize_t stop, bytes key, int turn, Py_ssize_t more)
    cpdef bint append_simply(self, bytes data, int turn) except -1
    cpdef Loan lend(self, Py_ssize_t size, Py_ssize_t more)
    cpdef append_loan(self, Loan loan, Py_ssize_t size, int turn)
    cpdef Py_ssize_t allocated(self) except -1

@cython.final
cdef class BytesBuffer(PayloadBuffer):
    cpdef bytes take_bytes(self)

cdef class GrowingText:
    # A str to which nothing else refers, so that its characters may still be written. The number of characters, and of
    # their bytes in UTF-8; these numbers with what was just decoded; the number of characters for which there is room;
    # and the memory that each takes: 1, 2 or 4 bytes.
    cdef PyObject *_object
    cdef Py_ssize_t _length
    cdef Py_ssize_t _used
    cdef Py_ssize_t _new_length
    cdef Py_ssize_t _new_used
    cdef Py_ssize_t _room
    cdef int _character_size

    cdef int _resize(self, Py_ssize_t room) except -1
    cdef Py_ssize_t decode(self, Source data, Py_ssize_t size, Py_ssize_t more) except -1
    cdef void keep(self) noexcept
    cdef str take(self)
    cdef Py_ssize_t allocated(self) noexcept
    cdef bint is_wide(self) noexcept

@cython.final
cdef class TextBuffer(PayloadBuffer):
    # As in byte_loops.py, with pieces of text for the blocks there: there is a new one only if it needs characters of
    # another size, and the last one is growing as long as the text is not wide.
    cdef Py_ssize_t _checked
    cdef bint _is_wide
    cdef list _pieces
    cdef GrowingText _growing
    cdef Py_ssize_t _size_of_decoded
    cdef Py_ssize_t _memory_of_pieces
    # Whether the text is known not to be ASCII, and to have characters beyond U+FFFF; and the number of bytes that are
    # announced to follow.
    cdef bint _beyond_ascii
    cdef bint _is_widest
    cdef Py_ssize_t _more

    cpdef check_text(self)
    cdef _set_ascii_aside(self)
    cdef _decode_block(self)
    cdef Py_ssize_t _decode(self, Py_ssize_t more) except -1
    cdef _begin_piece(self, unsigned char octet)
    cdef _end_piece(self)
    cdef _add_piece(self, str text, Py_ssize_t memory)
    cdef _forget(self, Py_ssize_t decoded)
    cdef str _take_ascii(self)
    cdef str _take_last(self)
    cpdef str take_text(self)
