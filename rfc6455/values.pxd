cdef class Value:
    pass

cdef class State:
    pass

cdef class Frame(Value):
    # As anybody may set them to anything, which serialize_frame() is there to check.
    cdef public object opcode
    cdef public object payload
    cdef public object fin
    cdef public object rsv
