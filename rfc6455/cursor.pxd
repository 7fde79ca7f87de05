cimport cython

from rfc6455.arguments cimport at_most_63_bits
from rfc6455._byte_loops cimport Loan, PayloadBuffer, mask_slice, take_payload

cdef int CONTROL_BIT, MAX_CONTROL_PAYLOAD
cdef Py_ssize_t MAX_LENGTH
cdef int _NOTHING, _PIECE, _STARTS, _ENDS, _WHOLE

# No class derives from it, so its methods can be called without looking for overrides.
@cython.final
cdef class FrameCursor:
    cdef object __weakref__
    cdef public Py_ssize_t max_length
    cdef public Py_ssize_t max_piece
    cdef readonly Py_ssize_t offset
    cdef readonly int first
    cdef int _reserved_bits
    cdef readonly Py_ssize_t length
    cdef readonly bytes payload
    cdef public dict leniencies_used
    cdef bytes _is_right
    cdef int _mask_expected
    cdef bint _in_frame
    cdef object _leniencies
    cdef dict _tolerated_at
    cdef bytes _data
    cdef Py_ssize_t _at
    cdef Py_ssize_t _end
    cdef Py_ssize_t _base
    cdef Py_ssize_t _remaining
    cdef Py_ssize_t _from
    cdef bytes _key
    cdef PayloadBuffer _target
    cdef Loan _loan
    cdef object _lent
    cdef Py_ssize_t _lent_size
    cdef bint _is_lent_by_target
    cdef Py_ssize_t _read_into_target

    @cython.locals(at=Py_ssize_t)
    cpdef feed(self, bytes data)

    @cython.locals(size=Py_ssize_t, turn=int)
    cdef bint absorbs(self, bytes data) except -1

    @cython.locals(at=Py_ssize_t)
    cpdef forget(self)

    cpdef bint has_input(self) except -1

    @cython.locals(size=Py_ssize_t, target=PayloadBuffer, loan=Loan)
    cpdef get_buffer(self, size_hint=*)

    @cython.locals(loan=Loan)
    cpdef buffer_updated(self, size)

    cdef _end_loan(self)

    @cython.locals(data=bytes, at=Py_ssize_t, available=Py_ssize_t, first=int, second=int, masked=int,
                   length=Py_ssize_t, header=Py_ssize_t, start=Py_ssize_t, stop=Py_ssize_t)
    cpdef int advance(self) except -1

    @cython.locals(data=bytes, available=Py_ssize_t, length=Py_ssize_t, least=Py_ssize_t)
    cdef Py_ssize_t _extended_length(self, Py_ssize_t at, int short_length) except -2

    cdef _check_mask(self, int masked)

    cdef bint _tolerates(self, leniency) except -1

    cdef int _begin_in_pieces(self, Py_ssize_t start, int masked) except -1

    @cython.locals(available=Py_ssize_t, size=Py_ssize_t)
    cdef int _advance_in_frame(self) except -1

    cdef void _advance_payload(self, Py_ssize_t size) noexcept

    cdef int _turn(self) except -1
    cpdef bytes take_payload(self, int piece)
    cpdef move_payload(self, int piece, PayloadBuffer buffer)
