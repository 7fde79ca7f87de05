"""Loops over bytes, in two versions: here in Python that anybody can read, and compiled in ``_byte_loops.pyx``.

What lives here: masking (5.3), the bytes of a frame (5.2), the memory in which a message is joined, the check that a
text is UTF-8 as it arrives (8.1), memory that is lent to read into, and the field lines of a good head (RFC 9112 5).
This is the only place that chooses between two implementations. Both have the same effects, results and errors, and
the tests run on both; everything else in the package has one implementation.

Not here: which bytes may follow which; see `cursor.py`, `messages.py` and `http1_heads.py`.
"""

from __future__ import annotations

import codecs
import re
import sys

from .arguments import as_bytes
from .codes import MASK_BIT

# Up to about this size, one XOR of two long integers is faster than four passes of bytes.translate() (CPython 3.11).
LONGEST_INTEGER = 700

# Longer payloads are masked in blocks that stay in the processor's cache over the four passes.
BLOCK = 32 << 10

# The number of bytes that are decoded at once in a text that is not all ASCII: large compared to the 74 bytes of the
# header of a str.
TEXT_BLOCK = 4 << 10

# A single character beyond U+00FF makes every character of a str take 2 bytes, and one beyond U+FFFF, 4. A text that
# is ASCII except for a few of these is kept as bytes, which take less memory, and decoded at the end.
WIDE = 1.9

# One table for each value of a key byte, for bytes.translate().
_TABLES = tuple([bytes([value ^ key_byte for value in range(256)]) for key_byte in range(256)])

# What `bytearray.__alloc__` counts besides the content: the zero byte after it and, since Python 3.15, the header of a
# bytes object.
_BESIDE_CONTENT = bytearray(1).__alloc__() - 1

_from_bytes = int.from_bytes


# Masking (5.3): every fourth byte of a client's payload is XORed with the same byte of a random key.
#
#     j                   = i MOD 4
#     transformed-octet-i = original-octet-i XOR masking-key-octet-j


def apply_mask(data: bytes | bytearray | memoryview, key: bytes | bytearray | memoryview) -> bytes:
    """Mask or unmask a payload (5.3); the two are the same operation.

    :param data: the payload, starting at its first byte.
    :param key: the masking key, 4 bytes.
    :returns: the result, of the same length; ``data`` is not changed.
    :raises TypeError: when either of them is not bytes.
    :raises ValueError: when the key is not 4 bytes long.

    >>> key = bytes.fromhex("37 fa 21 3d")
    >>> rfc6455.apply_mask(b"Hello", key).hex(" ")
    '7f 9f 4d 51 58'
    >>> rfc6455.apply_mask(rfc6455.apply_mask(b"Hello", key), key)
    b'Hello'
    """
    payload, key = as_bytes(data), as_bytes(key, "a masking key")
    return mask_slice(payload, 0, len(payload), key, 0)


