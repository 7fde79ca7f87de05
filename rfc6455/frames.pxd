cimport cython

from rfc6455._byte_loops cimport BytesBuffer, pack_frame
from rfc6455.arguments cimport as_bytes
from rfc6455.cursor cimport FrameCursor
from rfc6455.values cimport Frame

cdef int FIN_BIT, RSV_BITS, OPCODE_BITS
cdef int ENDS

cdef class FrameParser:
    cdef object __weakref__
    cdef FrameCursor _cursor
    cdef BytesBuffer _buffer
    cdef object _failure

    @cython.locals(cursor=FrameCursor, piece=int, frames=list)
    cpdef list receive_data(self, data)

    cdef Frame _take_frame(self, int first)
