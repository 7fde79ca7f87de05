cpdef bytes as_bytes(data, what=*)
cpdef Py_ssize_t at_most_63_bits(limit) except? -1
