# cython: language_level=3, boundscheck=False, wraparound=False, freethreading_compatible=True
"""The compiled bodies of `byte_loops.py`, where each is documented. Their behaviour must be exactly the same.

What can be called from Python checks what it is given: it must not read or write memory that is not its own, whatever
the arguments are. Nothing here may hold on to an object by hand but `Loan`, `PayloadBuffer` and `GrowingText`.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.buffer cimport PyBuffer_FillInfo
from cpython.object cimport PyObject
from libc.stdint cimport uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memmove, memset

cdef extern from "Python.h":
    PyObject *PyBytes_FromStringAndSize(const char *source, Py_ssize_t size) except NULL
    int _PyBytes_Resize(PyObject **bytes, Py_ssize_t size) except -1
    void Py_XINCREF(PyObject *object)
    void Py_XDECREF(PyObject *object)
    PyObject *PyUnicode_New(Py_ssize_t size, uint32_t largest) except NULL
    int PyUnicode_Resize(PyObject **text, Py_ssize_t size) except -1
    void *PyUnicode_DATA(PyObject *text)
    bint PyUnicode_IS_COMPACT_ASCII(str text)
    Py_ssize_t PyUnicode_GET_LENGTH(str text)
    str PyUnicode_DecodeLatin1(const char *data, Py_ssize_t size, const char *errors)
    str PyUnicode_DecodeUTF8Stateful(const char *data, Py_ssize_t size, const char *errors, Py_ssize_t *used)

# The characters of a str: below U+0100, below U+10000, or any.
ctypedef fused Character:
    unsigned char
    uint16_t
    uint32_t

cdef double WIDE = 1.9
cdef enum:
    TEXT_BLOCK = 4096
    # The number of bytes that are checked at once in a text that is not all ASCII.
    CHECKED_AT_ONCE = 32
    # The number of bytes that are looked at and copied at once in a run of ASCII.
    ASCII_AT_ONCE = 16
    # An octet that is never in UTF-8. `ASCII_AT_ONCE` of them follow text that is decoded.
    END_MARK = 0xFF
    # The memory that a piece of text takes besides its characters: the header of a str, and its place in a list.
    PIECE_OVERHEAD = 96


cdef inline bytes new_bytes(const char *source, Py_ssize_t size):
    """`PyBytes_FromStringAndSize` with the one reference that it gives."""
    cdef PyObject *made = PyBytes_FromStringAndSize(source, size)
    cdef bytes result = <bytes>made
    Py_XDECREF(made)
    return result


cdef inline void mask_into(unsigned char *target, Source source, Py_ssize_t length, Source key, int turn) noexcept nogil:
    """``key[turn]`` belongs to the first byte. The target may be the source, but not overlap it otherwise. Inlined, the
    first loop works on 16 bytes at a time."""
    cdef unsigned char twice[8]
    cdef uint32_t key32
    cdef uint64_t key64 = 0, block
    cdef Py_ssize_t i = 0
    if length >= 8:
        memcpy(twice, key, 4)
        memcpy(twice + 4, key, 4)
        memcpy(&key32, twice + turn, 4)
        key64 = (<uint64_t>key32 << 32) | key32
    while i + 8 <= length:
        memcpy(&block, source + i, 8)
        block ^= key64
        memcpy(target + i, &block, 8)
        i += 8
    while i < length:
        target[i] = source[i] ^ key[(turn + i) & 3]
        i += 1


cdef inline int check_slice(bytes data, Py_ssize_t start, Py_ssize_t stop) except -1:
    if data is None:
        raise TypeError("binary data is bytes, not None")
    if not 0 <= start <= stop <= PyBytes_GET_SIZE(data):
        raise ValueError("no such slice, or no such byte of the key")
    return 0


cdef int raise_about_key(bytes key) except -1:
    if key is None:
        raise TypeError("a masking key is bytes, not None")
    raise ValueError(f"a masking key has 4 bytes, not {len(key)} (5.3)")


cdef int raise_about_turn() except -1:
    raise ValueError("no such slice, or no such byte of the key")


# Small enough for the C compiler to inline them.


cdef inline int check_turn(int turn) except -1:
    if not 0 <= turn < 4:
        raise_about_turn()
    return 0


cdef inline int check_key(bytes key, int turn) except -1:
    if key is None or PyBytes_GET_SIZE(key) != 4:
        raise_about_key(key)
    return check_turn(turn)


cpdef bytes mask_slice(bytes data, Py_ssize_t start, Py_ssize_t stop, bytes key, int turn):
    check_slice(data, start, stop)
    check_key(key, turn)
    cdef bytes masked = new_bytes(NULL, stop - start)
    cdef Source source = <Source>PyBytes_AS_STRING(data) + start
    mask_into(<unsigned char *>PyBytes_AS_STRING(masked), source, stop - start, <Source>PyBytes_AS_STRING(key), turn)
    return masked


cpdef bytes take_payload(bytes data, Py_ssize_t start, Py_ssize_t stop, int masked):
    # If the payload is masked, the slice begins at the key.
    check_slice(data, start - 4 if masked else start, stop)
    cdef Source source = <Source>PyBytes_AS_STRING(data) + start
    if not masked:
        return new_bytes(<const char *>source, stop - start)
    if start > stop:
        raise ValueError("no such slice, or no such byte of the key")
    cdef bytes payload = new_bytes(NULL, stop - start)
    mask_into(<unsigned char *>PyBytes_AS_STRING(payload), source, stop - start, source - 4, 0)
    return payload


cdef inline Py_ssize_t size_of_header(Py_ssize_t length, Source key) noexcept:
    return (2 if length <= 125 else 4 if length <= 0xFFFF else 10) + (0 if key == NULL else 4)


cdef inline unsigned char *put_header(unsigned char *target, int first, Py_ssize_t length, Source key) noexcept:
    """Write the header of a frame and return where it ends."""
    cdef int mask_bit = 0 if key == NULL else 0x80
    cdef int extended = 0 if length <= 125 else 2 if length <= 0xFFFF else 8
    cdef int i
    target[0] = first
    target[1] = mask_bit | (length if extended == 0 else 126 if extended == 2 else 127)
    for i in range(extended):
        target[2 + i] = length >> 8 * (extended - 1 - i) & 0xFF
    target += 2 + extended
    if key != NULL:
        memcpy(target, key, 4)
        target += 4
    return target


cdef inline int check_header(int first, Py_ssize_t length) except -1:
    if not 0 <= first <= 0xFF or length < 0:
        raise OverflowError("the first byte of a frame is a byte, and a length is not negative")
    return 0


cdef inline Source key_in(bytes keys, Py_ssize_t at) except? NULL:
    if keys is None:
        return NULL
    if not 0 <= at <= PyBytes_GET_SIZE(keys) - 4:
        raise ValueError(f"a masking key has 4 bytes, not {len(keys[at : at + 4])} (5.3)")
    return <Source>PyBytes_AS_STRING(keys) + at


cpdef bytes pack_header(int first, Py_ssize_t length, bytes masking_key):
    check_header(first, length)
    if masking_key is not None:
        check_key(masking_key, 0)
    cdef Source key = key_in(masking_key, 0)
    cdef bytes header = new_bytes(NULL, size_of_header(length, key))
    put_header(<unsigned char *>PyBytes_AS_STRING(header), first, length, key)
    return header


cdef bytes pack(int first, Source payload, Py_ssize_t length, Source key):
    check_header(first, length)
    cdef bytes frame = new_bytes(NULL, size_of_header(length, key) + length)
    cdef unsigned char *target = put_header(<unsigned char *>PyBytes_AS_STRING(frame), first, length, key)
    if key == NULL:
        memcpy(target, payload, length)
    else:
        mask_into(target, payload, length, key, 0)
    return frame


cpdef bytes pack_frame(int first, bytes payload, bytes keys, Py_ssize_t at):
    if payload is None:
        raise TypeError("a payload is bytes, not None")
    return pack(first, <Source>PyBytes_AS_STRING(payload), PyBytes_GET_SIZE(payload), key_in(keys, at))


cpdef bytes pack_text(int first, str text, bytes keys, Py_ssize_t at):
    if text is None:
        raise TypeError("a text is a str, not None")
    if PyUnicode_IS_COMPACT_ASCII(text):
        return pack(first, <Source>PyUnicode_DATA(<PyObject *>text), PyUnicode_GET_LENGTH(text), key_in(keys, at))
    return pack_frame(first, text.encode(), keys, at)


# Text (8.1). A small text, or one of wide characters, stays bytes and is checked; another is decoded as it arrives.


cdef inline bint has_only_ascii(Source data, Py_ssize_t length) noexcept nogil:
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


cdef bint is_ascii(Source data, Py_ssize_t length) noexcept nogil:
    """Stops soon after the first byte that is not."""
    cdef Py_ssize_t i = 0
    while i + 256 <= length:
        if not has_only_ascii(data + i, 256):
            return False
        i += 256
    return has_only_ascii(data + i, length - i)


cdef inline signed char signed(int octet) noexcept nogil:
    """Return an octet as a signed number, in the same order: SSE2 compares no others."""
    return <signed char>(octet - 0x80)


cdef inline bint is_wrong(Source data) noexcept nogil:
    """Return whether one of `CHECKED_AT_ONCE` bytes cannot stand where it does, after the three bytes before them.

    Each byte is held against those before it, and none is skipped, so that the C compiler makes it work on 16 bytes at
    a time. RFC 3629, section 4:

        UTF8-1 = %x00-7F
        UTF8-2 = %xC2-DF UTF8-tail
        UTF8-3 = %xE0 %xA0-BF UTF8-tail / %xE1-EC 2( UTF8-tail ) / %xED %x80-9F UTF8-tail / %xEE-EF 2( UTF8-tail )
        UTF8-4 = %xF0 %x90-BF 2( UTF8-tail ) / %xF1-F3 3( UTF8-tail ) / %xF4 %x80-8F 2( UTF8-tail )
        UTF8-tail = %x80-BF
    """
    cdef signed char here, last, second_last, third_last
    cdef unsigned char wrong = 0
    cdef Py_ssize_t i
    for i in range(CHECKED_AT_ONCE):
        here, last = signed(data[i]), signed(data[i - 1])
        second_last, third_last = signed(data[i - 2]), signed(data[i - 3])
        wrong |= (
            ((here >= signed(0x80)) & (here < signed(0xC0)))
            ^ ((last >= signed(0xC0)) | (second_last >= signed(0xE0)) | (third_last >= signed(0xF0)))
        )
        wrong |= (here == signed(0xC0)) | (here == signed(0xC1)) | (here >= signed(0xF5))
        wrong |= ((last == signed(0xE0)) & (here < signed(0xA0))) | ((last == signed(0xED)) & (here > signed(0x9F)))
        wrong |= ((last == signed(0xF0)) & (here < signed(0x90))) | ((last == signed(0xF4)) & (here > signed(0x8F)))
    return wrong


cdef inline Py_ssize_t size_of_character(Source data, Py_ssize_t at, Py_ssize_t length) noexcept nogil:
    """Return the size of the character at this place, 0 if the rest of it has not come, or -1 if it is wrong."""
    cdef unsigned char first = data[at], low, high
    cdef Py_ssize_t size, i
    if first < 0x80:
        return 1
    if first < 0xC2 or first > 0xF4:
        return -1
    size = 2 if first < 0xE0 else 3 if first < 0xF0 else 4
    low = 0xA0 if first == 0xE0 else 0x90 if first == 0xF0 else 0x80
    high = 0x9F if first == 0xED else 0x8F if first == 0xF4 else 0xBF
    for i in range(at + 1, at + size):
        if i == length:
            return 0
        if not low <= data[i] <= high:
            return -1
        low, high = 0x80, 0xBF
    return size


cdef Py_ssize_t whole_characters(Source data, Py_ssize_t length) noexcept nogil:
    """Return how many bytes are whole characters if the data is the beginning of a text, or -1 if it is not."""
    cdef Py_ssize_t at = 0, start, size
    while at < length:
        # One character at a time, until there are three earlier bytes to look back at, ...
        size = size_of_character(data, at, length)
        if size <= 0:
            return size if size < 0 else at
        at += size
        if at < 3:
            continue
        # ... then many bytes at once. On an error, and at the end, go back to the last whole character.
        start = at
        while at + CHECKED_AT_ONCE <= length:
            if not (data[at - 1] < 0x80 and has_only_ascii(data + at, CHECKED_AT_ONCE)) and is_wrong(data + at):
                break
            at += CHECKED_AT_ONCE
        while at > start and data[at - 1] >= 0x80:
            at -= 1
            if data[at] >= 0xC0:
                break
    return length


cdef inline Py_ssize_t first_beyond_ascii(Source data, Py_ssize_t length) noexcept nogil:
    cdef Py_ssize_t at = 0
    while at < length - 1 and data[at] < 0x80:
        at += 1
    return at


cdef inline bint is_tail(unsigned char octet) noexcept nogil:
    return octet & 0xC0 == 0x80


cdef inline void copy_ascii(Character *target, Source data, int length) noexcept nogil:
    """Inlined, with a constant length of at most ``ASCII_AT_ONCE``."""
    cdef unsigned char block[ASCII_AT_ONCE]
    cdef int i
    # The C compiler knows that the target is not in here, so that it need not go byte by byte.
    memcpy(block, data, length)
    for i in range(length):
        target[i] = block[i]


cdef inline Py_ssize_t decode_into(Character *target, Source data, Py_ssize_t *length) noexcept nogil:
    """Decode characters, and return how many bytes they had; ``length`` grows by their number.

    Decoding stops at a character that is invalid, incomplete or too large for the target, and at the `END_MARK` after
    the data, so no step has to compare positions. Each kind of character has a single branch for everything that can
    be wrong with it; with several, it depended on how the C compiler arranged them whether this was faster than
    Python's decoder.
    """
    cdef Source at = data
    cdef Character *to = target
    cdef unsigned int first, character
    while True:
        first = at[0]
        if first < 0x80:
            if has_only_ascii(at, 8):
                copy_ascii(to, at, 8)
                to += 8
                at += 8
                while has_only_ascii(at, ASCII_AT_ONCE):
                    copy_ascii(to, at, ASCII_AT_ONCE)
                    to += ASCII_AT_ONCE
                    at += ASCII_AT_ONCE
                first = at[0]
            while first < 0x80:
                to[0] = <Character>first
                to += 1
                at += 1
                first = at[0]
        if first < 0xE0:
            if (first < 0xC2) | (not is_tail(at[1])) | (sizeof(Character) == 1 and first > 0xC3):
                break
            to[0] = <Character>((first & 0x1F) << 6 | at[1] & 0x3F)
            to += 1
            at += 2
        elif first < 0xF0:
            if sizeof(Character) == 1:
                break
            character = (first & 0x0F) << 12 | (at[1] & 0x3F) << 6 | at[2] & 0x3F
            if (not is_tail(at[1])) | (not is_tail(at[2])) | (character < 0x800) | (character >> 11 == 0xD800 >> 11):
                break
            to[0] = <Character>character
            to += 1
            at += 3
        else:
            if sizeof(Character) < 4 or size_of_character(at, 0, 4) <= 0:
                break
            to[0] = <Character>((first & 7) << 18 | (at[1] & 0x3F) << 12 | (at[2] & 0x3F) << 6 | at[3] & 0x3F)
            to += 1
            at += 4
    length[0] += to - target
    return at - data


cdef inline int resize_text(PyObject **text, Py_ssize_t size, uint32_t largest) except -1:
    """Change the size of a str to which nothing else refers; if it is ``NULL``, make one for characters up to this."""
    if text[0] == NULL:
        text[0] = PyUnicode_New(size, largest)
    else:
        PyUnicode_Resize(text, size)
    return 0


cdef class GrowingText:
    """The beginning of a text, decoded into a str with room for more: at most twice what there is."""

    def __cinit__(self, int character_size):
        self._character_size = character_size

    def __dealloc__(self):
        Py_XDECREF(self._object)

    cdef int _resize(self, Py_ssize_t room) except -1:
        cdef int size = self._character_size
        resize_text(&self._object, room, 0xFF if size == 1 else 0xFFFF if size == 2 else 0x10FFFF)
        self._room = room
        return 0

    cdef Py_ssize_t decode(self, Source data, Py_ssize_t size, Py_ssize_t more) except -1:
        """Decode data into the space after the text, and return the number of bytes decoded; `keep` then adds the
        result to the text.

        An `END_MARK` follows the data, and ``more`` bytes are announced to follow it in the message.
        """
        cdef Py_ssize_t least = self._length + size
        cdef unsigned char *end
        if least > self._room:
            if self._used:
                # Expect as many characters per byte as there have been so far.
                more = <Py_ssize_t>(<double>more * self._length / self._used)
            self._resize(least + min(more, least))
        end = <unsigned char *>PyUnicode_DATA(self._object) + self._length * self._character_size
        self._new_length = self._length
        if self._character_size == 1:
            self._new_used = self._used + decode_into(end, data, &self._new_length)
        elif self._character_size == 2:
            self._new_used = self._used + decode_into(<uint16_t *>end, data, &self._new_length)
        else:
            self._new_used = self._used + decode_into(<uint32_t *>end, data, &self._new_length)
        return self._new_used - self._used

    cdef void keep(self) noexcept:
        """Make what was just decoded part of the text."""
        self._length, self._used = self._new_length, self._new_used

    cdef str take(self):
        self._resize(self._length)
        cdef str text = <str>self._object
        Py_XDECREF(self._object)
        self._object = NULL
        return text

    cdef Py_ssize_t allocated(self) noexcept:
        return self._room * self._character_size + PIECE_OVERHEAD

    cdef bint is_wide(self) noexcept:
        """Whether the text, with what was just decoded, takes more memory than it should."""
        return self._new_length * self._character_size > self._new_used * WIDE


cdef class Loan:
    def __cinit__(self, Py_ssize_t size=-1):
        # Without a size, this is for `PayloadBuffer.lend`, which sets what is lent.
        if size >= 0:
            self._object = PyBytes_FromStringAndSize(NULL, size)
            self._data = <unsigned char *>PyBytes_AS_STRING(<bytes>self._object)
            self._size = size
            self._is_alone = True

    def __dealloc__(self):
        Py_XDECREF(self._object)

    def __getbuffer__(self, Py_buffer *buffer, int flags):
        if self._object == NULL:
            raise BufferError("this memory was taken back")
        PyBuffer_FillInfo(buffer, self, self._data, self._size, 0, flags)
        self._exports += 1

    def __releasebuffer__(self, Py_buffer *buffer):
        self._exports -= 1

    cpdef view(self):
        return memoryview(self)

    cdef bint _end(self) noexcept:
        """End the loan, and return whether nobody can write to the memory any more. If somebody still can, it is left
        to them."""
        cdef PyObject *owner = self._object
        self._is_alone = False
        if self._exports:
            return False
        self._object = NULL
        Py_XDECREF(owner)
        return True

    cpdef bytes take(self, Py_ssize_t size):
        cdef PyObject *memory = self._object
        if not self._is_alone:
            raise ValueError("this memory was taken back")
        if not 0 <= size <= self._size:
            raise ValueError(f"{self._size} bytes were lent, not {size}")
        Py_XINCREF(memory)
        try:
            if self._end() and size:
                _PyBytes_Resize(&memory, size)
                return <bytes>memory
            return PyBytes_AS_STRING(<bytes>memory)[:size]
        finally:
            Py_XDECREF(memory)


cdef class PayloadBuffer:
    def __dealloc__(self):
        Py_XDECREF(self._object)

    def __len__(self):
        return self._size

    cdef int _reserve(self, Py_ssize_t room) except -1:
        raise NotImplementedError

    cdef _clear(self):
        cdef PyObject *owner = self._object
        self._loan = None
        self._object = NULL
        self._data = NULL
        self._size = self._room = 0
        Py_XDECREF(owner)

    cdef int _end_loan(self) except -1:
        """Own the memory alone again, as a borrower of some of it may go on writing to it."""
        cdef Loan loan = self._loan
        cdef PyObject *lent = self._object
        cdef Source data = self._data
        cdef Py_ssize_t size = self._size
        self._loan = None
        if not loan._end():
            self._object = NULL
            try:
                self._reserve(self._room)
                memcpy(self._data, data, size)
            finally:
                Py_XDECREF(lent)
        return 0

    cdef unsigned char *_end(self, Py_ssize_t added, Py_ssize_t more) except NULL:
        """Make room for so many bytes, and for some of those to come, never more than there are already."""
        cdef Py_ssize_t size = self._size + added
        if self._loan is not None:
            self._end_loan()
        if self._object == NULL:
            self._reserve(size + min(more, size))
        elif size > self._room:
            self._reserve(size + (min(more, size) if more else size >> 1))
        return self._data + self._size

    cpdef append(self, bytes payload):
        if payload is None:
            raise TypeError("a payload is bytes, not None")
        cdef Py_ssize_t added = PyBytes_GET_SIZE(payload)
        if added:
            memcpy(self._end(added, 0), PyBytes_AS_STRING(payload), added)
            self._size += added

    cpdef append_slice(self, bytes data, Py_ssize_t start, Py_ssize_t stop, bytes key, int turn, Py_ssize_t more):
        check_slice(data, start, stop)
        cdef Py_ssize_t added = stop - start
        self._is_masked = False
        if key:
            check_key(key, turn)
            memcpy(self._key, PyBytes_AS_STRING(key), 4)
            self._is_masked = True
        if added:
            put(self, self._end(added, max(more, 0)), <Source>PyBytes_AS_STRING(data) + start, added, turn)
            self._size += added

    cpdef bint append_simply(self, bytes data, int turn) except -1:
        raise NotImplementedError

    cpdef Loan lend(self, Py_ssize_t size, Py_ssize_t more):
        if size <= 0:
            raise ValueError("there is nothing to lend")
        cdef unsigned char *end = self._end(size, max(more, 0))
        cdef Loan loan = Loan()
        Py_XINCREF(self._object)
        loan._object = self._object
        loan._data = end
        loan._size = size
        self._loan = loan
        return loan

    cpdef append_loan(self, Loan loan, Py_ssize_t size, int turn):
        if loan is None or loan is not self._loan:
            raise ValueError("this memory was taken back")
        if not 0 <= size <= loan._size:
            raise ValueError(f"{loan._size} bytes were lent, not {size}")
        put(self, loan._data, loan._data, size, turn)
        # This comes before the end of the loan, when everything is copied if a view can still write to it.
        self._size += size
        self._end_loan()

    cpdef Py_ssize_t allocated(self) except -1:
        return self._room


cdef inline int put(PayloadBuffer buffer, unsigned char *target, Source source, Py_ssize_t length, int turn) except -1:
    """Write bytes of a payload; the target may be the source."""
    if buffer._is_masked:
        check_turn(turn)
        mask_into(target, source, length, buffer._key, turn)
    elif target != source:
        memcpy(target, source, length)
    return 0


cdef inline bint put_if_room(PayloadBuffer buffer, bytes data, int turn) except -1:
    """Write data after the content, if there is room for it, without making it part of the content."""
    if data is None:
        raise TypeError("binary data is bytes, not None")
    cdef Py_ssize_t added = PyBytes_GET_SIZE(data)
    cdef Source source = <Source>PyBytes_AS_STRING(data)
    cdef unsigned char *target = buffer._data + buffer._size
    if buffer._object == NULL or buffer._loan is not None or added > buffer._room - buffer._size:
        return False
    put(buffer, target, source, added, turn)
    return True


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

    cpdef bint append_simply(self, bytes data, int turn) except -1:
        if not put_if_room(self, data, turn):
            return False
        self._size += PyBytes_GET_SIZE(data)
        return True

    cpdef bytes take_bytes(self):
        cdef bytes data
        if self._loan is not None:
            self._end_loan()
        if self._size == 0:
            self._clear()
            return b""
        if self._size < self._room:
            self._reserve(self._size)
        data = <bytes>self._object
        self._clear()
        return data


cdef int raise_error_in_text(Source data, Py_ssize_t size) except -1:
    """The Python body knows how to say what is wrong, and where."""
    from .byte_loops import decode_beginning
    decode_beginning(data[:size])
    return 0


cdef class TextBuffer(PayloadBuffer):
    """Its memory is that of a str, which is the text itself if that turns out to be ASCII."""

    def __len__(self):
        return self._size_of_decoded + self._size

    cdef int _reserve(self, Py_ssize_t room) except -1:
        resize_text(&self._object, room, 0x7F)
        self._data = <unsigned char *>PyUnicode_DATA(self._object)
        self._room = room
        return 0

    cdef unsigned char *_end(self, Py_ssize_t added, Py_ssize_t more) except NULL:
        self._more = more
        return PayloadBuffer._end(self, added, more)

    cdef _clear(self):
        PayloadBuffer._clear(self)
        self._checked = 0
        self._beyond_ascii = self._is_wide = self._is_widest = False

    cpdef bint append_simply(self, bytes data, int turn) except -1:
        if self._is_wide or self._checked < self._size:
            return False
        # What would be a block is decoded, even if it is ASCII.
        if self._growing is not None and self._size + len(data) >= TEXT_BLOCK:
            return False
        if not put_if_room(self, data, turn):
            return False
        if not is_ascii(self._data + self._size, PyBytes_GET_SIZE(data)):
            return False
        self._size += PyBytes_GET_SIZE(data)
        self._checked = self._size
        return True

    cpdef check_text(self):
        cdef Py_ssize_t whole
        if self._loan is not None:
            self._end_loan()
        if not self._beyond_ascii:
            if is_ascii(self._data + self._checked, self._size - self._checked):
                self._checked = self._size
                return
            if self._checked >= TEXT_BLOCK:
                self._set_ascii_aside()
            self._beyond_ascii = True
        if self._size >= TEXT_BLOCK and not self._is_wide:
            self._decode_block()
        whole = whole_characters(self._data + self._checked, self._size - self._checked)
        if whole < 0:
            raise_error_in_text(self._data + self._checked, self._size - self._checked)
        self._checked += whole

    cdef _set_ascii_aside(self):
        """Make a piece of what is ASCII. Together with other characters, it would take up to twice the memory."""
        cdef Py_ssize_t size = self._checked
        cdef bytes rest = self._data[size : self._size]
        self._size = size
        self._add_piece(self._take_ascii(), size + PIECE_OVERHEAD)
        self._size_of_decoded += size
        self.append(rest)

    cdef _decode_block(self):
        """Decode everything but an incomplete last character, unless the text turns out to be wide."""
        cdef Py_ssize_t used
        if self._growing is None:
            self._begin_piece(self._data[first_beyond_ascii(self._data, self._size)])
        while self._growing is not None:
            used = self._decode(self._more)
            if used < self._size and size_of_character(self._data, used, self._size) > 0:
                # This character is too large for the piece.
                self._end_piece()
                self._begin_piece(self._data[used])
            elif self._growing.is_wide():
                self._end_piece()
                self._is_wide = True
            else:
                self._growing.keep()
                self._forget(used)
                return

    cdef Py_ssize_t _decode(self, Py_ssize_t more) except -1:
        if self._size + ASCII_AT_ONCE > self._room:
            self._reserve(self._size + ASCII_AT_ONCE)
        memset(self._data + self._size, END_MARK, ASCII_AT_ONCE)
        return self._growing.decode(self._data, self._size, more)

    cdef _begin_piece(self, unsigned char octet):
        """Begin a piece whose first character beyond ASCII begins with ``octet``, unless the text is wide."""
        if octet < 0xF0:
            self._growing = GrowingText(1 if octet < 0xC4 else 2)
        else:
            self._is_wide = self._is_widest = True

    cdef _end_piece(self):
        cdef GrowingText growing = self._growing
        self._growing = None
        if growing._length:
            self._add_piece(growing.take(), growing.allocated())

    cdef _add_piece(self, str text, Py_ssize_t memory):
        if self._pieces is None:
            self._pieces = []
        self._pieces.append(text)
        self._memory_of_pieces += memory

    cdef _forget(self, Py_ssize_t decoded):
        """Forget the first bytes, which have been decoded."""
        self._size -= decoded
        memmove(self._data, self._data + decoded, self._size)
        self._checked = 0
        self._size_of_decoded += decoded

    cdef str _take_ascii(self):
        """Take what is ASCII, without a copy."""
        if self._size < self._room:
            self._reserve(self._size)
        cdef str text = <str>self._object
        self._clear()
        return text

    cdef str _take_last(self):
        """Take the text after the pieces."""
        cdef Py_ssize_t unchecked = self._size - self._checked
        if self._size and not self._beyond_ascii and is_ascii(self._data + self._checked, unchecked):
            return self._take_ascii()
        try:
            return PyUnicode_DecodeUTF8Stateful(<const char *>self._data, self._size, NULL, NULL)
        finally:
            self._clear()

    cpdef str take_text(self):
        cdef list pieces
        if self._loan is not None:
            self._end_loan()
        if self._is_widest:
            self._growing = GrowingText(4)
        if self._growing is not None:
            self._forget(self._decode(0))
            self._growing.keep()
            self._end_piece()
        pieces = self._pieces
        self._pieces = None
        self._size_of_decoded = self._memory_of_pieces = 0
        cdef str last = self._take_last()
        if pieces is None:
            return last
        if last:
            pieces.append(last)
        return "".join(pieces)

    cpdef Py_ssize_t allocated(self) except -1:
        return self._room + self._memory_of_pieces + (self._growing.allocated() if self._growing is not None else 0)


# Heads (RFC 9112).

# The lower case of each octet that is allowed in a name; 0 for the other octets.
cdef unsigned char LOWER[256]
cdef int letter
for letter in range(256):
    LOWER[letter] = letter if letter in b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz" else 0
for letter in range(26):
    LOWER[c"A" + letter] = c"a" + letter


cdef inline bint is_crlf(Source data, Py_ssize_t at, Py_ssize_t stop) noexcept nogil:
    return at + 2 <= stop and data[at] == c"\r" and data[at + 1] == c"\n"


cdef inline bint is_blank(unsigned char octet) noexcept nogil:
    return octet == c" " or octet == c"\t"


cdef inline Py_ssize_t end_of_name(Source data, Py_ssize_t at, Py_ssize_t stop) noexcept nogil:
    while at < stop and LOWER[data[at]]:
        at += 1
    return at


cdef inline bint has_control(uint64_t block) noexcept nogil:
    """Say whether one of 8 octets is below 0x20 or 0x7F; where an octet before it is, it may say so of others, too."""
    cdef uint64_t low = (block - <uint64_t>0x2020202020202020) & ~block
    cdef uint64_t delete = block ^ <uint64_t>0x7F7F7F7F7F7F7F7F
    delete = (delete - <uint64_t>0x0101010101010101) & ~delete
    return (low | delete) & <uint64_t>0x8080808080808080 != 0


cdef inline Py_ssize_t end_of_value(Source data, Py_ssize_t at, Py_ssize_t stop, bint *is_all_ascii) noexcept nogil:
    cdef uint64_t block, bits = 0
    while at + 8 <= stop:
        memcpy(&block, data + at, 8)
        if has_control(block):
            break
        bits |= block
        at += 8
    while at < stop and (data[at] >= 0x20 and data[at] != 0x7F or data[at] == c"\t"):
        bits |= data[at]
        at += 1
    is_all_ascii[0] = bits & <uint64_t>0x8080808080808080 == 0
    return at


# Names in almost every head, for which no new str is made.
cdef tuple USUAL_NAMES = (
    b"Host", b"Connection", b"Upgrade", b"Origin", b"Cookie", b"User-Agent", b"Pragma", b"Cache-Control",
    b"Accept-Encoding", b"Accept-Language", b"Date", b"Server", b"Sec-WebSocket-Key", b"Sec-WebSocket-Version",
    b"Sec-WebSocket-Extensions", b"Sec-WebSocket-Protocol", b"Sec-WebSocket-Accept",
)
cdef tuple USUAL_TEXTS = tuple([name.decode() for name in USUAL_NAMES])
cdef tuple USUAL_KEYS = tuple([name.decode().lower() for name in USUAL_NAMES])


cdef inline Py_ssize_t usual_name(Source name, Py_ssize_t size):
    """Return the place of a name in `USUAL_NAMES`, or -1."""
    cdef Py_ssize_t place
    cdef PyObject *usual
    for place in range(len(USUAL_NAMES)):
        usual = <PyObject *>USUAL_NAMES[place]
        if PyBytes_GET_SIZE(<bytes>usual) == size and memcmp(PyBytes_AS_STRING(<bytes>usual), name, size) == 0:
            return place
    return -1


cdef str in_lower_case(Source name, Py_ssize_t size):
    cdef PyObject *made = PyUnicode_New(size, 0x7F)
    cdef unsigned char *target = <unsigned char *>PyUnicode_DATA(made)
    cdef Py_ssize_t i
    for i in range(size):
        target[i] = LOWER[name[i]]
    cdef str result = <str>made
    Py_XDECREF(made)
    return result


cdef inline Py_ssize_t end_of_word(Source data, Py_ssize_t at, Py_ssize_t stop) noexcept nogil:
    while at < stop and 0x21 <= data[at] <= 0x7E:
        at += 1
    return at


cdef inline str ascii_text(Source data, Py_ssize_t start, Py_ssize_t stop):
    cdef PyObject *made = PyUnicode_New(stop - start, 0x7F)
    memcpy(PyUnicode_DATA(made), data + start, stop - start)
    cdef str result = <str>made
    Py_XDECREF(made)
    return result


cdef inline str latin_1(Source data, Py_ssize_t start, Py_ssize_t stop, bint is_all_ascii):
    if is_all_ascii:
        return ascii_text(data, start, stop)
    return PyUnicode_DecodeLatin1(<const char *>data + start, stop - start, NULL)


cdef Py_ssize_t read_fields(Source data, Py_ssize_t at, Py_ssize_t stop, Py_ssize_t most, list pairs, dict index) except -2:
    """Fill in the fields, and return where the empty line ends; -1 if something is wrong with them."""
    cdef Py_ssize_t colon, first, last, end, usual
    cdef str name, key, value
    cdef bint is_all_ascii
    while not is_crlf(data, at, stop):
        colon = end_of_name(data, at, stop)
        if len(pairs) >= most or colon == at or colon == stop or data[colon] != c":":
            return -1
        first = colon + 1
        end = last = end_of_value(data, first, stop, &is_all_ascii)
        if not is_crlf(data, end, stop):
            return -1
        while first < last and is_blank(data[first]):
            first += 1
        while first < last and is_blank(data[last - 1]):
            last -= 1
        usual = usual_name(data + at, colon - at)
        if usual < 0:
            name, key = ascii_text(data, at, colon), in_lower_case(data + at, colon - at)
        else:
            name, key = USUAL_TEXTS[usual], USUAL_KEYS[usual]
        value = latin_1(data, first, last, is_all_ascii)
        pairs.append((name, value))
        index[key] = (value,)
        at = end + 2
    return at + 2


cpdef tuple read_head(bytes data, Py_ssize_t stop, most):
    # There are always fewer fields than octets, and a limit may be too large for an integer of C.
    cdef Py_ssize_t most_fields = stop if most > stop else most
    if data is None:
        raise TypeError("binary data is bytes, not None")
    if not 0 <= stop <= PyBytes_GET_SIZE(data):
        raise ValueError("no such slice")
    cdef Source source = <Source>PyBytes_AS_STRING(data)
    cdef Py_ssize_t first = end_of_word(source, 0, stop)
    if most_fields < 0 or first == 0 or first == stop or source[first] != c" ":
        return None
    cdef Py_ssize_t second = end_of_word(source, first + 1, stop)
    cdef Py_ssize_t rest = second, end = second
    cdef bint is_all_ascii = True
    if second == first + 1:
        return None
    if second < stop and source[second] == c" ":
        rest = second + 1
        end = end_of_value(source, rest, stop, &is_all_ascii)
    if not is_crlf(source, end, stop):
        return None
    cdef list pairs = []
    cdef dict index = {}
    cdef Py_ssize_t after = read_fields(source, end + 2, stop, most_fields, pairs, index)
    if after < 0:
        return None
    return (
        ascii_text(source, 0, first),
        ascii_text(source, first + 1, second),
        latin_1(source, rest, end, is_all_ascii),
        pairs,
        index if len(index) == len(pairs) else None,
        after,
    )
