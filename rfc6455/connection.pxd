cimport cython

from rfc6455.events cimport BytesMessage, Closed, Ping, Pong, TextMessage, bytes_message, text_message
from rfc6455.extensions cimport MessageCodec, checked
from rfc6455._byte_loops cimport pack_frame, pack_text
from rfc6455.arguments cimport as_bytes, at_most_63_bits
from rfc6455.cursor cimport FrameCursor
from rfc6455.messages cimport MessageReader, PreparedMessage, encode_text, unmasked_frame
from rfc6455.values cimport State

cdef int FIN_BIT, RSV_BITS, OPCODE_BITS, CONTROL_BIT, MAX_CONTROL_PAYLOAD
cdef Py_ssize_t MAX_LENGTH
cdef int STARTS, ENDS, WHOLE
cdef int ILLEGAL
cdef bytes STEPS
cdef int _IDLE, _IN_MESSAGE, _CLOSED
cdef int _WHOLE_TEXT, _WHOLE_BINARY, _PING, _PONG, _CLOSE
cdef Py_ssize_t LEAST_UNCOPIED
cdef int _TEXT_OPCODE, _BINARY_OPCODE, _PING_OPCODE, _CLOSE_OPCODE

cdef Py_ssize_t DECODED_IN_ONE_CALL, ENCODED_IN_ONE_CALL

cdef Py_ssize_t _forks

cpdef list small_ones_joined(list buffers)

cdef class Connection(State):
    cdef object __weakref__
    cdef readonly object role
    cdef readonly tuple extensions
    cdef readonly object limits
    cdef readonly object subprotocol
    cdef public object last_pong
    cdef public Py_ssize_t pongs_received
    cdef bint _parts
    cdef bint _masks
    cdef object _random
    cdef bytes _keys
    cdef Py_ssize_t _keys_at
    cdef Py_ssize_t _keys_forks
    cdef Py_ssize_t _budget
    cdef FrameCursor _parser
    cdef MessageReader _reader
    cdef Py_ssize_t _max_message
    cdef int _short_text
    cdef int _received
    cdef int _sent
    cdef int _sending_opcode
    cdef bytes _first_out
    cdef list _out
    cdef object _pongs
    cdef Py_ssize_t _pongs_size
    cdef bytes _owed_close
    cdef Py_ssize_t _max_first_piece
    cdef object _sending_codecs
    cdef readonly bint _has_unread
    cdef bint _eof
    cdef object _held
    cdef Closed _closed
    cdef readonly Py_ssize_t _milestones
    cdef bint _is_aborted

    # A method that is `inline` here cannot be overridden in C, so it is called directly, and the C compiler can include
    # it where it is called. These are the small ones through which each message passes.

    @cython.locals(new=bytes)
    cpdef list receive_data(self, data)
    @cython.locals(events=list, had_unread=bint)
    cdef list _take_in(self, bytes new)
    cdef _violation_in(self, error)
    @cython.locals(parser=FrameCursor, reader=MessageReader, enough=Py_ssize_t, enough_input=Py_ssize_t, piece=int, first=int, payload=bytes, before=int, after=int, final=bint)
    cdef void _process(self, list events) except *
    @cython.locals(parser=FrameCursor, rsv=int)
    cdef void _begin_frame(self, int before, int first) except *
    cdef _receive_control(self, int opcode, bytes payload, list events)
    cdef _answer_ping(self, bytes payload)
    cdef _drop_pongs(self)
    cdef _receive_close(self, bytes payload, list events)
    cdef _end_of_file(self, list events)
    cdef _end(self, Closed closed, list events)
    cpdef list _time_out(self, cause)
    cpdef list _receive_later(self, data, Py_ssize_t waiting)
    cpdef list _buffer_updated(self, Py_ssize_t size, Py_ssize_t waiting)
    cpdef _tell_end(self)
    @cython.locals(first=bytes)
    cpdef bytes data_to_send(self)
    cpdef list _take_out(self, bint ends)
    cdef inline _finish_queue(self, bint ends)
    @cython.locals(first=bytes, others=list)
    cdef inline list _take_queue(self)
    cdef inline _put(self, bytes buffer)
    cdef _put_all(self, list buffers)
    @cython.locals(first=int, after=int, at=Py_ssize_t)
    cdef _send_str(self, str text, bint fin)
    @cython.locals(first=int)
    cdef inline int _first_byte(self, int opcode, bint fin) except -1
    @cython.locals(first=int, after=int)
    cdef _send_data(self, int opcode, bytes payload, bint fin, compress)
    @cython.locals(after=int)
    cdef inline int _check_step(self, int first) except -1
    @cython.locals(codec=MessageCodec)
    cdef _queue_encoded(self, int first, codecs, bytes payload)
    cdef _queue_pongs(self)
    cdef _finish_sending(self)
    @cython.locals(at=Py_ssize_t)
    cdef inline _queue(self, int first, bytes payload)
    @cython.locals(at=Py_ssize_t)
    cdef inline Py_ssize_t _next_masking_key(self) except -1
    @cython.locals(keys=bytes)
    cdef _fetch_keys(self)
    @cython.locals(codec=MessageCodec, retained=Py_ssize_t)
    cdef Py_ssize_t _retained(self) except -1
    cdef _make_room(self)
