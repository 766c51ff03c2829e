"""Another process that holds an SQLite file's lock: it is in the middle of a write."""

import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

_PATIENCE_S = 60.0
_HOLD = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], timeout=60, isolation_level=None)
connection.execute(sys.argv[2])
connection.execute("CREATE TABLE half_done (x)")
print("held", flush=True)
sys.stdin.readline()
connection.execute("ROLLBACK")
"""


class Holder:
    """One that began a transaction and does not end it until it is told to, or is killed."""

    def __init__(self, path: Path, how: str = "BEGIN IMMEDIATE") -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _HOLD, str(path), how], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "held\n"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.die()

    def freeze(self) -> Self:
        self._process.send_signal(signal.SIGSTOP)
        return self

    def go_on(self) -> None:
        """Wake, if it was frozen, and undo what it had begun."""
        self._process.send_signal(signal.SIGCONT)
        self._process.communicate("\n", timeout=_PATIENCE_S)

    def die(self) -> None:
        self._process.kill()
        self._process.communicate(timeout=_PATIENCE_S)
