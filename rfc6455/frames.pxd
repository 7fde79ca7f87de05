cimport cython

from rfc6455._speedups cimport BytesBuffer, PayloadBuffer, mask_slice, pack_frame, take_payload
from rfc6455.arguments cimport as_bytes
from rfc6455.values cimport Frame

cdef int FIN_BIT, RSV_BITS, OPCODE_BITS, CONTROL_BIT, MAX_CONTROL_PAYLOAD
cdef Py_ssize_t MAX_LENGTH
cdef int NOTHING, PIECE, STARTS, ENDS, WHOLE
cdef int _ILLEGAL, _DATA, _CONTROL

cdef class FrameParser:
    cdef object __weakref__
    cdef public Py_ssize_t max_length
    cdef public Py_ssize_t max_piece
    cdef readonly int first
    cdef readonly Py_ssize_t length
    cdef readonly bytes payload
    cdef bytes _kinds
    cdef int _mask_expected
    cdef bytes _data
    cdef Py_ssize_t _at
    cdef Py_ssize_t _base
    cdef Py_ssize_t _frame_at
    cdef bint _in_frame
    cdef Py_ssize_t _remaining
    cdef Py_ssize_t _from
    cdef bytes _key
    cdef int _turn
    cdef BytesBuffer _buffer
    cdef object _failure

    @cython.locals(at=Py_ssize_t)
    cpdef feed(self, bytes data)

    cpdef forget(self)

    cpdef bint has_input(self) except -1

    @cython.locals(data=bytes, at=Py_ssize_t, available=Py_ssize_t, first=int, second=int, kind=int, masked=int,
                   length=Py_ssize_t, header=Py_ssize_t, start=Py_ssize_t, stop=Py_ssize_t)
    cpdef int advance(self) except -1

    @cython.locals(first=int)
    cdef int _advance_in_header(self, Py_ssize_t available) except -1

    @cython.locals(data=bytes, available=Py_ssize_t, length=Py_ssize_t, least=Py_ssize_t)
    cdef Py_ssize_t _extended_length(self, Py_ssize_t at, int short_length) except -2

    cdef int _begin_in_parts(self, int kind, Py_ssize_t start, int masked) except -1

    @cython.locals(available=Py_ssize_t, remaining=Py_ssize_t, size=Py_ssize_t)
    cdef int _advance_in_frame(self) except -1

    cdef void _advance_payload(self, Py_ssize_t size) noexcept

    cpdef bytes take_payload(self, int piece)
    cpdef move_payload(self, int piece, PayloadBuffer buffer)
