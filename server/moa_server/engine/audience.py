"""Who watches the runs, here and on other servers: a run that nobody watches is cancelled after a while."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from moa_server.domain.errors import JournalUnavailable
from moa_server.domain.event import CancelledBy
from moa_server.domain.ports import Journal
from moa_server.engine.runs.open_run import OpenRun


class Audience:
    """The watchers of this server, and the timers of runs that wait for one."""

    def __init__(self, journal: Journal, grace_s: float, find: Callable[[str], OpenRun | None]) -> None:
        """Cancel a run that nobody has watched for the grace; ``find`` returns a run that is open on this server."""
        self._journal = journal
        self._grace_s = grace_s
        self._find = find
        self._counts: Counter[str] = Counter()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        """Of the runs that wait for a watcher."""

    @contextmanager
    def watching(self, run_id: str) -> Iterator[None]:
        """Count a watcher while it is there."""
        self._counts[run_id] += 1
        self.stop_waiting(run_id)
        try:
            yield
        finally:
            self._counts[run_id] -= 1
            if self._counts[run_id] <= 0:
                del self._counts[run_id]
            run = self._find(run_id)
            if run is not None:
                self.wait_for_watchers(run)

    def of_other_servers(self) -> list[str]:
        """Return the runs that are watched here and not carried out here."""
        return [run_id for run_id in self._counts if self._find(run_id) is None]

    def wait_for_watchers(self, run: OpenRun) -> None:
        """Cancel a run unless somebody watches it within the grace; a detached one goes on without."""
        run_id = run.record.run_id
        if not self._counts[run_id] and not run.record.ticket.detached and run_id not in self._timers:
            self._look_in(self._grace_s, run)

    def stop_waiting(self, run_id: str) -> None:
        """Let a run be: somebody watches it, or it is no longer open here."""
        timer = self._timers.pop(run_id, None)
        if timer is not None:
            timer.cancel()

    def _look_in(self, seconds: float, run: OpenRun) -> None:
        self._timers[run.record.run_id] = asyncio.get_running_loop().call_later(seconds, self._look, run)

    def _look(self, run: OpenRun) -> None:
        run.beside(self._cancel_unless_watched(run))

    async def _cancel_unless_watched(self, run: OpenRun) -> None:
        """Cancel a run unless somebody watches it on another server, or has come back."""
        run_id = run.record.run_id
        timer = self._timers.get(run_id)
        if timer is None:  # a watcher came between the timer and this task
            return
        left_s = 0.0
        if self._journal.is_shared:
            try:
                record = await self._journal.find(run_id)
            except JournalUnavailable:
                left_s = self._grace_s  # in doubt somebody watches
            else:
                left_s = self._grace_s - record.unwatched_s if record is not None else 0.0
        if self._find(run_id) is not run or self._timers.get(run_id) is not timer:
            return
        if left_s > 0:
            self._look_in(min(left_s, self._grace_s), run)
        else:
            run.cancel(CancelledBy.ABANDONED)
