# cython: language_level=3, boundscheck=False, wraparound=False, freethreading_compatible=True
"""The compiled bodies of `primitives.py`, which says what each does. Nothing here may do more, or less."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.object cimport PyObject
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

cdef extern from "Python.h":
    PyObject *PyBytes_FromStringAndSize(const char *source, Py_ssize_t size) except NULL
    int _PyBytes_Resize(PyObject **bytes, Py_ssize_t size) except -1
    void Py_XDECREF(PyObject *object)
    str PyUnicode_New(Py_ssize_t size, uint32_t largest)
    PyObject *new_unicode "PyUnicode_New" (Py_ssize_t size, uint32_t largest) except NULL
    int PyUnicode_Resize(PyObject **text, Py_ssize_t size) except -1
    void *PyUnicode_DATA(str text)

ctypedef const unsigned char *Source


cdef inline bytes new_bytes(const char *source, Py_ssize_t size):
    """`PyBytes_FromStringAndSize` with the one reference that it gives."""
    cdef PyObject *made = PyBytes_FromStringAndSize(source, size)
    cdef bytes result = <bytes>made
    Py_XDECREF(made)
    return result


cdef inline void mask_into(unsigned char *target, Source source, Py_ssize_t length, Source key) noexcept nogil:
    cdef uint32_t key32
    cdef uint64_t key64, block
    cdef Py_ssize_t i = 0
    memcpy(&key32, key, 4)
    key64 = (<uint64_t>key32 << 32) | key32
    while i + 8 <= length:
        memcpy(&block, source + i, 8)
        block ^= key64
        memcpy(target + i, &block, 8)
        i += 8
    while i < length:
        target[i] = source[i] ^ key[i & 3]
        i += 1


cdef inline void turn_key(unsigned char *turned, Source key, int turn) noexcept nogil:
    cdef int i
    for i in range(4):
        turned[i] = key[(turn + i) & 3]


cpdef bytes mask_slice(bytes data, Py_ssize_t start, Py_ssize_t stop, bytes key, int turn):
    cdef bytes masked = new_bytes(NULL, stop - start)
    cdef unsigned char turned_key[4]
    turn_key(turned_key, <Source>PyBytes_AS_STRING(key), turn)
    mask_into(<unsigned char *>PyBytes_AS_STRING(masked), <Source>PyBytes_AS_STRING(data) + start, stop - start, turned_key)
    return masked


cpdef bytes take_payload(bytes data, Py_ssize_t start, Py_ssize_t stop, int masked):
    cdef Source source = <Source>PyBytes_AS_STRING(data) + start
    if not masked:
        return new_bytes(<const char *>source, stop - start)
    cdef bytes payload = new_bytes(NULL, stop - start)
    mask_into(<unsigned char *>PyBytes_AS_STRING(payload), source, stop - start, source - 4)
    return payload


cpdef bytes pack_frame(int first, bytes payload, bytes masking_key):
    cdef Py_ssize_t length = PyBytes_GET_SIZE(payload)
    cdef int mask_bit = 0 if masking_key is None else 0x80
    cdef int extended = 0 if length <= 125 else 2 if length <= 0xFFFF else 8
    cdef int i
    cdef bytes frame = new_bytes(NULL, 2 + extended + (mask_bit >> 5) + length)
    cdef unsigned char *target = <unsigned char *>PyBytes_AS_STRING(frame)
    target[0] = first
    target[1] = mask_bit | (length if extended == 0 else 126 if extended == 2 else 127)
    for i in range(extended):
        target[2 + i] = length >> 8 * (extended - 1 - i) & 0xFF
    target += 2 + extended
    if masking_key is None:
        memcpy(target, PyBytes_AS_STRING(payload), length)
    else:
        memcpy(target, PyBytes_AS_STRING(masking_key), 4)
        mask_into(target + 4, <Source>PyBytes_AS_STRING(payload), length, <Source>PyBytes_AS_STRING(masking_key))
    return frame


cdef bint is_ascii(Source data, Py_ssize_t length) noexcept nogil:
    cdef uint64_t block, bits = 0
    cdef Py_ssize_t i = 0
    while i + 8 <= length:
        memcpy(&block, data + i, 8)
        bits |= block
        i += 8
    while i < length:
        bits |= data[i]
        i += 1
    return bits & <uint64_t>0x8080808080808080 == 0


cdef extern from *:
    """
    #if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__)
    /* Twice in the module; the loader takes the one that the processor can run. */
    __attribute__((target_clones("avx2", "default")))
    #endif
    /* Whether a byte stands where it must not (RFC 3629, section 4). Begins with the fourth byte. There are no branches
       in it, so that the C compiler makes it work on 16 bytes or more at a time. */
    static int any_is_wrong(const unsigned char *data, Py_ssize_t length) {
        unsigned char wrong = 0;
        for (Py_ssize_t i = 3; i < length; i++) {
            unsigned char b = data[i], b1 = data[i - 1], b2 = data[i - 2], b3 = data[i - 3];
            unsigned char continues = (b & 0xC0) == 0x80;
            unsigned char must_continue = (b1 >= 0xC0) | (b2 >= 0xE0) | (b3 >= 0xF0);
            wrong |= continues ^ must_continue;
            wrong |= ((b & 0xFE) == 0xC0) | (b >= 0xF5);
            wrong |= ((b1 == 0xE0) & (b < 0xA0)) | ((b1 == 0xED) & (b >= 0xA0));
            wrong |= ((b1 == 0xF0) & (b < 0x90)) | ((b1 == 0xF4) & (b >= 0x90));
        }
        return wrong;
    }
    """
    bint any_is_wrong(Source data, Py_ssize_t length) nogil


cdef Py_ssize_t whole_characters(Source data, Py_ssize_t length) noexcept nogil:
    """How many bytes are whole characters, where data is the beginning of a text; -1 where it is none."""
    cdef unsigned char beginning[6]
    # The first three bytes have three before them here that are no part of any character.
    memset(beginning, 0, 6)
    memcpy(beginning + 3, data, min(length, 3))
    if any_is_wrong(beginning, 3 + min(length, 3)) or any_is_wrong(data, length):
        return -1
    if length >= 1 and data[length - 1] >= 0xC0:
        return length - 1
    if length >= 2 and data[length - 2] >= 0xE0:
        return length - 2
    if length >= 3 and data[length - 3] >= 0xF0:
        return length - 3
    return length


ctypedef fused CodeUnit:
    uint8_t
    uint16_t
    uint32_t


cdef inline void decode_into(CodeUnit *target, Source data, Py_ssize_t length) noexcept nogil:
    """Decodes what is known to be UTF-8 (RFC 3629, section 3)."""
    cdef Source end = data + length
    cdef uint64_t block
    cdef int i
    while data < end:
        if end - data >= 8:
            memcpy(&block, data, 8)
            if block & <uint64_t>0x8080808080808080 == 0:
                for i in range(8):
                    target[i] = data[i]
                target += 8
                data += 8
                continue
        if data[0] < 0x80:
            target[0] = data[0]
            data += 1
        elif data[0] < 0xE0:
            target[0] = <CodeUnit>((data[0] & 0x1F) << 6 | (data[1] & 0x3F))
            data += 2
        elif data[0] < 0xF0:
            target[0] = <CodeUnit>((data[0] & 0x0F) << 12 | (data[1] & 0x3F) << 6 | (data[2] & 0x3F))
            data += 3
        else:
            target[0] = <CodeUnit>(
                (data[0] & 0x07) << 18 | (data[1] & 0x3F) << 12 | (data[2] & 0x3F) << 6 | (data[3] & 0x3F)
            )
            data += 4
        target += 1


cdef str decode_checked(Source data, Py_ssize_t length):
    """`bytes.decode` for what is known to be UTF-8: the largest byte tells how wide the code units of the str are."""
    cdef unsigned char largest = 0, few
    cdef Py_ssize_t characters = 0, start, i
    cdef str text
    # In blocks that a counter of one byte can count, so that the C compiler makes this work on 16 bytes at a time.
    for start in range(0, length, 255):
        few = 0
        for i in range(start, min(start + 255, length)):
            largest = max(largest, data[i])
            few += (data[i] & 0xC0) != 0x80
        characters += few
    if largest < 0xC4:
        text = PyUnicode_New(characters, 0xFF)
        decode_into(<uint8_t *>PyUnicode_DATA(text), data, length)
    elif largest < 0xF0:
        text = PyUnicode_New(characters, 0xFFFF)
        decode_into(<uint16_t *>PyUnicode_DATA(text), data, length)
    else:
        text = PyUnicode_New(characters, 0x10FFFF)
        decode_into(<uint32_t *>PyUnicode_DATA(text), data, length)
    return text


cdef class PayloadBuffer:
    def __dealloc__(self):
        Py_XDECREF(self._object)

    def __len__(self):
        return self._size

    cdef int _reserve(self, Py_ssize_t room) except -1:
        raise NotImplementedError

    cdef _clear(self):
        Py_XDECREF(self._object)
        self._object = NULL
        self._data = NULL
        self._size = self._room = 0

    cdef unsigned char *_end(self, Py_ssize_t added, Py_ssize_t more) except NULL:
        """Makes room for so many bytes, and for some of those to come, never more than there are already."""
        cdef Py_ssize_t size = self._size + added
        if self._object == NULL:
            self._reserve(size + min(more, size))
        elif size > self._room:
            self._reserve(size + (min(more, size) if more else size >> 1))
        return self._data + self._size

    cpdef append(self, bytes payload):
        cdef Py_ssize_t added = PyBytes_GET_SIZE(payload)
        if added:
            memcpy(self._end(added, 0), PyBytes_AS_STRING(payload), added)
            self._size += added

    cpdef append_slice(self, bytes data, Py_ssize_t start, Py_ssize_t stop, bytes key, int turn, Py_ssize_t more):
        cdef Py_ssize_t added = stop - start
        cdef Source source = <Source>PyBytes_AS_STRING(data) + start
        cdef unsigned char turned_key[4]
        if not added:
            return
        if PyBytes_GET_SIZE(key):
            turn_key(turned_key, <Source>PyBytes_AS_STRING(key), turn)
            mask_into(self._end(added, more), source, added, turned_key)
        else:
            memcpy(self._end(added, more), source, added)
        self._size += added

    cpdef Py_ssize_t allocated(self) except -1:
        return self._room


cdef class BytesBuffer(PayloadBuffer):
    cdef int _reserve(self, Py_ssize_t room) except -1:
        if self._object == NULL:
            self._object = PyBytes_FromStringAndSize(NULL, room)
        else:
            try:
                _PyBytes_Resize(&self._object, room)
            except MemoryError:
                self._clear()
                raise
        self._data = <unsigned char *>PyBytes_AS_STRING(<bytes>self._object)
        self._room = room
        return 0

    cpdef bytes take_bytes(self):
        cdef bytes data
        if self._size == 0:
            return b""
        if self._size < self._room:
            self._reserve(self._size)
        data = <bytes>self._object
        self._clear()
        return data


cdef class TextBuffer(PayloadBuffer):
    """Its memory is that of a str, which is the text itself if that turns out to be ASCII."""

    cdef int _reserve(self, Py_ssize_t room) except -1:
        if self._object == NULL:
            self._object = new_unicode(room, 0x7F)
        else:
            PyUnicode_Resize(&self._object, room)
        self._data = <unsigned char *>PyUnicode_DATA(<str>self._object)
        self._room = room
        return 0

    cdef _clear(self):
        PayloadBuffer._clear(self)
        self._checked = 0
        self._beyond_ascii = False

    cdef bint _is_beginning_of_text(self):
        """Goes on where it stopped the last time; on the way it finds out whether there is more than ASCII."""
        cdef Source unchecked = self._data + self._checked
        cdef Py_ssize_t length = self._size - self._checked
        if is_ascii(unchecked, length):
            self._checked = self._size
            return True
        self._beyond_ascii = True
        length = whole_characters(unchecked, length)
        if length < 0:
            return False
        self._checked += length
        return True

    cpdef check_text(self):
        if self._size and not self._is_beginning_of_text():
            # The Python body knows how to say what is wrong, and where.
            from .primitives import decode_beginning
            decode_beginning(self._data[self._checked : self._size])

    cpdef str take_text(self):
        cdef str text
        if not self._size:
            return ""
        if not self._is_beginning_of_text() or self._checked < self._size:
            # Python knows what to say of a text that is none.
            data = self._data[: self._size]
            self._clear()
            return data.decode()
        if self._beyond_ascii:
            text = decode_checked(self._data, self._size)
        else:
            if self._size < self._room:
                self._reserve(self._size)
            text = <str>self._object
        self._clear()
        return text
