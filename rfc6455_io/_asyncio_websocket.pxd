cimport cython

from rfc6455_io._asyncio_driver cimport Driver, Listener
from rfc6455_io._known cimport Known

cdef Py_ssize_t QUEUE, MESSAGE

cdef class Inbox(Listener):
    cdef public object end_event
    cdef public object gone
    cdef public object loop
    cdef public object pings
    cdef public list queue
    cdef Receiver receiver
    cdef public object room
    cdef public bint sends_parts
    cdef public Py_ssize_t size
    cdef public list turns

    cdef _put(self, item, Py_ssize_t size)
    cdef _message(self, message)
    cdef _after_read(self)
    @cython.locals(size=Py_ssize_t)
    cdef take(self, bint in_parts=*)
    @cython.locals(receiver=Receiver)
    cdef wait(self)
    cdef post(self, message, bint fin=*, compress=*)

@cython.final
cdef class Receiver:
    cdef public bint _asyncio_future_blocking
    cdef readonly object _loop
    cdef object callback
    cdef object _context
    cdef object _outcome
    cdef bint is_spent

    cdef wake(self)
    cdef _continue_later(self, callback, context)

# A final class, so that Python calls its `__await__` directly.
@cython.final
cdef class Next:
    cdef Inbox _inbox

cdef class WebSocket(Known):
    cdef object __weakref__
    cdef readonly Inbox _inbox
    cdef Next _next
