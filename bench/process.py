"""Runs a part of a measurement as a process of its own, and reads what it used."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

import psutil  # type: ignore[import-untyped]  # has no stubs

ROOT: Final = Path(__file__).resolve().parents[1]
_PATIENCE_S: Final = 15.0


class ProcessFailedError(Exception):
    """A process that the measurement needs has ended, or has not begun."""


@dataclass(frozen=True, slots=True)
class Process:
    """A process under way."""

    name: str
    popen: subprocess.Popen[str]
    seen: psutil.Process

    @property
    def cpu_s(self) -> float:
        """Seconds of CPU it has used so far, in user and system."""
        times = self.seen.cpu_times()
        return float(times.user + times.system)

    @property
    def resident(self) -> int:
        """Bytes of memory it holds."""
        return int(self.seen.memory_info().rss)

    @property
    def sockets(self) -> int:
        """Connections it has open."""
        return len([found for found in self.seen.net_connections("tcp") if found.status == psutil.CONN_ESTABLISHED])

    @property
    def ended(self) -> bool:
        """Whether it is no more."""
        return self.popen.poll() is not None

    def read(self) -> str:
        """Return the next line it prints."""
        stream = self.popen.stdout
        found = stream.readline().strip() if stream else ""
        if not found:
            raise ProcessFailedError(f"{self.name} ended with {self.popen.wait()}")
        return found

    def ask(self, question: str) -> str:
        """Say a line to it and return its answer."""
        stream = self.popen.stdin
        if stream is None:
            raise ProcessFailedError(f"{self.name} takes no questions")
        stream.write(question + "\n")
        stream.flush()
        return self.read()


@contextmanager
def running(
    name: str,
    command: Sequence[str],
    environment: Mapping[str, str] | None = None,
    log: IO[str] | None = None,
) -> Iterator[Process]:
    """Run a command while the block lasts; its standard error goes to the log, if there is one."""
    popen = subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, **(environment or {})},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
    )
    try:
        yield Process(name, popen, psutil.Process(popen.pid))
    finally:
        _end(popen)


@contextmanager
def module(name: str, *arguments: str) -> Iterator[Process]:
    """Run a module of ours while the block lasts."""
    with running(name, (sys.executable, "-m", name, *arguments)) as process:
        yield process


def _end(popen: subprocess.Popen[str]) -> None:
    if popen.stdin:
        popen.stdin.close()
    popen.terminate()
    try:
        popen.wait(_PATIENCE_S)
    except subprocess.TimeoutExpired:
        popen.kill()
        popen.wait()
