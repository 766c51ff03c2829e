"""Runs the programs that print keys, before the keys expire, without a shell and beside the event loop.

A key is printed when it is first used. Once most of its time is over, a use has it printed anew, and goes out with the
one there is. Neither what a program printed nor what it complained of is told on: both may hold what is secret.
"""

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import Context
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import structlog

from moa_server.domain.model import Secret
from moa_server.settings.secret import MOST_BYTES, CommandSecret, key_in

_RENEWED: Final = 0.8
"""Of its time, after which a key is printed anew."""
_STILL_USED: Final = 1.1
"""Of its time, up to which a key is used while no other can be had."""
_PAUSE_S: Final = 10.0
"""After a failure, before a program is run again."""
_REFUSED_S: Final = 60.0
"""Between two keys that are printed because an endpoint refused the one before."""
_LONGEST_S: Final = 30.0
"""How long a program may run."""
_KILLED_S: Final = 1.0
"""How long a program may take to be gone once it was killed."""

_logger = structlog.get_logger(__name__)


class KeyCommands:
    """The parent of every program that runs; is made, and closed, once. Whoever is still running then is killed."""

    def __init__(self, now: Callable[[], float] = time.monotonic, longest_s: float = _LONGEST_S) -> None:
        self._now = now
        self._longest_s = longest_s
        self._keys: dict[CommandSecret, PrintedKey] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._closed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed = True
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    def key(self, secret: Secret | None) -> Secret | None:
        """Return a secret that can be revealed; the same for all who name the same program."""
        if not isinstance(secret, CommandSecret):
            return secret
        if secret not in self._keys:
            self._keys[secret] = PrintedKey(secret, self._start, self._now, self._longest_s)
        return self._keys[secret]

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None] | None:
        if self._closed:
            work.close()
            return None
        # In a context of its own: it belongs to no run, and its log bears the name of none.
        task = asyncio.get_running_loop().create_task(work, name="key command", context=Context())
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task


class PrintedKey:
    """What a program printed last, and when it has to print again."""

    def __init__(
        self,
        secret: CommandSecret,
        start: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None] | None],
        now: Callable[[], float],
        longest_s: float,
    ) -> None:
        self._command = secret.command
        self._every_s = secret.every_s
        self._start = start
        self._now = now
        self._longest_s = longest_s
        self._task: asyncio.Task[None] | None = None
        self._value = ""
        self._printed = self._failed = self._refused = float("-inf")
        self._doubted = False
        """Whether an endpoint has refused it before its time."""

    def reveal(self) -> str:
        """Return what was printed last.

        Raises:
            ValueError: nothing was, or its time is over.
        """
        if not self._value or self._age() >= _STILL_USED:
            raise ValueError(f"{self._program} has printed no key")
        return self._value

    async def fetch(self) -> str:
        """Return what was printed last; where that may not be used, or was refused, wait for the program.

        Raises:
            ValueError: it printed none.
        """
        age = self._age()
        if age >= _RENEWED or self._doubted:
            self._renew()
            # The program goes on when whoever waits for it does not: its key serves the next.
            if self._task is not None and (age >= _STILL_USED or self._doubted):
                await asyncio.wait([self._task])
        return self.reveal()

    def refused(self, value: str) -> bool:
        """Note that a value was refused before its time, and return whether another one can be had soon."""
        if value != self._value:
            return True
        if not self._doubted and self._now() - self._refused >= _REFUSED_S:
            self._refused = self._now()
            self._doubted = True
            self._renew()
        return self._doubted and self._task is not None

    @property
    def _program(self) -> str:
        return Path(self._command[0]).name

    def _age(self) -> float:
        """Return how much of its time is over."""
        return (self._now() - self._printed) / self._every_s

    def _renew(self) -> None:
        if self._task is None and self._now() - self._failed >= _PAUSE_S:
            self._task = self._start(self._run())

    async def _run(self) -> None:
        try:
            # Its time is counted from the start: what it prints may be as old.
            started = self._now()
            self._value = key_in(await _printed(self._command, self._longest_s))
            self._printed = started
        except (OSError, ValueError) as error:
            self._failed = self._now()
            why = "cannot be run" if isinstance(error, OSError) else str(error)
            _logger.warning("key.command_failed", program=self._program, why=why)
        else:
            _logger.debug("key.printed", program=self._program)
        finally:
            self._doubted = False
            self._task = None


class _Output(asyncio.Protocol):
    """What a program prints, until nobody can print any more."""

    def __init__(self) -> None:
        self.printed = bytearray()
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        self.printed += data[: MOST_BYTES + 1 - len(self.printed)]
        if len(self.printed) > MOST_BYTES:
            self.connection_lost(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_result(None)


async def _printed(command: tuple[str, ...], longest_s: float) -> bytes:
    """Run a program in a session of its own, and return what it printed.

    Raises:
        OSError: it cannot be run.
        ValueError: it failed.
    """
    # A start that is given up halfway would leave behind what the program has started by then: it is waited for.
    starting = asyncio.get_running_loop().create_task(asyncio.to_thread(_begin, command))
    read = over = False
    try:
        process = await asyncio.shield(starting)
        async with asyncio.timeout(longest_s):
            read = True
            output = await _read(process)
            status = await asyncio.to_thread(process.wait)
        over = True
        if status:
            raise ValueError(f"ended with status {status}")
        return output
    except TimeoutError:
        raise ValueError(f"had not ended after {longest_s:g} s") from None
    finally:
        await asyncio.wait([starting])
        if not over and starting.exception() is None:
            process = starting.result()
            if not read and process.stdout is not None:
                process.stdout.close()
            await _kill(process)


def _begin(command: tuple[str, ...]) -> subprocess.Popen[bytes]:
    # Not by the loop's own means: uvloop forks, and what gRPC's threads hold at that moment aborts the child now and
    # then. This way no copy of the process is made, and only this thread waits.
    return subprocess.Popen(  # noqa: S603 - the operator's own command, without a shell
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


async def _read(process: subprocess.Popen[bytes]) -> bytes:
    """Return all that a program prints.

    Raises:
        ValueError: it is too much.
    """
    transport, output = await asyncio.get_running_loop().connect_read_pipe(_Output, process.stdout)
    try:
        await output.ended
    finally:
        transport.close()
    if len(output.printed) > MOST_BYTES:
        raise ValueError(f"printed more than {MOST_BYTES} bytes")
    return bytes(output.printed)


async def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a program with its whole session: many are scripts that start another one, which may outlive them."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    with suppress(subprocess.TimeoutExpired):
        await asyncio.to_thread(process.wait, _KILLED_S)
