cimport cython

# Under another name, as isinstance(..., Connection) must not become a check of the C type: stand-ins must pass as well.
from rfc6455.connection cimport Connection as ConnectionItself, small_ones_joined
from rfc6455.deadlines cimport Deadlines
from rfc6455.events cimport Closed
from rfc6455.messages cimport PreparedMessage
from rfc6455.values cimport State

cdef int _TEXT_OPCODE, _BINARY_OPCODE
cdef Py_ssize_t LEAST_UNCOPIED

cdef class Endpoint(State):
    cdef object __weakref__
    cdef readonly object handshake
    # Not typed as a Connection, as a recording object may stand in for it (trace/recorder.py).
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
    cdef ConnectionItself _itself

    @cython.locals(itself=ConnectionItself)
    cdef _receive(self, data, double now)
    @cython.locals(itself=ConnectionItself)
    cpdef list buffers_to_send(self)
    @cython.locals(itself=ConnectionItself, waiting=list, at=Py_ssize_t)
    cdef _next_event(self)
    @cython.locals(itself=ConnectionItself)
    cdef bint _has_end(self) except -1
    @cython.locals(itself=ConnectionItself)
    cdef Py_ssize_t _send_message(self, message, bint fin, compress) except -1
    cdef bint _has_more(self) except -1
    cdef _advance(self)
    cdef _open(self, connection)

@cython.locals(events=_Events)
cdef _Events _events(Endpoint endpoint)

cdef class _Events:
    cdef Endpoint _endpoint
