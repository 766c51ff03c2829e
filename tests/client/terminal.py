"""Runs the command as a person does: on a terminal of its own, or in a pipe."""

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Callable
from pathlib import Path

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def environment(**extra: str) -> dict[str, str]:
    kept = {
        name: value for name, value in os.environ.items() if name not in {"COLUMNS", "LINES", "MOA_TARGET", "NO_COLOR"}
    }
    return kept | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "TERM": "xterm-256color"} | extra


def command(*args: str) -> list[str]:
    return [sys.executable, "-m", "moa.cli", *args]


def run(*args: str, question: bytes = b"", **extra: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command(*args), input=question, capture_output=True, env=environment(**extra), check=False)
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


class Terminal:
    """The command on a pseudo-terminal; what it writes is collected."""

    def __init__(self, *args: str, columns: int = 100, **extra: str) -> None:
        self._master, child = pty.openpty()
        fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        self.process = subprocess.Popen(
            command(*args), stdin=child, stdout=child, stderr=child, env=environment(**extra), start_new_session=True
        )
        os.close(child)
        self.raw = b""

    @property
    def text(self) -> str:
        return _ESCAPES.sub("", self.raw.decode("utf-8", "replace"))

    def read_until(self, seen: Callable[[str], bool]) -> str:
        while not seen(self.text):
            if not self._read():
                raise AssertionError(f"the terminal closed after: {self.text}")
        return self.text

    def finish(self) -> int:
        while self._read():
            pass
        os.close(self._master)
        return self.process.wait(20)

    def interrupt(self) -> None:
        self.process.send_signal(signal.SIGINT)

    def _read(self) -> bool:
        try:
            piece = os.read(self._master, 65536)
        except OSError:  # the other side is closed
            return False
        self.raw += piece
        return bool(piece)


def token_file(folder: Path) -> Path:
    path = folder / "token"
    path.write_text("secret\n")
    return path
