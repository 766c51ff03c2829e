"""Keeps the ownership of this server's runs while its event loop is busy, and ends the process once that is held.

It is a thread that asks the loop to answer, with a connection of its own to the journal. Code of Python that never
awaits leaves it its turns; a call into C that keeps the interpreter's lock stops it too, and is to others a freeze.
"""

import asyncio
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from types import TracebackType
from typing import Final, Self

import structlog

from moa_server.domain.errors import JournalUnavailable
from moa_server.domain.operation import Ownership
from moa_server.domain.ports import Journal, Lease
from moa_server.domain.run import run_of

HELD_EXIT: Final = 70
"""The exit code of a process whose event loop was held: that of an internal error (``EX_SOFTWARE``)."""
_LOOKS: Final = 8
"""How often, within the ownership time, the loop is asked."""
_LONGEST_PAUSE_S: Final = 1.0
_DUE_SHARE: Final = 0.4
"""Of the ownership time, after which the thread renews it: a little later than the writer does, when it can."""
_LAST_CHANCE_S: Final = 1.0
_WARM_S: Final = 60.0
"""How often the connection is used in any case, so that it is there when it is needed."""
_LAST_WORDS_S: Final = 7.0
"""How long the end waits for the journal and the log: either may be what holds the loop."""
_FRAMES: Final = 20

_logger = structlog.get_logger(__name__)


class Watchdog:
    """Watches the event loop in which it is entered. Use it as an async context manager."""

    def __init__(
        self,
        journal: Journal,
        ownership: Ownership,
        *,
        run_ids: Callable[[], list[str]],
        renewed_at: Callable[[], float],
        on_renewal: Callable[[float], None],
        end: Callable[[int], None],
    ) -> None:
        """Renew what the writer, who did so last at ``renewed_at``, is too late for; ``end`` ends the process.

        ``on_renewal`` hears, in the loop that is watched, of a moment at which the ownership was renewed. The other two
        are called in the thread.
        """
        self._journal = journal
        self._ownership = ownership
        self._run_ids = run_ids
        self._renewed_at = renewed_at
        self._on_renewal = on_renewal
        self._end = end
        self._pause_s = min(ownership.ownership_s / _LOOKS, ownership.busy_limit_s / 2, _LONGEST_PAUSE_S)
        self._lease: Lease | None = None
        self._renewed = float("-inf")
        """When the thread did so last, or tried to."""
        self._has_answered = False
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._watch()), name="watchdog", daemon=True)

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._loop_thread = threading.get_ident()
        self._thread.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        await asyncio.to_thread(self._thread.join)

    async def _watch(self) -> None:
        async with AsyncExitStack() as stack:
            asked_at, is_overdue = self._ask(), False
            while True:
                # A process that was frozen finds itself overdue when it wakes: its loop has the time to answer yet.
                await asyncio.sleep(max(self._pause_s, _LAST_CHANCE_S) if is_overdue else self._pause_s)
                if self._stopped.is_set():
                    return
                if self._has_answered:
                    asked_at, is_overdue = self._ask(), False
                held_s = time.monotonic() - asked_at
                if held_s <= self._ownership.busy_limit_s:
                    await self._keep(stack)
                elif is_overdue:
                    await self._fall(held_s)
                    return
                is_overdue = held_s > self._ownership.busy_limit_s

    def _ask(self) -> float:
        self._has_answered = False
        asked_at = time.monotonic()
        self._loop.call_soon_threadsafe(self._answer)
        return asked_at

    def _answer(self) -> None:
        self._has_answered = True

    async def _keep(self, stack: AsyncExitStack) -> None:
        """Renew the ownership if the writer is late."""
        now = time.monotonic()
        age_s = now - max(self._renewed_at(), self._renewed)
        is_due = age_s > self._ownership.ownership_s * _DUE_SHARE and self._run_ids()
        if not self._journal.is_shared or not (is_due or now - self._renewed > _WARM_S):
            return
        with suppress(JournalUnavailable):  # which the writer tells, and others are as patient with as with him
            if self._lease is None:
                self._lease = await stack.enter_async_context(self._journal.lease(self._ownership.owner))
            if await self._lease.renew():
                self._loop.call_soon_threadsafe(self._on_renewal, now)
        self._renewed = now

    async def _fall(self, held_s: float) -> None:
        """Tell the others, and whoever reads the log, and end."""
        run_ids = self._run_ids()
        blamed = self._blamed(run_ids)
        last = threading.Timer(_LAST_WORDS_S, self._end, [HELD_EXIT])
        last.daemon = True
        last.start()
        frame = sys._current_frames().get(self._loop_thread)  # noqa: SLF001 - there is no other way to another thread
        stack = [] if frame is None else traceback.format_stack(frame)[-_FRAMES:]
        del frame
        is_told = False
        with suppress(JournalUnavailable):
            if self._lease is not None:
                await self._lease.fall(blamed)
                is_told = True
        _logger.critical(
            "event_loop.held",
            held_s=round(held_s, 1),
            blamed=blamed,
            run_ids=run_ids,
            told_others=is_told,
            stack="".join(stack),
        )
        self._end(HELD_EXIT)

    def _blamed(self, run_ids: list[str]) -> str:
        """Return the run whose work holds the loop; of one that is open alone it is taken to be so."""
        task = asyncio.current_task(self._loop)
        run_id = "" if task is None else run_of(task.get_name())
        if run_id in run_ids:
            return run_id
        return run_ids[0] if len(run_ids) == 1 else ""
