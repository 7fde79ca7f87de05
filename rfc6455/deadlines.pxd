cimport cython

from rfc6455.connection cimport Connection
from rfc6455.values cimport State

cdef double inf

cdef class Deadlines(State):
    cdef object __weakref__
    cdef readonly object timeouts
    cdef public object latency
    # Not typed as a Connection, as a recording object may stand in for it (trace/recorder.py).
    cdef object _connection
    cdef Connection _itself
    cdef dict _due
    cdef double _soonest
    cdef object _paused_at
    cdef Py_ssize_t _milestones_seen
    cdef bint _has_idle
    cdef double _pinged_at
    cdef bytes _ping_payload
    cdef Py_ssize_t _pings
    cdef Py_ssize_t _pongs_seen
    cdef Py_ssize_t _bytes_seen
    cdef Py_ssize_t _pong_bytes
    cdef dict _looked_at
    cdef readonly bint _gave_up_tcp

    @cython.locals(itself=Connection)
    cpdef list _advance(self, double now)
    cdef double _clock(self, double now) except? -1
    cdef _await(self, str name, double now)
    cdef _set(self, str name, double at)
    cdef bint _forget(self, str name) except -1
    cdef _forget_all(self)
    cdef _await_only(self, str name, double now)
    cdef bint _is_due(self, str name, double now) except -1
    cdef list _advance_opening(self, double now)
    cpdef _await_body(self, double now)
    cpdef _opening_failed(self, bint eof, double now)
    cdef _observe(self, connection, double now)
    cdef _observe_closed(self, connection, double now)
    cdef _observe_pong(self, connection, double now)
    cdef list _end_what_is_due(self, connection, double now)
    @cython.locals(received=Py_ssize_t)
    cdef bint _looks_once_more(self, str name, connection, double now) except -1
    cdef _ping(self, connection, double now)
    cdef _await_pong(self, connection, double now)
