"""An engine that does what a test says, for what a real one does not do on demand."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from moa_server.domain.event import AnswerDelta, Cursor, Event, Fact
from moa_server.domain.mixture import Roster, Rules
from moa_server.domain.plan import Plan, WorstCase
from moa_server.domain.query import Query
from moa_server.domain.run import RunRecord, RunState, Ticket
from moa_server.domain.usage import Budget

Watch = Callable[[str, Cursor], AsyncIterator[Event]]
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def plan() -> Plan:
    return Plan("mix", "aggregate", (), Roster(), (), WorstCase(1, 1, None), Budget(), Rules(), "mark", 1)


def event(sequence: int, fact: Fact) -> Event:
    return Event("run", 1, sequence, NOW, fact)


class ScriptedEngine:
    """Starts any run, and shows of it what the script yields."""

    def __init__(self, watch: Watch | None = None, *, refuse: BaseException | None = None) -> None:
        self._watch = watch
        self._refuse = refuse
        self.started: list[tuple[Query, Ticket, float | None]] = []
        self.watching = 0
        self.left = asyncio.Event()
        self.closed_with: list[float] = []

    async def start(self, query: Query, ticket: Ticket, time_s: float | None) -> RunRecord:
        self.started.append((query, ticket, time_s))
        if self._refuse is not None:
            raise self._refuse
        return RunRecord("run", ticket, plan(), RunState.RUNNING, 1, NOW)

    async def find(self, caller: str, *, run_id: str = "", request_id: str = "") -> RunRecord:
        return RunRecord("run", Ticket(caller, "", ""), plan(), RunState.RUNNING, 1, NOW)

    async def watch(self, run_id: str, after: Cursor) -> AsyncGenerator[Sequence[Event], None]:
        assert self._watch is not None
        self.watching += 1
        try:
            async for each in self._watch(run_id, after):
                yield (each,)
        finally:
            self.watching -= 1
            self.left.set()

    def mixtures(self) -> list[Any]:
        return []

    def open_runs(self) -> int:
        return 0

    async def close(self, grace_s: float) -> None:
        self.closed_with.append(grace_s)


async def endless(_run_id: str, _after: Cursor) -> AsyncIterator[Event]:
    """Speak as fast as is read, for ever."""
    sequence = 0
    while True:
        sequence += 1
        yield event(sequence, AnswerDelta("x" * 60_000))


async def silent(_run_id: str, _after: Cursor) -> AsyncIterator[Event]:
    yield event(1, AnswerDelta("first"))
    await asyncio.Event().wait()


async def cut(_run_id: str, _after: Cursor) -> AsyncIterator[Event]:
    yield event(1, AnswerDelta("first"))
