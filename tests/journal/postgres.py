"""A real PostgreSQL of the tests' own."""

import signal
import subprocess
import sys
from pathlib import Path
from typing import Self

_ROOT = Path(__file__).resolve().parents[2]
_PATIENCE_S = 120.0
"""For its end, which may be a long one beside busy neighbours."""


class Postgres:
    """A server in a folder of its own, on a socket file."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.journal.postgres_process"],
            cwd=_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.dsn = self._read()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()
        self._process.wait(_PATIENCE_S)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the server and to all its processes."""
        self._say(f"signal {number.value}")

    def kill(self) -> None:
        self._say("kill")

    def start(self) -> None:
        self._say("start")

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        assert self._read() == "done"

    def _read(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline().strip()
        assert line, "the PostgreSQL of the tests has ended"
        return line
