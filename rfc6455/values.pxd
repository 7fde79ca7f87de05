cdef class Value:
    pass

cdef class State:
    pass

cdef class Frame(Value):
    # Objects, as callers may set them to anything; serialize_frame() checks them.
    cdef public object opcode
    cdef public object payload
    cdef public object fin
    cdef public object rsv
