"""This package, twice in one process: as it is installed, and the same sources without the extension modules.

The second one is a copy of the ``.py`` files under another name, which works because the package imports its own
modules only relatively. If nothing was compiled, only the copy is measured.
"""

from __future__ import annotations

import atexit
import importlib
import importlib.util
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from .libraries import LIMIT, Answer, Library, Role, UnsupportedError
from .payloads import Deflate, Messages, Stream

COMPILED = "rfc6455 compiled"
PURE = "rfc6455 pure"

PACKAGE = "rfc6455"
PURE_PACKAGE = "rfc6455_pure"


class Ours(Library):
    """
    :param package: the package, imported under whatever name.
    """

    def __init__(self, name: str, package: Any) -> None:
        self.name = name
        self.package = package
        self.version = f"{package.__version__}, {'Cython' if package.__compiled__ else 'Python'}"
        self.limits = package.Limits(message=LIMIT)

    def connect(self, role: Role, deflate: Deflate | None = None) -> Any:
        extensions = [self._codec(role, deflate)] if deflate else []
        return self.package.Connection(self.package.Role[role.name], extensions, limits=self.limits)

    def _codec(self, role: Role, deflate: Deflate) -> Any:
        fresh = not deflate.takeover
        extension = self.package.PerMessageDeflate(
            server_no_context_takeover=fresh, client_no_context_takeover=fresh, level=-1, mem_level=8, threshold=0
        )
        agreed = [("server_no_context_takeover", None), ("client_no_context_takeover", None)] if fresh else []
        return extension.accept_offer(agreed) if role is Role.SERVER else extension.accept_answer(agreed)

    def receive(self, connection: Any, stream: Stream) -> Iterator[Sequence[Any]]:
        receive_data = connection.receive_data
        for data in stream.reads:
            yield receive_data(data)
            while connection.unread:
                yield receive_data(None)

    def receive_at_endpoint(self, connection: Any, stream: Stream) -> Iterator[Sequence[Any]]:
        events = self.package.Endpoint(connection, now=0.0).events
        for data in stream.reads:
            yield [*events(data, now=1.0)]

    def content(self, message: Any) -> str | bytes:
        content: str | bytes = message.text if isinstance(message, self.package.TextMessage) else message.data
        return content

    def send(self, connection: Any, messages: Messages) -> Iterator[Any]:
        send = connection.send_text if isinstance(messages[0], str) else connection.send_bytes
        data_to_send = connection.data_to_send
        for message in messages:
            send(message)
            yield data_to_send()

    def accept(self, request: bytes) -> bytes:
        handshake = self.package.ServerHandshake()
        handshake.receive_data(request)
        return bytes(handshake.accept().data_to_send())

    def open(self, uri: str, answer: Answer) -> None:
        handshake = self.package.ClientHandshake(uri)
        connection = handshake.receive_data(answer(handshake.data_to_send()))
        assert connection is not None


def compiled() -> Ours:
    package = importlib.import_module(PACKAGE)
    if not package.__compiled__:
        raise UnsupportedError("not built: see docs, or `pip install .` where a C compiler is")
    return Ours(COMPILED, package)


def pure() -> Ours:
    if PURE_PACKAGE not in sys.modules:
        _copy_sources()
    return Ours(PURE, importlib.import_module(PURE_PACKAGE))


def _copy_sources() -> None:
    """Copy the ``.py`` files of the package, so that they can be imported under the other name."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise UnsupportedError("the package is not there")
    source = Path(spec.submodule_search_locations[0])
    directory = tempfile.mkdtemp(prefix="rfc6455-benchmark-")
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    for module in source.rglob("*.py"):
        target = Path(directory, PURE_PACKAGE, module.relative_to(source))
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(module, target)
    sys.path.append(directory)
