"""Runs the command as a person does: on a terminal of its own, or in a pipe."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_PATIENCE_S = 30.0


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


@contextmanager
def started(
    *args: str, stdin: int | None = None, stdout: int, stderr: int, **extra: str
) -> Iterator[subprocess.Popen[bytes]]:
    """Start the command in a session of its own, and leave nothing of it behind: no signal it may ignore ends it."""
    # A shell ignores Ctrl-C for what it starts in the background, and that is inherited. A person's command hears it.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        process = subprocess.Popen(
            command(*args),
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            env=environment(**extra),
            start_new_session=True,
        )
    finally:
        signal.signal(signal.SIGINT, before)
    with process:
        try:
            yield process
        finally:
            process.kill()


class Terminal:
    """The command on a pseudo-terminal; what it writes is collected."""

    def __init__(self, process: subprocess.Popen[bytes], master: int) -> None:
        self.process = process
        self.raw = b""
        self._master = master

    @property
    def text(self) -> str:
        return _ESCAPES.sub("", self.raw.decode("utf-8", "replace"))

    def read_until(self, seen: Callable[[str], bool]) -> str:
        deadline = time.monotonic() + _PATIENCE_S
        while not seen(self.text):
            if not self._read(deadline):
                raise AssertionError(f"the terminal closed after: {self.text}")
        return self.text

    def finish(self) -> int:
        deadline = time.monotonic() + _PATIENCE_S
        while self._read(deadline):
            pass
        return self.process.wait(_PATIENCE_S)

    def interrupt(self) -> None:
        self.process.send_signal(signal.SIGINT)

    def _read(self, deadline: float) -> bool:
        # Never without a bound: a thread that reads for ever holds up the end of its event loop, and so of the test.
        left = deadline - time.monotonic()
        if left < 0 or not select.select([self._master], [], [], left)[0]:
            raise AssertionError(f"the terminal is silent or without end after: {self.text}")
        try:
            piece = os.read(self._master, 65536)
        except OSError:  # the other side is closed
            return False
        self.raw += piece
        return bool(piece)


@contextmanager
def terminal(*args: str, columns: int = 100, **extra: str) -> Iterator[Terminal]:
    """Start the command on a terminal of its own."""
    master, child = pty.openpty()
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    try:
        with started(*args, stdin=child, stdout=child, stderr=child, **extra) as process:
            os.close(child)
            yield Terminal(process, master)
    finally:
        os.close(master)


def token_file(folder: Path) -> Path:
    path = folder / "token"
    path.write_text("secret\n")
    return path
