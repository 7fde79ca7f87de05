"""The names in a room. Names that look the same count as one, and members on other servers are included."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

import lines

from service.letters import clean_name, key


class Names:
    """The names in one room. The caller holds the room's lock.

    Two members may have the same name, such as one person with two windows, who joins with the first and leaves with
    the last.
    """

    def __init__(self) -> None:
        self.here: Counter[str] = Counter()
        self._elsewhere: dict[str, frozenset[str]] = {}  # by server
        self._spellings: dict[str, str] = {}  # all names as they were first written, by `key`

    def everybody(self) -> set[str]:
        """Return the names of everybody in the room, on any server."""
        return set(self.here).union(*self._elsewhere.values())

    @property
    def are_none(self) -> bool:
        """Whether nobody is there, on any server. May be asked without the lock."""
        return not self._spellings

    def spelled(self, name: str) -> str:
        """Return the name as the first member with it wrote it, as names that look the same are the same."""
        return self._spellings.get(key(name), name)

    def rename(self, old: str, new: str) -> list[str]:
        """Note that a member here has a new name (``""`` for none), and return the lines for the room."""
        said: list[str] = []
        if old == new:
            return said
        if old:
            self.here[old] -= 1
            if not self.here[old]:
                del self.here[old]
                if not any(old in names for names in self._elsewhere.values()):
                    self._note_spellings({old}, set())
                said.append(lines.left(old))
        if new:
            self.here[new] += 1
            if self.here[new] == 1:
                self._note_spellings(set(), {new})
                said.append(lines.joined(new))
        return said

    # Other servers.

    def news(self, server: str, said: Iterable[str]) -> list[str]:
        """Note who is there according to another server, and return the lines that are news here."""
        told: list[str] = []
        for line in said:
            if not lines.is_said_by_server(line):
                told.append(line)
                continue
            before = self.everybody()
            self._elsewhere[server] = names_after(line, self._elsewhere.get(server, frozenset()), self.spelled)
            after = self.everybody()
            self._note_spellings(before - after, after - before)
            told += map(lines.left, sorted(before - after))
            told += map(lines.joined, sorted(after - before))
        return told

    def servers(self) -> set[str]:
        """Return the other servers that have members."""
        return {server for server, names in self._elsewhere.items() if names}

    def forget(self, server: str) -> None:
        self._elsewhere.pop(server, None)

    def _note_spellings(self, left: Iterable[str], joined: Iterable[str]) -> None:
        for name in left:
            self._spellings.pop(key(name), None)
        for name in joined:
            self._spellings[key(name)] = name


def names_after(line: str, names: frozenset[str], spelled: Callable[[str], str] = str) -> frozenset[str]:
    """Return who is there after a server has said ``line``, if ``names`` were there before.

    :param spelled: a function that returns a name as it is known here.
    """
    if line.startswith("* here: "):
        return frozenset(spelled(clean_name(name)) for name in line[8:].split(", ")) - {""}
    if line.startswith("* ") and line.endswith(" joined"):
        return names | ({spelled(clean_name(line[2:-7]))} - {""})
    if line.startswith("* ") and line.endswith(" left"):
        return names - {spelled(clean_name(line[2:-5]))}
    return names
