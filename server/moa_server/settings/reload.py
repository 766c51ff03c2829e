"""Takes over a changed configuration file; a bad one is told of and changes nothing."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import structlog

from moa_server.domain.operation import Listening
from moa_server.settings.derived import keys_of
from moa_server.settings.document import state_of
from moa_server.settings.problem import ConfigurationRefused
from moa_server.settings.settings import Settings


class Reloader:
    """Watches one file. Symbolic links are followed, so that a volume swapped as a whole counts as a change."""

    def __init__(
        self,
        path: Path,
        current: Settings,
        *,
        read: Callable[[Path], Settings],
        apply: Callable[[Settings], None],
        every_s: float = 2.0,
    ) -> None:
        self._path = path
        self._current = current
        self._read = read
        self._apply = apply
        self._every_s = every_s
        self._asked = asyncio.Event()
        self._log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)
        self._state = _state_of(path)

    def ask(self) -> None:
        """Read the file soon, changed or not. For SIGHUP."""
        self._asked.set()

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Take over every change while the context lasts, and whenever the process gets SIGHUP."""
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as group:
            task = group.create_task(self.watch(), name="reload")
            loop.add_signal_handler(signal.SIGHUP, self.ask)
            try:
                yield
            finally:
                loop.remove_signal_handler(signal.SIGHUP)
                task.cancel()

    async def watch(self) -> None:
        """Take over every change until cancelled."""
        while True:
            try:
                async with asyncio.timeout(self._every_s):
                    await self._asked.wait()
            except TimeoutError:
                asked = False
            else:
                asked = True
                self._asked.clear()
            # In a thread, since a volume over the network may keep its reader waiting.
            state = await asyncio.to_thread(_state_of, self._path)
            if asked or state != self._state:
                # Taken before the file is read: what is written meanwhile is a change again.
                self._state = state
                await self._reload()

    async def _reload(self) -> None:
        try:
            new = await asyncio.to_thread(self._read, self._path)
        except ConfigurationRefused as refused:
            self._log.error("configuration.refused", problems=[str(problem) for problem in refused.problems])
            return
        waiting = list(_needing_restart(self._current, new))
        if waiting:
            self._log.warning("configuration.needs_restart", keys=waiting)
        self._apply(new)
        self._current = new
        self._log.info("configuration.reloaded", models=len(new.models), mixtures=len(new.mixtures))


def _state_of(path: Path) -> tuple[int, ...] | None:
    try:
        return state_of(path)
    except OSError:
        return None


def _needing_restart(old: Settings, new: Settings) -> Iterator[str]:
    """Yield the keys that changed and stay as they were until the server starts anew."""
    # Ports are opened, and connections made, with what is said at the start.
    for key in keys_of(Listening):
        if key.value_in(old.listening) != key.value_in(new.listening):
            yield f"server.{key.name}"
    if old.limits != new.limits:
        yield "limits"
    if (old.journal, old.ownership) != (new.journal, new.ownership):
        yield "journal"
    if old.logging != new.logging:
        yield "telemetry"
