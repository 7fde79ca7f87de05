"""The other libraries, each behind the interface of `libraries.py`.

The imports are inside the classes, so that the others can be measured if a library is not installed.
"""

from __future__ import annotations

import asyncio
import logging
import types
from collections.abc import Generator, Iterator, Sequence
from importlib.metadata import version
from typing import Any

from .libraries import LIMIT, Answer, Library, Role, UnsupportedError
from .payloads import KIB, REQUEST, URI, Deflate, Messages, Stream, answer_to

DEFLATE_OFFER = "permessage-deflate; client_max_window_bits"
NO_TAKEOVER = "; server_no_context_takeover; client_no_context_takeover"


def is_text(messages: Messages) -> bool:
    return isinstance(messages[0], str)


class Wsproto(Library):
    name = "wsproto"

    def __init__(self) -> None:
        import wsproto.connection
        import wsproto.extensions

        self.wsproto: Any = wsproto
        self.version = version("wsproto")

    def connect(self, role: Role, deflate: Deflate | None = None) -> Any:
        kind = self.wsproto.connection.ConnectionType[role.name]
        return self.wsproto.connection.Connection(kind, [self._extension(deflate)] if deflate else [])

    def _extension(self, deflate: Deflate) -> Any:
        extension = self.wsproto.extensions.PerMessageDeflate()
        extension.accept(DEFLATE_OFFER if deflate.takeover else DEFLATE_OFFER + NO_TAKEOVER)
        return extension

    def receive(self, connection: Any, stream: Stream) -> Iterator[Sequence[Any]]:
        receive_data, events = connection.receive_data, connection.events
        empty: Any = "" if is_text(stream.messages) else b""
        parts: list[Any] = []
        for data in stream.reads:
            receive_data(data)
            messages = []
            for event in events():
                if not event.message_finished:
                    parts.append(event.data)
                elif parts:
                    parts.append(event.data)
                    messages.append(empty.join(parts))
                    parts = []
                else:
                    messages.append(event.data)
            yield messages

    def send(self, connection: Any, messages: Messages) -> Iterator[Any]:
        send = connection.send
        event = self.wsproto.events.TextMessage if is_text(messages) else self.wsproto.events.BytesMessage
        for message in messages:
            yield send(event(data=message))

    def accept(self, request: bytes) -> bytes:
        connection = self.wsproto.WSConnection(self.wsproto.ConnectionType.SERVER)
        connection.receive_data(request)
        for event in connection.events():
            if isinstance(event, self.wsproto.events.Request):
                return bytes(connection.send(self.wsproto.events.AcceptConnection()))
        raise AssertionError("no request")

    def open(self, uri: str, answer: Answer) -> None:
        host, _, target = uri.removeprefix("ws://").partition("/")
        connection = self.wsproto.WSConnection(self.wsproto.ConnectionType.CLIENT)
        request = connection.send(self.wsproto.events.Request(host=host, target="/" + target))
        connection.receive_data(answer(request))
        for event in connection.events():
            assert isinstance(event, self.wsproto.events.AcceptConnection), event
            return
        raise AssertionError("no answer")


class Websockets(Library):
    """The sans-I/O layer. It returns frames and leaves joining and decoding to the layers above, so they are done
    here."""

    name = "websockets"

    def __init__(self) -> None:
        import websockets.client
        import websockets.extensions.permessage_deflate
        import websockets.frames
        import websockets.server

        self.websockets: Any = websockets
        compiled = self.websockets.frames.apply_mask.__module__.endswith("speedups")
        self.version = f"{version('websockets')}, mask in {'C' if compiled else 'Python'}"
        self.uri = self.websockets.uri.parse_uri(URI)

    def connect(self, role: Role, deflate: Deflate | None = None) -> Any:
        state = self.websockets.protocol.State.OPEN
        protocol: Any
        if role is Role.SERVER:
            protocol = self.websockets.server.ServerProtocol(state=state, max_size=LIMIT)
        else:
            protocol = self.websockets.client.ClientProtocol(self.uri, state=state, max_size=LIMIT)
        if deflate:
            fresh = not deflate.takeover
            extension = self.websockets.extensions.permessage_deflate.PerMessageDeflate(fresh, fresh, 15, 15)
            protocol.extensions = [extension]
        return protocol

    def receive(self, connection: Any, stream: Stream) -> Iterator[Sequence[Any]]:
        receive_data, events_received = connection.receive_data, connection.events_received
        cont, text = self.websockets.frames.Opcode.CONT, self.websockets.frames.Opcode.TEXT
        parts: list[bytes] = []
        opcode = text
        for data in stream.reads:
            receive_data(data)
            messages: list[Any] = []
            for frame in events_received():
                if frame.opcode is not cont:
                    opcode = frame.opcode
                payload = frame.data
                if parts or not frame.fin:
                    parts.append(payload)
                    if not frame.fin:
                        continue
                    payload = b"".join(parts)
                    parts = []
                messages.append(str(payload, "utf-8") if opcode is text else payload)
            yield messages

    def send(self, connection: Any, messages: Messages) -> Iterator[Any]:
        data_to_send = connection.data_to_send
        if is_text(messages):
            send_text = connection.send_text
            for message in messages:
                send_text(message.encode())  # type: ignore[union-attr]
                yield data_to_send()
        else:
            send_binary = connection.send_binary
            for message in messages:
                send_binary(message)
                yield data_to_send()

    def accept(self, request: bytes) -> bytes:
        protocol = self.websockets.server.ServerProtocol()
        protocol.receive_data(request)
        (received,) = protocol.events_received()
        protocol.send_response(protocol.accept(received))
        return b"".join(protocol.data_to_send())

    def open(self, uri: str, answer: Answer) -> None:
        protocol = self.websockets.client.ClientProtocol(self.websockets.uri.parse_uri(uri))
        protocol.send_request(protocol.connect())
        protocol.receive_data(answer(b"".join(protocol.data_to_send())))
        assert protocol.state is self.websockets.protocol.State.OPEN, protocol.handshake_exc


