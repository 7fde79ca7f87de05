"""A recording as a capture file (pcapng), as if each read and each write had been captured on an Ethernet.

The content of TCP and its times were recorded; the layers below are made up, and a comment in the file says so.
Sequence numbers and checksums are correct, so that tools recognize a connection.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from ..codes import Role
from ..http1_heads import serialize_request, serialize_response
from .heads import MADE_UP_REQUEST, made_up_response
from .recording import LAST_SECOND, Kind, Recording
from .replaying import find

# IP addresses for documentation (RFC 5737), a port for HTTP and one for clients (RFC 6335), and Ethernet addresses
# that belong to nobody.
_IP_ADDRESSES = {Role.CLIENT: bytes((192, 0, 2, 1)), Role.SERVER: bytes((192, 0, 2, 2))}
_PORTS = {Role.CLIENT: 49152, Role.SERVER: 80}
_ETHERNET_ADDRESSES = {Role.CLIENT: bytes.fromhex("020000000001"), Role.SERVER: bytes.fromhex("020000000002")}

_MADE_UP = "The content of TCP and its times were recorded by rfc6455.trace; Ethernet, IP and TCP are made up."
_MADE_UP_HEAD = "This was not recorded. It stands in for the handshake, so that the frames after it can be dissected."


def to_pcapng(recording: Recording) -> bytes:
    """Return the recording as a capture file, for Wireshark, tshark and others.

    These show the HTTP upgrade, and then the frames, unmasked and inflated. A violation is shown as a comment on its
    packet. If the handshake was not recorded, one is made up, with a comment that says so. Times are interpreted as
    seconds since 1970.

    :returns: the content of a ``.pcapng`` file.

    >>> from rfc6455 import CLIENT
    >>> from rfc6455.trace import Entry, Kind
    >>> to_pcapng(Recording(CLIENT, [Entry(0.0, Kind.OPENED)]))[:4].hex()
    '0a0d0d0a'
    """
    start = recording.entries[0].time if recording.entries else 0.0
    stream = _TcpStream(start)
    for sender, head in _made_up_heads(recording):
        stream.send(sender, head, start, _MADE_UP_HEAD)
    comments = _comments(recording)
    for index, (time, kind, data) in enumerate(recording.entries):
        if kind in (Kind.RECEIVED, Kind.SENT):
            sender = recording.role if kind is Kind.SENT else recording.role.peer
            if data:
                stream.send(sender, data, time, comments.get(index, ""))
            else:
                stream.end(sender, time)
    return _file_head() + b"".join(stream.packets)


def _comments(recording: Recording) -> dict[int, str]:
    violations = [find(recording, kind).violation for kind in (Kind.RECEIVED, Kind.SENT)]
    return {violation[0]: str(violation[1]) for violation in violations if violation is not None}


def _made_up_heads(recording: Recording) -> Iterator[tuple[Role, bytes]]:
    if recording.is_open:
        recorded = {recording.role: recording.sent_head, recording.role.peer: recording.received_head}
        if not recorded[Role.CLIENT]:
            yield Role.CLIENT, serialize_request(MADE_UP_REQUEST)
        if not recorded[Role.SERVER]:
            yield Role.SERVER, serialize_response(made_up_response(recording))


# ---- TCP, IP, Ethernet ----

_FIN, _SYN, _PSH, _ACK = 0x01, 0x02, 0x08, 0x10
# The data that fits into an Ethernet frame of 1500 bytes, after the headers of IP and TCP.
_SEGMENT = 1460
# RFC 9293, 3.2: the maximum segment size. RFC 7323, 2: the largest window, 65535 << 14 bytes, so that no
# acknowledgments are needed between the segments.
_WINDOW = 0xFFFF
_OPTIONS_OF_SYN = struct.pack("!BBHBBBB", 2, 4, _SEGMENT, 1, 3, 3, 14)


class _TcpStream:
    """The packets of a TCP connection (RFC 9293), beginning with its handshake."""

    def __init__(self, start: float) -> None:
        self.packets: list[bytes] = []
        # The sequence number of the next byte. The opening and the end of a direction count as one byte each.
        self._next = dict.fromkeys(Role, 0)
        self._ended: set[Role] = set()
        self._packet(Role.CLIENT, _SYN, start)
        self._next[Role.CLIENT] += 1
        self._packet(Role.SERVER, _SYN | _ACK, start)
        self._next[Role.SERVER] += 1
        self._packet(Role.CLIENT, _ACK, start)

    def send(self, sender: Role, data: bytes, time: float, comment: str) -> None:
        """Add data. The comment is attached to its first packet."""
        for at in range(0, len(data), _SEGMENT):
            segment = data[at : at + _SEGMENT]
            self._packet(sender, _PSH | _ACK, time, segment, "" if at else comment)
            self._next[sender] += len(segment)

    def end(self, sender: Role, time: float) -> None:
        """End one direction, if it has not ended yet."""
        if sender not in self._ended:
            self._ended.add(sender)
            self._packet(sender, _FIN | _ACK, time)
            self._next[sender] += 1
            self._packet(sender.peer, _ACK, time)

    def _packet(self, sender: Role, flags: int, time: float, data: bytes = b"", comment: str = "") -> None:
        acknowledged = self._next[sender.peer] if flags & _ACK else 0
        segment = _tcp(sender, self._next[sender], acknowledged, flags, data)
        packet = _ip(sender, len(self.packets), segment)
        # 0x0800: IP version 4.
        frame = _ETHERNET_ADDRESSES[sender.peer] + _ETHERNET_ADDRESSES[sender] + b"\x08\x00" + packet
        self.packets.append(_packet_block(frame, time, comment))


def _tcp(sender: Role, number: int, acknowledged: int, flags: int, data: bytes) -> bytes:
    """Return a TCP segment (RFC 9293, 3.1)."""
    options = _OPTIONS_OF_SYN if flags & _SYN else b""
    words = 5 + len(options) // 4
    header = struct.pack(
        "!HHIIBBHHH",
        _PORTS[sender],
        _PORTS[sender.peer],
        number & 0xFFFFFFFF,
        acknowledged & 0xFFFFFFFF,
        words << 4,
        flags,
        _WINDOW,
        0,
        0,
    )
    segment = header + options + data
    pseudo_header = _IP_ADDRESSES[sender] + _IP_ADDRESSES[sender.peer] + struct.pack("!HH", 6, len(segment))
    return segment[:16] + _checksum(pseudo_header + segment) + segment[18:]


def _ip(sender: Role, number: int, segment: bytes) -> bytes:
    """Return an IP packet (RFC 791, 3.1): version 4, a header of five words, not to be fragmented, 64 hops, protocol 6
    (TCP)."""
    fields = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(segment), number & 0xFFFF, 0x4000, 64, 6, 0)
    header = fields + _IP_ADDRESSES[sender] + _IP_ADDRESSES[sender.peer]
    return header[:10] + _checksum(header) + header[12:] + segment


def _checksum(data: bytes) -> bytes:
    """Return the checksum of RFC 1071: the complement of the sum of the 16-bit words, with end-around carry.

    This sum is the number formed by all the words, modulo 65535, except that 0 becomes 65535, as the words are not all
    0.
    """
    total = int.from_bytes(data + bytes(len(data) % 2), "big") % 0xFFFF or 0xFFFF
    return (total ^ 0xFFFF).to_bytes(2, "big")


# ---- The blocks of the file (draft-ietf-opsawg-pcapng), little-endian ----

_SECTION, _INTERFACE, _PACKET = 0x0A0D0D0A, 1, 6
_BYTE_ORDER = 0x1A2B3C4D
_LENGTH_NOT_SAID = -1
_ETHERNET = 1
_COMMENT = 1
_END_OF_OPTIONS = bytes(4)


def _file_head() -> bytes:
    section = struct.pack("<IHHq", _BYTE_ORDER, 1, 0, _LENGTH_NOT_SAID)
    interface = struct.pack("<HHI", _ETHERNET, 0, 0)
    return _block(_SECTION, section, _MADE_UP) + _block(_INTERFACE, interface)


def _packet_block(frame: bytes, time: float, comment: str) -> bytes:
    microseconds = round(min(max(time, 0.0), LAST_SECOND) * 1_000_000)
    high, low = divmod(microseconds, 1 << 32)
    return _block(_PACKET, struct.pack("<IIIII", 0, high, low, len(frame), len(frame)) + _padded(frame), comment)


def _block(kind: int, body: bytes, comment: str = "") -> bytes:
    if comment:
        text = comment.encode()
        body += struct.pack("<HH", _COMMENT, len(text)) + _padded(text) + _END_OF_OPTIONS
    length = struct.pack("<I", 12 + len(body))
    return struct.pack("<I", kind) + length + body + length


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