def mask_slice(data: bytes, start: int, stop: int, key: bytes, turn: int) -> bytes:
    """Return ``data[start:stop]`` masked (5.3); ``key[turn]`` belongs to ``data[start]``."""
    length = stop - start
    if not 0 <= start <= stop <= len(data) or not 0 <= turn < 4:
        raise ValueError("no such slice, or no such byte of the key")
    if len(key) != 4:
        raise ValueError(f"a masking key has 4 bytes, not {len(key)} (5.3)")
    if turn:
        key = key[turn:] + key[:turn]
    if length > LONGEST_INTEGER:
        return b"".join([_mask_block(data[at : min(at + BLOCK, stop)], key) for at in range(start, stop, BLOCK)])
    repeated_key = (key * (length // 4 + 1))[:length]
    masked = _from_bytes(data[start:stop], "little") ^ _from_bytes(repeated_key, "little")
    return masked.to_bytes(length, "little")


def _mask_block(data: bytes, key: bytes) -> bytearray:
    """Mask the bytes 0, 4, 8, ... with one translation, then 1, 5, 9, ..., and so on."""
    masked = bytearray(data)
    for lane in range(4):
        masked[lane::4] = masked[lane::4].translate(_TABLES[key[lane]])
    return masked


# Frames (5.2).


def take_payload(data: bytes, start: int, stop: int, masked: int) -> bytes:
    """Return the payload at ``data[start:stop]``, whose key, if it is masked, is the four bytes before it."""
    return mask_slice(data, start, stop, data[start - 4 : start], 0) if masked else data[start:stop]


def pack_header(first: int, length: int, masking_key: bytes | None) -> bytes:
    """Return the header of a frame whose first byte (FIN, RSV, opcode) is ``first``, with its key if it has one.

    This is for payloads that are sent without a copy; `pack_frame` is for all others.
    """
    mask_bit = 0 if masking_key is None else MASK_BIT
    if masking_key is not None and len(masking_key) != 4:
        raise ValueError(f"a masking key has 4 bytes, not {len(masking_key)} (5.3)")
    # 5.2: "the minimal number of bytes MUST be used to encode the length".
    if length <= 125:
        header = (first << 8 | mask_bit | length).to_bytes(2, "big")
    elif length <= 0xFFFF:
        header = (first << 24 | (mask_bit | 126) << 16 | length).to_bytes(4, "big")
    else:
        header = (first << 8 | mask_bit | 127).to_bytes(2, "big") + length.to_bytes(8, "big")
    return header if masking_key is None else header + masking_key


def pack_frame(first: int, payload: bytes, keys: bytes | None, at: int) -> bytes:
    """Return the bytes of a frame whose first byte (FIN, RSV, opcode) is ``first``.

    :param keys: ``None`` for a frame without a mask; otherwise the masking key is ``keys[at:at + 4]``.
    """
    length = len(payload)
    if keys is None:
        return pack_header(first, length, None) + payload
    key = keys[at : at + 4]
    return pack_header(first, length, key) + mask_slice(payload, 0, length, key, 0)


def pack_text(first: int, text: str, keys: bytes | None, at: int) -> bytes:
    """Return the same as `pack_frame` for the UTF-8 of a text, without making a bytes object of it first.

    :raises UnicodeEncodeError: when it has a lone surrogate.
    """
    return pack_frame(first, text.encode(), keys, at)


# Text (8.1).


def decode_beginning(data: bytes) -> tuple[str, int]:
    """Decode the beginning of a text, and return it with the number of bytes used. An incomplete last character is
    left over.

    :raises UnicodeDecodeError: at the first byte that cannot occur there.
    """
    text, used = codecs.utf_8_decode(data, "strict", False)
    # Python waits for the third byte of a surrogate, since an error handler might accept it.
    if data[used : used + 1] == b"\xed" and data[used + 1 : used + 2] > b"\x9f":
        raise UnicodeDecodeError("utf-8", data, used, used + 1, "invalid continuation byte")
    return text, used


# Memory.


class Loan:
    """Memory that is lent to a caller for one read.

    A view of it may outlive the loan: what is written through it then does not change what was taken. The initial
    content is undefined.
    """

    def __init__(self, size: int) -> None:
        self._memory = bytearray(size)

    def view(self) -> memoryview:
        """Return the memory, for writing."""
        return memoryview(self._memory)

    def take(self, size: int) -> bytes:
        """Return the first ``size`` bytes and end the loan. This needs no copy if all views have been released."""
        if not 0 <= size <= len(self._memory):
            raise ValueError(f"{len(self._memory)} bytes were lent, not {size}")
        return bytes(memoryview(self._memory)[:size])


class PayloadBuffer:
    """A buffer that joins the payloads of one message at a time: the common base of `BytesBuffer` and `TextBuffer`."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._key = b""

    def __len__(self) -> int:
        return len(self._data)

    def append(self, payload: bytes) -> None:
        """Append a payload."""
        self._data += payload

    def append_slice(self, data: bytes, start: int, stop: int, key: bytes, turn: int, more: int) -> None:
        """Append ``data[start:stop]``; unless ``key`` is empty, ``key[turn]`` masks the first of these bytes.

        :param more: the number of bytes announced to follow, for which space may be reserved.
        """
        self._data += mask_slice(data, start, stop, key, turn) if key else data[start:stop]
        self._key = key

    def append_simply(self, data: bytes, turn: int) -> bool:
        """Append more of the payload that `append_slice` began, masked with the same key, if that is all that has to
        be done: there is room for it, and it needs no check that could fail. Return whether it was appended."""
        if len(self._data) + len(data) + _BESIDE_CONTENT > self._data.__alloc__():
            return False
        self.append_slice(data, 0, len(data), self._key, turn, 0)
        return True

    def lend(self, size: int, more: int) -> Loan:
        """Lend space for ``size`` more bytes; ``more`` are announced to follow, as in `append_slice`. Any operation on
        the buffer other than `append_loan` ends the loan."""
        return Loan(size)

    def append_loan(self, loan: Loan, size: int, turn: int) -> None:
        """Append the first ``size`` bytes of what was lent, masked as in `append_simply`, and end the loan."""
        self.append_slice(loan.take(size), 0, size, self._key, turn, 0)

    def allocated(self) -> int:
        """Return the memory that the content takes, in bytes."""
        return max(0, self._data.__alloc__() - _BESIDE_CONTENT)


class BytesBuffer(PayloadBuffer):
    """A buffer that joins the payloads of a binary message."""

    def take_bytes(self) -> bytes:
        """Return the content and empty the buffer."""
        data, self._data = self._data, bytearray()
        return bytes(data)


class TextBuffer(PayloadBuffer):
    """A buffer that joins the payloads of a text message, and can check that they are the beginning of valid UTF-8.

    Decoding is the check: here with Python's decoder, in the compiled version with one that appends to a single str.
    A large piece is kept as decoded, so that nothing large is decoded twice; ASCII and small pieces stay bytes until
    there are enough of them.
    """

    def __init__(self) -> None:
        super().__init__()
        self._clear()

    def _clear(self) -> None:
        self._data = bytearray()
        # The number of bytes that are known to be whole characters.
        self._checked = 0
        # Whether a str would take about twice as much memory as the bytes, or more.
        self._is_wide = False
        # The earlier text, which has been decoded; the number of bytes that it had, and the number that it takes now.
        self._blocks: list[str] = []
        self._size_of_blocks = 0
        self._memory_of_blocks = 0

    def __len__(self) -> int:
        return self._size_of_blocks + len(self._data)

    def append_simply(self, data: bytes, turn: int) -> bool:
        size = len(self._data)
        if self._is_wide or self._checked < size or not super().append_simply(data, turn):
            return False
        if not self._data[size:].isascii():
            del self._data[size:]
            return False
        self._checked += len(data)
        return True

    def check_text(self) -> None:
        """Check what has not been checked before; the last character may be incomplete.

        :raises UnicodeDecodeError: at the first byte that cannot occur there (8.1).
        """
        unchecked = bytes(memoryview(self._data)[self._checked :])
        if unchecked.isascii():
            self._checked += len(unchecked)
        elif len(self._data) < TEXT_BLOCK or self._is_wide:
            self._checked += decode_beginning(unchecked)[1]
        else:
            self._decode_block()

    def _decode_block(self) -> None:
        text, used = decode_beginning(bytes(self._data))
        memory = sys.getsizeof(text)
        if memory > used * WIDE:
            self._is_wide = True
            self._checked = used
            return
        self._blocks.append(text)
        self._size_of_blocks += used
        self._memory_of_blocks += memory + 8
        del self._data[:used]
        self._checked = 0

    def take_text(self) -> str:
        """Return the content as a str and empty the buffer.

        :raises UnicodeDecodeError: when it is not UTF-8.
        """
        data, blocks = self._data, self._blocks
        self._clear()
        last = data.decode()
        return "".join([*blocks, last]) if blocks else last

    def allocated(self) -> int:
        return super().allocated() + self._memory_of_blocks


# Heads (RFC 9112).

# RFC 9110, 5.6.2. token = 1*tchar
TCHAR = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]"
# RFC 9110, 5.5. field-vchar = VCHAR / obs-text, and inside a value SP and HTAB.
FIELD_OCTETS = r"[\t\x20-\x7e\x80-\xff]*"

# RFC 9112, 3 and 4: a request-line or a status-line consists of two words and a rest, which a status-line may lack.
_START_LINE = re.compile(rf"([\x21-\x7e]+) ([\x21-\x7e]+)(?: ({FIELD_OCTETS}))?\r\n")
# RFC 9112, 5. field-line = field-name ":" OWS field-value OWS. The pattern is only for lines made of the octets of
# values and CRLFs, where each match is a whole line. On other input, a CR without its LF would make it try all ways to
# divide spaces between its three repetitions of them.
_FIELD_LINE = re.compile(rf"(?<=\n)({TCHAR}+):[ \t]*([^\r]*[^ \t\r]|)[ \t]*\r\n")
_VALUE_OCTETS = bytes(octet for octet in range(256) if re.fullmatch(FIELD_OCTETS, chr(octet)))

# The two words and the rest of the first line; the fields as pairs, and (unless a name is repeated) their values by
# their names in lower case; the position at which the head ends.
Head = tuple[str, str, str, list[tuple[str, str]], "dict[str, tuple[str, ...]] | None", int]


def read_head(data: bytes, stop: int, most: int) -> Head | None:
    """Parse an HTTP/1.1 head that is complete in ``data[:stop]``.

    The result is ``None`` if there is anything wrong with it: a line does not match the grammar above, there are more
    than ``most`` fields, or the empty line is missing.
    """
    if not 0 <= stop <= len(data):
        raise ValueError("no such slice")
    end = data.find(b"\r\n\r\n", 0, stop) + 4
    octets = data[:end]
    count = octets.count(b"\r\n") - 2  # without the first line and the empty one
    if end < 4 or count > most or octets.translate(None, _VALUE_OCTETS) != b"\r\n" * (count + 2):
        return None
    text = octets.decode("latin-1")
    first = _START_LINE.match(text)
    pairs: list[tuple[str, str]] = _FIELD_LINE.findall(text, first.end()) if first else []
    if first is None or len(pairs) != count:
        return None
    index: dict[str, tuple[str, ...]] = {name.lower(): (value,) for name, value in pairs}
    return first[1], first[2], first[3] or "", pairs, index if len(index) == count else None, end


try:
    from ._byte_loops import (  # type: ignore[import-not-found, no-redef, unused-ignore]  # noqa: F401
        BytesBuffer,
        Loan,
        PayloadBuffer,
        TextBuffer,
        mask_slice,
        pack_frame,
        pack_header,
        pack_text,
        read_head,
        take_payload,
    )
except ModuleNotFoundError as _error:
    # There is no compiled version. If there is one that cannot be imported, that is an error, which must not be hidden
    # by using the slower code.
    if _error.name != f"{__package__}._byte_loops":
        raise
