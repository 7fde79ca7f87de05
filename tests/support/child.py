"""The output of a program in a process of its own, read by a thread as it comes, for a test to wait for."""

from __future__ import annotations

import re
import subprocess
import threading

# Long enough for a busy machine; nothing waits so long unless it fails.
PATIENCE = 60.0


class Output:
    """The lines that a process has printed so far, standard error among them if the process was started so.

    :param process: started with its output in a pipe, as text.
    :param patience: how long to wait before the test fails, in seconds.
    """

    def __init__(self, process: subprocess.Popen[str], patience: float) -> None:
        assert process.stdout is not None
        self.lines: list[str] = []
        self._pipe = process.stdout
        self._patience = patience
        self._ended = False
        self._grown = threading.Condition()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        for line in self._pipe:
            with self._grown:
                self.lines.append(line.rstrip("\n"))
                self._grown.notify_all()
        with self._grown:
            self._ended = True
            self._grown.notify_all()

    def matching(self, pattern: str) -> list[str]:
        return [line for line in self.lines if re.search(pattern, line)]

    def wait_for(self, pattern: str, count: int = 1) -> str:
        """Wait until so many lines match; return the last of them."""
        with self._grown:
            self._grown.wait_for(lambda: self._ended or len(self.matching(pattern)) >= count, self._patience)
            found = self.matching(pattern)
        assert len(found) >= count, f"no {pattern!r} in\n" + "\n".join(self.lines)
        return found[-1]

    def finish(self) -> None:
        """Read to the end, once the process has ended; may be called again."""
        self._reader.join(self._patience)
        self._pipe.close()


class Talkative:
    """What both kinds of programs that tests start have in common: their lines."""

    _output: Output

    @property
    def lines(self) -> list[str]:
        """Everything that it has printed since it was last started."""
        return self._output.lines

    def wait_for(self, pattern: str, count: int = 1) -> str:
        """Wait until so many lines match; return the last of them."""
        return self._output.wait_for(pattern, count)

    def logged(self, pattern: str) -> list[str]:
        return self._output.matching(pattern)
