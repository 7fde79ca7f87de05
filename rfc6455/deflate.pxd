cimport cython

from rfc6455.extensions cimport MessageCodec

cdef bytes TAIL, FINAL_TAIL, EMPTY_MESSAGE
cdef Py_ssize_t MAX_INPUT, LEAST_INPUT, STREAM_COST, MAX_CREDIT, _MAX_PIECE

cdef class DeflateCodec(MessageCodec):
    cdef public str parameters
    cdef readonly object agreed
    cdef readonly int inflate_bits
    cdef readonly bint inflate_takeover
    cdef readonly int deflate_bits
    cdef readonly bint deflate_takeover
    cdef Py_ssize_t _inflate_size
    cdef Py_ssize_t _deflate_size
    cdef bytes _tail
    cdef object _config
    cdef object _zlib
    cdef object _inflater
    cdef object _deflater
    cdef bytes _input
    cdef Py_ssize_t _at
    cdef Py_ssize_t _portion_size
    cdef bint _inflater_is_full
    cdef bint _stream_ended
    cdef bint _tail_added
    cdef bint _has_ended_stream
    cdef Py_ssize_t _credit

    cdef bint _has_more(self) except -1
    @cython.locals(data=bytes)
    cpdef decode(self, bytes payload, bint final)
    @cython.locals(portion=bytes, data=bytes, ended=bint, size=Py_ssize_t)
    cdef bytes _inflate(self)
    cdef _end_of_stream(self)
    @cython.locals(rest=Py_ssize_t)
    cdef bint _adds_nothing(self) except -1
    cdef _end_of_message(self)
    cpdef wants(self, bytes payload, bint fin)
    @cython.locals(encoded=bytes)
    cpdef encode(self, bytes payload, bint final)
    @cython.locals(size=Py_ssize_t, bits=int, level=int, encoded=bytes)
    cpdef encode_shared(self, bytes payload)
    @cython.locals(retained=Py_ssize_t)
    cdef Py_ssize_t _retained(self) except -1
    cdef _new_deflater(self, int bits, int mem_level)

cdef bytes _without_tail(bytes encoded)
