"""`inspect.signature()` returns the same for a class in both builds (a compiled class does not know its own)."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import rfc6455
from rfc6455 import Closed, Connection, MessageCodec, Role

ROOT = Path(rfc6455.__file__).parents[1]

TELL = """
import inspect, json, rfc6455, rfc6455_io.asyncio

def signature(it):
    try:
        return str(inspect.signature(it))
    except (TypeError, ValueError) as error:
        return type(error).__name__

class Derived(rfc6455_io.asyncio.Listener):
    pass

class WithItsOwn(rfc6455_io.asyncio.Listener):
    def __init__(self, name):
        pass

its = {name: getattr(rfc6455, name) for name in rfc6455.__all__}
for kind in (rfc6455_io.asyncio.Listener, rfc6455_io.asyncio.WebSocket):
    its[kind.__name__] = kind
    its |= {f"{kind.__name__}.{name}": getattr(kind, name) for name in dir(kind) if not name.startswith("_")}
its |= {"Derived": Derived, "WithItsOwn": WithItsOwn}
print(json.dumps({name: signature(it) for name, it in its.items() if callable(it)}))
"""


def signatures(**environment: str) -> dict[str, str]:
    finished = subprocess.run(
        [sys.executable, "-c", TELL],
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
        capture_output=True,
        check=True,
    )
    told: dict[str, str] = json.loads(finished.stdout)
    return told


def test_both_builds_tell_the_same_of_each_public_name() -> None:
    told = signatures()
    assert told["Connection"].startswith("(role: 'Role', extensions: ")
    assert told["Ping"].startswith("(payload: 'bytes'")
    assert told["Listener.ping"] == "(self, payload: 'bytes' = b'') -> 'None'"
    assert (told["Listener"], told["Derived"], told["WithItsOwn"]) == ("()", "()", "(name)")
    assert told == signatures(RFC6455_PURE="1")


class WithItsOwn(Connection):
    def __init__(self, name: str) -> None:
        super().__init__(Role.SERVER)
        self.name = name


class WithoutItsOwn(Connection):
    pass


class Codec(MessageCodec):
    def __init__(self, level: int) -> None:
        self.level = level


def test_a_derived_class_has_its_own_or_that_of_its_base() -> None:
    assert str(inspect.signature(WithItsOwn)) == "(name: 'str') -> 'None'"
    assert inspect.signature(WithoutItsOwn) == inspect.signature(Connection)
    assert str(inspect.signature(Codec)) == "(level: 'int') -> 'None'"


def test_an_object_has_none() -> None:
    with pytest.raises(TypeError, match="not a callable object"):
        inspect.signature(Closed(1000))  # type: ignore[arg-type]
    assert not hasattr(Closed(1000), "__signature__")
