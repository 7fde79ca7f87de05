cimport cython

from rfc6455.events cimport BytesPart, TextPart, bytes_message, text_message
from rfc6455.arguments cimport as_bytes, at_most_63_bits
from rfc6455.extensions cimport MessageCodec, checked
from rfc6455.cursor cimport FrameCursor
from rfc6455._byte_loops cimport BytesBuffer, PayloadBuffer, TextBuffer, pack_frame, pack_header

cdef int FIN_BIT, _TEXT_OPCODE
cdef Py_ssize_t OBJECT_OVERHEAD

cdef class MessageReader:
    cdef readonly Py_ssize_t max_size
    cdef tuple _all_codecs
    cdef list _choosing
    cdef bint _parts
    cdef bint _decodes_text
    cdef bint _takes_any_text
    cdef dict _leniencies_used
    cdef tuple _codecs
    cdef bint _is_encoded
    cdef bint _is_text
    cdef Py_ssize_t _size
    cdef BytesBuffer _bytes
    cdef TextBuffer _text
    cdef PayloadBuffer _buffer
    cdef bint _goes_by_payload
    cdef bytes _torn
    cdef bint _is_invalid
    cdef readonly Py_ssize_t encoded
    cdef readonly Py_ssize_t decoded
    cdef Py_ssize_t _wire_size
    cdef Py_ssize_t _max_wire_size
    cdef Py_ssize_t _empty_fragments
    cdef readonly bint in_codec
    cdef public bint is_bare

    @cython.locals(codec=MessageCodec)
    cdef int begin(self, int opcode, int rsv) except -1
    cdef void check_length(self, Py_ssize_t length) except *
    @cython.locals(buffer=PayloadBuffer, payload=bytes)
    cdef void take(self, FrameCursor cursor, int piece, bint final, list events) except *
    cdef Py_ssize_t decoded_before(self) except -1
    cdef Py_ssize_t kept(self) except -1
    @cython.locals(codec=MessageCodec, data=bytes, more=bint)
    cdef _decode(self, Py_ssize_t depth, bytes payload, bint final, list events)
    cdef void _deliver(self, bytes data, bint final, list events) except *
    cdef void _go_on(self, bint final, list events) except *
    cdef _report(self, message, list events)
    cdef _deliver_part(self, bytes data, bint final, list events)
    cdef _deliver_encoded(self, bytes data, bint final, list events)
    cdef _check_encoded(self, bytes data, bint final)


cpdef bytes encode_text(text)
cpdef list unmasked_frame(int first, bytes payload)

cdef class PreparedMessage:
    cdef object __weakref__
    cdef readonly int first
    cdef readonly bytes payload
    cdef readonly object compress
    cdef readonly list _buffers
    cdef dict _encoded
    @cython.locals(first=int, payload=bytes)
    cpdef tuple _encoded_by(self, MessageCodec codec)
