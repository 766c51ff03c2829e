"""Lets a watcher follow a run: from the owner's log where the run is open here, from the journal where it is not."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractContextManager

from moa_server.domain.errors import RunNotFound
from moa_server.domain.event import Cursor, Event
from moa_server.domain.ports import Journal
from moa_server.domain.run import RunState
from moa_server.engine.records.run_log import RunLog
from moa_server.engine.records.run_reader import read_all

_BATCH = 500


class Watcher:
    """One who follows a run. It holds nothing but its place."""

    def __init__(
        self,
        run_id: str,
        after: Cursor,
        journal: Journal,
        local: Callable[[str], RunLog | None],
        present: AbstractContextManager[None],
        heartbeat_s: float,
    ) -> None:
        """Follow from ``after``, itself excluded.

        ``local`` returns the log of a run that is open on this server; ``present`` counts the watcher while it is here.
        """
        self._run_id = run_id
        self._cursor = after
        self._journal = journal
        self._local = local
        self._present = present
        self._heartbeat_s = heartbeat_s
        self._log: RunLog | None = None
        """What it reads from while the run is, or was, open here."""
        self._hints: AsyncGenerator[None, None] | None = None
        self._hint: asyncio.Task[None] | None = None
        """The wait for the next hint, which outlasts heartbeats: a generator that is cut off while it waits is over."""
        self._is_done = False

    async def events(self) -> AsyncGenerator[Sequence[Event], None]:
        """Yield what happens, all that is there at once, and nothing whenever nothing did for the heartbeat time.

        It ends after the terminal event, which one who begins at the end or beyond it is told again.
        """
        self._heartbeat = Heartbeat(self._heartbeat_s)
        with self._present:
            try:
                while not self._is_done:
                    news = await self._news()
                    if news is None:
                        continue
                    if news:
                        self._cursor, self._is_done = news[-1].cursor, news[-1].is_terminal
                    yield news
            finally:
                self._heartbeat.close()
                await self._stop_following()

    async def _news(self) -> Sequence[Event] | None:
        """Return the next events, none when a heartbeat is due, or None when it is time to look where they come from.

        Raises:
            RunNotFound: there is no such run.
        """
        if self._log is None:
            log = self._local(self._run_id)
            # A watcher may still lack events of an earlier owner, or know of a later one than is here.
            if log is None or log.epoch != max(self._cursor.epoch, 1):
                return await self._news_of_journal()
            await self._stop_following()
            # It is kept to its end: a run can close before a slow watcher has seen all of it.
            self._log = log
        log, sequence = self._log, self._cursor.sequence
        while not log.has_shown_beyond(sequence):
            if log.is_left:
                self._log = None
                return None
            self._heartbeat.begin(log.wake_watchers)
            await log.news()
            if self._heartbeat.is_due and not log.has_shown_beyond(sequence):
                return ()
        return log.shown_after(sequence)

    async def _news_of_journal(self) -> Sequence[Event] | None:
        if self._hints is None:
            # Before the first look, so that nothing is missed between it and the wait.
            self._hints = self._journal.follow(self._run_id)
            await anext(self._hints)
        if self._hint is None:  # else nothing is new since the last look
            if events := await self._look():
                self._heartbeat.begin()
                return events
            self._hint = asyncio.create_task(_next_of(self._hints))
        # The hints of a store come when they come; the heartbeat is promised.
        await asyncio.wait((self._hint,), timeout=self._heartbeat.left_s)
        if self._hint.done():
            hint, self._hint = self._hint, None
            hint.result()
        if not self._heartbeat.is_due:
            return None
        self._heartbeat.begin()
        return ()

    async def _look(self) -> Sequence[Event]:
        if events := await self._journal.read(self._run_id, self._cursor, _BATCH):
            return events
        record = await self._journal.find(self._run_id)
        if record is None:
            raise RunNotFound(f"run {self._run_id} not found", metadata={"run_id": self._run_id})
        if record.state is RunState.RUNNING:
            return ()
        # Its last events may have come between the two looks.
        last = await self._journal.read(self._run_id, self._cursor, _BATCH)
        return last or (await read_all(self._journal, self._run_id))[-1:]

    async def _stop_following(self) -> None:
        if self._hint is not None:
            hint, self._hint = self._hint, None
            hint.cancel()
            await asyncio.wait((hint,))
        if self._hints is not None:
            hints, self._hints = self._hints, None
            await hints.aclose()


async def _next_of(hints: AsyncGenerator[None, None]) -> None:
    await anext(hints)


class Heartbeat:
    """Knows when nothing has been heard for a time; one timer serves many waits, which are often short."""

    __slots__ = ("_began", "_every_s", "_is_due", "_loop", "_timer", "_wake")

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self._is_due = False
        self._wake: Callable[[], None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_due(self) -> bool:
        """Whether the time has gone by since the last wait began."""
        return self._is_due or self._loop.time() - self._began >= self._every_s

    @property
    def left_s(self) -> float:
        """How much of the time is left."""
        return max(0.0, self._began + self._every_s - self._loop.time())

    def begin(self, wake: Callable[[], None] | None = None) -> None:
        """Begin to wait anew; ``wake`` is called when the time has gone by."""
        self._began = self._loop.time()
        self._is_due = False
        self._wake = wake
        if wake is not None and self._timer is None:
            self._timer = self._loop.call_later(self._every_s, self._look)

    def close(self) -> None:
        """Wake nobody any more."""
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        left_s = self.left_s
        if left_s <= 0:
            self._is_due = True
            if self._wake is not None:
                self._wake()
            left_s = self._every_s
        self._timer = self._loop.call_later(left_s, self._look)
