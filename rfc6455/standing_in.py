"""Stand-ins for other objects: a base for classes that watch some calls, and pass on all of them.

Not here: what is watched. `rfc6455.trace` records calls, and `rfc6455.testing` finds calls that come too early.
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar

_Wrapped = TypeVar("_Wrapped")


class StandIn(Generic[_Wrapped]):
    """An object that has all attributes of the one it wraps, and passes for it in ``isinstance``, as in `Endpoint`."""

    def __init__(self, wrapped: _Wrapped) -> None:
        self._wrapped: _Wrapped = wrapped

    def __getattr__(self, name: str) -> Any:
        return getattr(self._wrapped, name)

    @property  # type: ignore[misc]  # that of `object` can be set
    def __class__(self) -> type[Any]:
        return self._wrapped.__class__