class Transport:
    """A list to which picows and aiohttp write, instead of a socket.

    It claims to be encrypted, so that picows passes the bytes to it instead of calling send(2) itself.
    """

    def __init__(self) -> None:
        self.written: list[Any] = []
        self.write = self.written.append
        self.writelines = self.written.extend

    def get_extra_info(self, name: str) -> Any:
        return {"socket": NoSocket(), "ssl_object": True}.get(name)

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return False


class NoSocket:
    def fileno(self) -> int:
        return -1

    def setsockopt(self, *_: int) -> None:
        pass

    def getsockopt(self, *_: int) -> int:
        return 0


class Aiohttp(Library):
    """The reader and the writer that both its server and its client use.

    The messages are taken directly from the reader's queue, which is faster than its coroutine ``read()``.
    """

    name = "aiohttp"

    def __init__(self) -> None:
        from aiohttp import WSMsgType, compression_utils
        from aiohttp._websocket import reader, writer

        self.reader, self.writer, self.compression = reader, writer, compression_utils
        self.text, self.binary = WSMsgType.TEXT, WSMsgType.BINARY
        compiled = reader.WebSocketReader.__module__.endswith("_c")
        self.version = f"{version('aiohttp')}, reader in {'Cython' if compiled else 'Python'}"

    def connect(self, role: Role, deflate: Deflate | None = None) -> Any:
        return AiohttpConnection(self, role, deflate)

    def receive(self, connection: Any, stream: Stream) -> Iterator[Sequence[Any]]:
        feed_data = connection.reader.feed_data
        queue = connection.queue._buffer
        for data in stream.reads:
            feed_data(data)
            messages = list(queue)
            queue.clear()
            yield messages

    def content(self, message: Any) -> str | bytes:
        data: str | bytes = message[0].data
        return data

    def send(self, connection: Any, messages: Messages) -> Iterator[Any]:
        payloads = encoded(messages) if is_text(messages) else messages
        send = connection.send_deflated if connection.deflate else connection.writer.send_frame
        opcode = self.text if is_text(messages) else self.binary
        return one_by_one(send, payloads, opcode, connection.transport.written)


def encoded(messages: Messages) -> Iterator[bytes]:
    return (message.encode() for message in messages)  # type: ignore[union-attr]


@types.coroutine
def hand_over(output: Any) -> Generator[Any, None, None]:
    yield output


def one_by_one(send: Any, payloads: Any, opcode: int, written: list[Any]) -> Iterator[Any]:
    """Run a coroutine that sends the payloads, and stop after each of them. None of its sends ever waits."""

    async def send_all() -> None:
        for payload in payloads:
            await send(payload, opcode)
            await hand_over(written)
            written.clear()

    return send_all().__await__()


class AiohttpConnection:
    """Reader, queue and writer. The queue has no limit, as it would otherwise stop the reader."""

    def __init__(self, library: Aiohttp, role: Role, deflate: Deflate | None) -> None:
        loop = asyncio.get_running_loop()
        self.deflate = deflate
        self.transport = Transport()
        self.queue = library.reader.WebSocketDataQueue(Protocol, 1 << 30, loop=loop)
        self.reader = library.reader.WebSocketReader(self.queue, LIMIT, bool(deflate), True)
        self.writer = library.writer.WebSocketWriter(
            Protocol,
            self.transport,
            use_mask=role is Role.CLIENT,
            compress=15 if deflate else 0,
            notakeover=bool(deflate and not deflate.takeover),
        )
        if deflate:  # otherwise, it would compress at level 1, while all the others use zlib's default
            self.writer._compressobj = library.compression.ZLibCompressor(wbits=-15)

    async def send_deflated(self, payload: bytes, opcode: int) -> None:
        """Do what `send_frame` does up to 16 KiB. Beyond that, it would pass the payload to a thread."""
        self.writer._send_compressed_frame_sync(payload, opcode, None)


