from rfc6455.values cimport Value

cdef class Event(Value):
    pass

cdef class TextMessage(Event):
    cdef public str text

cdef class BytesMessage(Event):
    cdef public bytes data

cdef class TextPart(Event):
    cdef public str text
    cdef public bint final

cdef class BytesPart(Event):
    cdef public bytes data
    cdef public bint final

cdef class Ping(Event):
    cdef public bytes payload

cdef class Pong(Event):
    cdef public bytes payload

cdef class Closed(Event):
    cdef public object code
    cdef public str reason
    cdef public bint clean
    cdef public object error
    cdef public object cause
