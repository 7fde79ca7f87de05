from rfc6455.values cimport State

cdef class MessageCodec(State):
    # The result of an override in Python can be anything, so it is checked where it is used.
    cpdef encode(self, bytes payload, bint final)
    cpdef decode(self, bytes payload, bint final)
    cpdef begin(self, int marks)
    cpdef wants(self, bytes payload, bint fin)
    cpdef encode_shared(self, bytes payload)
    cpdef forget_sent(self)
    cpdef drop(self)
    cdef bint _has_more(self) except -1
    cdef Py_ssize_t _retained(self) except -1

cpdef bytes checked(MessageCodec codec, str method, data)
