"""Lets watchers follow a run: from the owner's log where the run is open here, from the journal where it is not."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, closing

from moa_server.domain.errors import RunNotFound
from moa_server.domain.event import Cursor, Event
from moa_server.domain.ports import Journal
from moa_server.domain.run import RunState
from moa_server.engine.records.pulse import Pulse
from moa_server.engine.records.run_log import RunLog

_BATCH = 500


class Watcher:
    """One who follows a run. It holds nothing but its place."""

    def __init__(
        self,
        run_id: str,
        after: Cursor,
        journal: Journal,
        local: Callable[[str], RunLog | None],
        heartbeat_s: float,
    ) -> None:
        """Follow from ``after``, itself excluded; ``local`` returns the log of a run that is open on this server."""
        self._run_id = run_id
        self._cursor = after
        self._journal = journal
        self._local = local
        self._heartbeat_s = heartbeat_s
        self._done = False

    async def events(self) -> AsyncGenerator[Event | None, None]:
        """Yield what happens, and None whenever nothing did for the heartbeat time; end after the terminal event."""
        while not self._done:
            log = self._local(self._run_id)
            source = self._from_journal(log) if log is None or self._is_elsewhere(log) else self._from_log(log)
            async with aclosing(source) as events:
                async for event in events:
                    if event is not None:
                        self._cursor = event.cursor
                        self._done = event.is_terminal
                    yield event

    def _is_elsewhere(self, log: RunLog) -> bool:
        """Whether the watcher still lacks events of an earlier owner, or knows of a later one."""
        return self._cursor.epoch != log.epoch and not (log.epoch == 1 and self._cursor.epoch == 0)

    async def _from_log(self, log: RunLog) -> AsyncGenerator[Event | None, None]:
        sequence = self._cursor.sequence
        with closing(Pulse(self._heartbeat_s, log.wake_watchers)) as pulse:
            while True:
                for event in log.shown_after(sequence):
                    sequence = event.sequence
                    yield event
                    if event.is_terminal:
                        return
                if log.has_shown_beyond(sequence):
                    continue
                if log.is_left:
                    return
                pulse.heard()
                await log.news()
                if not log.has_shown_beyond(sequence) and pulse.is_due:
                    yield None

    async def _from_journal(self, log: RunLog | None) -> AsyncGenerator[Event | None, None]:
        """Follow the journal; with a log at hand, only until the watcher has caught up with its epoch."""
        async with aclosing(self._hints()) as hints:
            async for is_quiet in hints:
                if is_quiet:
                    yield None
                while events := await self._journal.read(self._run_id, self._cursor, _BATCH):
                    for event in events:
                        yield event
                if log is not None and self._cursor.epoch == log.epoch:
                    return
                if await self._has_ended() or self._local(self._run_id) is not log:
                    return

    async def _has_ended(self) -> bool:
        """Whether nothing more can come, as for one who asks for what is after the end."""
        if self._done:
            return True
        record = await self._journal.find(self._run_id)
        if record is None:
            raise RunNotFound(f"run {self._run_id} not found", metadata={"run_id": self._run_id})
        if record.state is RunState.RUNNING:
            return False
        self._done = not await self._journal.read(self._run_id, self._cursor, 1)
        return self._done

    async def _hints(self) -> AsyncGenerator[bool, None]:
        """Yield at once and whenever there may be news; True when a heartbeat time has gone by."""
        yield False
        loop = asyncio.get_running_loop()
        beat = loop.time()
        async with aclosing(self._journal.follow(self._run_id)) as follow:
            async for _ in follow:
                is_quiet = loop.time() - beat >= self._heartbeat_s
                beat = loop.time() if is_quiet else beat
                yield is_quiet
