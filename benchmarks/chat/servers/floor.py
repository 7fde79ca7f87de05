"""The floor: the minimum that a chat with a thread for each client does. Usage: python floor.py PORT

There is no library, no check, no log, and the same answer for all. What is left is the cost of threads in Python. It
serves only the case `crowd`, where each request arrives with one read, and frames have less than 126 bytes. Threads
are started in the cheapest way, and tuned like those of the real chat (`examples/chat/service/tuning.py`).
"""

from __future__ import annotations

import _thread
import contextlib
import socket
import sys
import threading

READ = 4096
# The answer to the key of 1.3, which all clients use here.
ANSWER = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)
TEXT, CLOSE = 0x81, 0x88

clients: set[socket.socket] = set()


def live(client: socket.socket) -> None:
    with client, contextlib.suppress(OSError):
        if client.recv(READ):
            client.sendall(ANSWER)
            clients.add(client)
            converse(client)
    clients.discard(client)


def converse(client: socket.socket) -> None:
    data = b""
    while received := client.recv(READ):
        data += received
        while len(data) > 1 and len(data) >= (end := 6 + (data[1] & 0x7F)):
            first, payload, data = data[0], unmasked(data[2:end]), data[end:]
            if first == CLOSE:
                return
            tell(client, bytes([TEXT, len(payload)]) + payload)


def unmasked(masked: bytes) -> bytes:
    return bytes(byte ^ masked[at % 4] for at, byte in enumerate(masked[4:]))


def tell(client: socket.socket, frame: bytes) -> None:
    for other in list(clients):
        if other is not client:
            with contextlib.suppress(OSError):
                other.sendall(frame)


threading.stack_size(512 << 10)
sys.setswitchinterval(0.05)
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=1024)
listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # inherited by what it accepts
while True:
    _thread.start_new_thread(live, (listener.accept()[0],))
