"""TLS without a socket: bytes in, bytes out, as in the library itself.

`ssl.SSLSocket` cannot be read by one thread and written by another; an `ssl.SSLObject` under the session's lock can.
"""

from __future__ import annotations

import ssl

_PIECE = 64 << 10


def server_context(cert: str, key: str | None) -> ssl.SSLContext:
    """Return the TLS context that all connections share.

    :param cert: the PEM file with the certificate chain.
    :param key: the file with its private key; ``None`` if ``cert`` contains it.
    :raises OSError: if one of them cannot be read, or they do not match (`ssl.SSLError`).
    :raises ValueError: if the key has a passphrase. OpenSSL would ask for it at the terminal, and the server would
        stop meanwhile if this happened at SIGHUP.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    context.load_cert_chain(cert, key, _no_passphrase)
    return context


def _no_passphrase() -> str:
    raise ValueError("the private key has a passphrase; the chat needs one without")


class TLS:
    """The server's end of one TLS connection. It takes no locks."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._object = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._is_open = False

    def receive_data(self, data: bytes) -> bytes:
        """Process bytes from the client, and return the decrypted data, which may be empty.

        :param data: ``b""`` is the end of file.
        :raises ssl.SSLError: when the client breaks TLS, or does not speak it.
        """
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()
        decrypted = []
        try:
            if not self._is_open:
                self._object.do_handshake()
                self._is_open = True
            while piece := self._object.read(_PIECE):
                decrypted.append(piece)
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self._incoming.write_eof()
        except ssl.SSLEOFError:
            pass
        return b"".join(decrypted)

    @property
    def is_at_end(self) -> bool:
        """Whether the client has ended its side of TLS."""
        return self._incoming.eof

    def encrypt(self, data: bytes) -> bytes:
        """Encrypt ``data``. Return nothing if the connection is not open, or broken."""
        try:
            if self._is_open:
                self._object.write(data)
        except ssl.SSLError:
            pass
        return self._outgoing.read()

    def close(self) -> bytes:
        """Return the bytes that end this side of TLS."""
        try:
            if self._is_open:
                self._object.unwrap()
        except ssl.SSLError:
            pass  # OpenSSL wants to wait for the client's answer, which does not matter here
        self._is_open = False
        return self._outgoing.read()

    def data_to_send(self) -> bytes:
        """Return the bytes that TLS itself has to send."""
        return self._outgoing.read()
