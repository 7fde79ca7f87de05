cdef void mask_into(unsigned char *target, const unsigned char *source, Py_ssize_t length, const unsigned char *key) noexcept nogil
cpdef bytes mask_slice(bytes data, Py_ssize_t start, Py_ssize_t stop, bytes key)
