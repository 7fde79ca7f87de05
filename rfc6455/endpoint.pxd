cimport cython

from rfc6455.deadlines cimport Deadlines
from rfc6455.events cimport Closed

cdef class Endpoint:
    cdef object __weakref__
    cdef readonly object handshake
    # Not a Connection for C: what records one stands in for it (trace/recorder.py).
    cdef readonly object connection
    cdef readonly Deadlines deadlines
    cdef double _now
    cdef bint _must_advance
    cdef list _waiting
    cdef Py_ssize_t _at
    cdef bint _is_asked
    cdef Closed _closed
    cdef bint _eof
    cdef object _lent

    cdef _receive(self, data, double now)
    cdef _next_event(self)
    cdef _advance(self)
    cdef list _take_waiting(self)

cdef class _Events:
    cdef Endpoint _endpoint
