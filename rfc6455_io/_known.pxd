cdef class Known:
    pass
