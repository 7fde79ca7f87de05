"""Arguments that several examples share: an address to listen on, a URI to connect to, the timeouts."""

from __future__ import annotations

import argparse
import math
from typing import Any

import rfc6455


def add_address(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=port, default=8765, help="0 for any free one")


def add_timeouts(parser: argparse.ArgumentParser) -> None:
    """Add an option for each field of `rfc6455.Timeouts`."""
    for name, default in vars(rfc6455.Timeouts()).items():
        option = f"--{name.replace('_', '-')}"
        parser.add_argument(option, type=seconds, default=default, metavar="SECONDS", help="0 for ever")


def take_timeouts(options: dict[str, Any]) -> rfc6455.Timeouts:
    """Remove the timeouts from the parsed options, and return them."""
    return rfc6455.Timeouts(**{name: options.pop(name) or None for name in vars(rfc6455.Timeouts())})


def websocket_uri(text: str) -> rfc6455.URI:
    """Parse an argument that is a ``ws:`` or ``wss:`` URI."""
    try:
        return rfc6455.parse_uri(text)
    except rfc6455.LocalProtocolError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def port(text: str) -> int:
    """Parse an argument that is a port. Some systems and loops cut off the higher bits of a larger number."""
    value = int(text)
    if not 0 <= value <= 65535:
        raise argparse.ArgumentTypeError(f"a port is 0 to 65535, not {value}")
    return value


def seconds(text: str) -> float:
    """Parse an argument that is a number of seconds, where 0 means for ever."""
    value = float(text)
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds; 0 means for ever")
    return value
