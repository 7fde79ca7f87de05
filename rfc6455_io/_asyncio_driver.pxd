cimport cython

# Under another name, as the source imports `Endpoint` from the package.
from rfc6455.endpoint cimport Endpoint as EndpointItself
from rfc6455_io._known cimport Known

cdef double inf
cdef Py_ssize_t HEADER, HIGH_WATER, WORK_AT_ONCE

cdef class Listener(Known):
    cdef object __weakref__
    cdef public Driver _driver

    cdef _message(self, message)
    cdef _after_read(self)

@cython.final
cdef class Driver:
    cdef public object transport
    cdef readonly EndpointItself endpoint
    # Not typed as a Connection, as a recording object may stand in for it (rfc6455/trace/recorder.py).
    cdef readonly object connection
    cdef readonly Listener listener
    cdef readonly object loop
    cdef readonly bint can_write
    cdef readonly bint has_write_due
    cdef readonly bint is_closing
    cdef readonly bint is_gone
    cdef readonly bint is_held
    cdef readonly bint is_cut_off
    cdef readonly bint is_busy
    cdef readonly bint is_answer_due
    cdef readonly bint lost
    cdef readonly bint _is_flooded
    cdef object _owner
    cdef object _time
    cdef object _timer
    cdef double _timer_at
    cdef bint _is_waiting
    cdef bint _is_deaf
    cdef bint _is_ending
    cdef bint _has_ended
    cdef Py_ssize_t _unsent
    cdef bint _has_eof
    cdef bint _is_hung_up
    cdef Listener _target
    cdef object _write
    cdef bint _joins
    cdef object _answer_until

    @cython.locals(left=Py_ssize_t, is_stopped=bint, is_changed=bint, target=Listener)
    cpdef data_received(self, data)
    cpdef queue(self, message, bint fin=*, compress=*)
    @cython.locals(buffers=list)
    cpdef write(self)
    cpdef write_later(self)
    cpdef hold(self)
    cpdef release(self)
    cpdef await_answer(self)
    cdef bint _must_stop(self, Py_ssize_t left) except -1
    cdef _settle(self)
    cdef _read_or_not(self)
    cdef _set_timer(self)
    cdef _stop_timer(self)
    cdef _end_tcp(self)
    cdef _next_deadline(self)
    cdef _handle_other(self, event)
    cdef _set_clock(self)
    cdef _end_of_stream(self)
    cdef _go_on_soon(self)
    cdef _failed(self)