class Protocol:
    """The answers to what aiohttp's reader and writer ask about flow control: nothing is ever full."""

    _reading_paused = _paused = False


class Picows(Library):
    """The protocol object, which is called here instead of by asyncio.

    It reads into a buffer of its own, so each read is copied into that buffer first, as recv_into() would do. It
    returns frames and leaves joining to the application, so this is done here. It does not deflate.
    """

    name = "picows"

    def __init__(self) -> None:
        from picows import picows

        self.picows: Any = picows
        self.version = version("picows")
        self.logger = logging.getLogger("picows.server")
        self.logger.setLevel(logging.CRITICAL)
        self.listener = listener_class(picows)

    def connect(self, role: Role, deflate: Deflate | None = None) -> Any:
        if deflate:
            raise UnsupportedError("its core does not deflate")
        connection, written = self._start(role)
        feed(connection, REQUEST if role is Role.SERVER else answer_to(written[0]))
        written.clear()
        return connection

    def _start(self, role: Role, uri: str = URI) -> tuple[Any, list[Any]]:
        """Return a connection before its handshake, and the list to which it writes."""
        host, _, target = uri.removeprefix("ws://").partition("/")
        listener = self.listener()
        connection = self.picows.WSProtocol(
            host,
            "/" + target,
            role is Role.CLIENT,
            (lambda *_: listener),
            self.logger,
            disconnect_on_exception=True,
            websocket_handshake_timeout=None,
            enable_auto_ping=False,
            auto_ping_idle_timeout=10,
            auto_ping_reply_timeout=10,
            auto_ping_strategy=self.picows.WSAutoPingStrategy.PING_WHEN_IDLE,
            enable_auto_pong=True,
            max_frame_size=LIMIT,
            extra_headers=None,
            read_buffer_init_size=16 * KIB,  # its default; the buffer grows if reads fill it
        )
        transport = Transport()
        connection.connection_made(transport)
        return connection, transport.written

    def receive(self, connection: Any, stream: Stream) -> Iterator[Sequence[Any]]:
        get_buffer, buffer_updated, listener = connection.get_buffer, connection.buffer_updated, connection.listener
        for data in stream.reads:
            while data:
                buffer = get_buffer(-1)
                part = data[: len(buffer)]
                buffer[: len(part)] = part
                buffer_updated(len(part))
                data = data[len(part) :]
            yield listener.messages
            listener.messages = []

    def send(self, connection: Any, messages: Messages) -> Iterator[Any]:
        transport = connection.transport
        written = transport.underlying_transport.written
        kind = self.picows.WSMsgType.TEXT if is_text(messages) else self.picows.WSMsgType.BINARY
        for message in messages:
            transport.send(kind, message)
            yield written
            written.clear()

    def accept(self, request: bytes) -> bytes:
        connection, written = self._start(Role.SERVER)
        feed(connection, request)
        return bytes(written[0])

    def open(self, uri: str, answer: Answer) -> None:
        connection, written = self._start(Role.CLIENT, uri)
        feed(connection, answer(written[0]))
        assert connection.listener is not None


def feed(connection: Any, data: bytes) -> None:
    connection.get_buffer(-1)[: len(data)] = data
    connection.buffer_updated(len(data))


def listener_class(picows: Any) -> Any:
    """Return a class that does the application's part: it takes the payload out of each frame, and joins fragments."""
    text, continuation = picows.WSMsgType.TEXT, picows.WSMsgType.CONTINUATION

    class Listener(picows.WSListener):  # type: ignore[misc]
        def __init__(self) -> None:
            self.messages: list[Any] = []
            self.parts: list[bytes] = []
            self.is_text = False

        def on_ws_frame(self, _: Any, frame: Any) -> None:
            kind = frame.msg_type
            if kind is not continuation:
                self.is_text = kind is text
                if frame.fin:
                    payload = frame.get_payload_as_utf8_text() if self.is_text else frame.get_payload_as_bytes()
                    self.messages.append(payload)
                    return
            self.parts.append(frame.get_payload_as_bytes())
            if frame.fin:
                payload = b"".join(self.parts)
                self.parts = []
                self.messages.append(payload.decode() if self.is_text else payload)

    return Listener
