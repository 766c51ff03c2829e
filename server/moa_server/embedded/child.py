"""Starts a child process that says when it is ready, and always ends it."""

import asyncio
import json
import os
import sys
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress

from moa_server.embedded import EmbeddedError

TAIL_LINES = 20
STOP_SECONDS = 10.0
LINE_BYTES = 1 << 20


class ChildError(EmbeddedError):
    """A child process did not do its part."""

    def __init__(self, name: str, what: str, tail: str) -> None:
        self.name = name
        """Which child, in the words of the demo."""
        self.tail = tail
        """The last lines it wrote to its standard error."""
        super().__init__(f"{name} {what}" + (f"; its last words:\n{tail}" if tail else ""))


class ChildDiedError(ChildError):
    """A child ended when it should have been running."""


class ChildSlowError(ChildError):
    """A child was not ready in time."""


class Child:
    """A running child process: where it listens, and its last words."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, *, echo: bool) -> None:
        self.name = name
        self.ready = ""
        """Where it listens, from its ready line."""
        self._process = process
        self._echo = echo
        self._tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._errors = asyncio.create_task(self._read_errors(), name=f"errors of {name}")
        self._readings = {self._errors}

    @property
    def pid(self) -> int:
        """The process, for those who watch it."""
        return self._process.pid

    async def died(self) -> ChildDiedError:
        """Waits for its end, and tells it as an error."""
        code = await self._process.wait()
        await asyncio.wait({self._errors}, timeout=1.0)  # a grandchild may hold the pipe open
        return ChildDiedError(self.name, f"ended with {code}", "\n".join(self._tail))

    async def await_ready(self, seconds: float) -> None:
        """Waits for the ready line, `{"ready": "…"}`."""
        try:
            async with asyncio.timeout(seconds):
                self.ready = await self._ready_line()
        except TimeoutError:
            raise ChildSlowError(self.name, f"was not ready in {seconds:g} s", "\n".join(self._tail)) from None
        self._readings.add(asyncio.create_task(self._discard_output(), name=f"output of {self.name}"))

    async def stop(self, patience: float) -> None:
        """Asks it to end, insists after `patience` seconds, and does not return before it has ended."""
        try:
            await ended(self._process, patience)
        finally:
            for reading in self._readings:
                reading.cancel()

    async def _ready_line(self) -> str:
        assert self._process.stdout is not None  # noqa: S101 - it was asked for at the start
        while line := await self._process.stdout.readline():
            with suppress(ValueError, KeyError, TypeError):
                return str(json.loads(line)["ready"])
        raise await self.died()

    async def _read_errors(self) -> None:
        assert self._process.stderr is not None  # noqa: S101 - it was asked for at the start
        async for line in self._process.stderr:
            text = line.decode(errors="replace").rstrip()
            self._tail.append(text)
            if self._echo:
                print(text, file=sys.stderr, flush=True)

    async def _discard_output(self) -> None:
        """Keeps the pipe empty, so that nothing the child prints later can block it."""
        assert self._process.stdout is not None  # noqa: S101 - it was asked for at the start
        while await self._process.stdout.read(LINE_BYTES):
            pass


async def ended(process: asyncio.subprocess.Process, patience: float) -> None:
    """Asks a process to end, insists after `patience` seconds, and returns when it has ended."""
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(patience):
            await process.wait()
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
    finally:
        with suppress(ProcessLookupError):
            process.kill()  # also when this wait was itself cancelled


@asynccontextmanager
async def running(
    name: str,
    *command: str,
    environment: Mapping[str, str] | None = None,
    ready_within: float = 60.0,
    patience: float = STOP_SECONDS,
    echo: bool = False,
) -> AsyncIterator[Child]:
    """A child that is ready; it is ended on the way out, whatever happened.

    It has a session of its own, so that Ctrl-C reaches only the parent, which then stops its children in order.
    """
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=LINE_BYTES,
        env={**os.environ, **(environment or {})},
        start_new_session=True,
    )
    child = Child(name, process, echo=echo)
    try:
        await child.await_ready(ready_within)
        yield child
    finally:
        await child.stop(patience)
