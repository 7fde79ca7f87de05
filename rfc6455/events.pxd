cimport cython

from rfc6455.values cimport Value

cdef class TextMessage(Value):
    cdef public str text

cdef class BytesMessage(Value):
    cdef public bytes data

@cython.locals(message=TextMessage)
cpdef TextMessage text_message(str text)
@cython.locals(message=BytesMessage)
cpdef BytesMessage bytes_message(bytes data)

cdef class TextPart(Value):
    cdef public str text
    cdef public object final

cdef class BytesPart(Value):
    cdef public bytes data
    cdef public object final

cdef class EncodedText(Value):
    cdef public bytes data
    cdef public object final

cdef class Ping(Value):
    cdef public bytes payload

cdef class Pong(Value):
    cdef public bytes payload

cdef class Closed(Value):
    cdef public object code
    cdef public str reason
    cdef public object clean
    cdef public object error
    cdef public object cause
