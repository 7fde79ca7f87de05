cpdef bytes as_bytes(data, what=*)
