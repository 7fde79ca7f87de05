"""Signatures of compiled classes: `inspect.signature` and `help` show the one in the source, as for a pure class.

A compiled class does not know its own signature. Nothing here runs until a signature is requested. If the sources were
removed, there is no signature, as for most built-in types.
"""

from __future__ import annotations

import sys
from functools import cache
from importlib.util import module_from_spec, spec_from_file_location
from types import ModuleType
from typing import TYPE_CHECKING

from ._build import FILE

if TYPE_CHECKING:
    from inspect import Signature


class SignatureOfSource:
    """The attribute ``__signature__`` of a class in a compiled module, and of classes derived from it."""

    def __get__(self, instance: object, owner: type) -> Signature:
        maker = next(each for each in owner.__mro__ if "__init__" in vars(each) or "__new__" in vars(each))
        if instance is not None or not _is_compiled(maker):
            raise AttributeError("__signature__")  # so that `inspect` looks at the class itself
        from inspect import signature

        return signature(getattr(_source(maker.__module__), maker.__name__))


def _is_compiled(cls: type) -> bool:
    file = getattr(sys.modules.get(cls.__module__), "__file__", None)
    return not hasattr(vars(cls).get("__init__"), "__code__") and file is not None and file == FILE


@cache
def _source(name: str) -> ModuleType:
    """Run the source of a compiled module once, beside the compiled one; some of them register functions."""
    package, _, module_name = name.rpartition(".")
    directory, _, suffix = str(sys.modules[package].__file__).rpartition("__init__")
    spec = spec_from_file_location(name, directory + module_name + suffix)
    if spec is None or spec.loader is None:
        raise AttributeError("__signature__")
    module = module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except FileNotFoundError:
        raise AttributeError("__signature__") from None
    return module


SIGNATURE = SignatureOfSource()
