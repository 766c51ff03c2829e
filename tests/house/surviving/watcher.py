"""Reads a run's events as a caller does, and holds them against what the journal kept."""

import asyncio
from collections.abc import Callable, Sequence
from itertools import pairwise
from types import TracebackType
from typing import Self

from moa import AsyncClient
from moa.async_stream import AsyncStream
from moa.v1.event_pb2 import Event
from tests.house.surviving.fleet import PATIENCE_S

TERMINAL = {"run_succeeded", "run_failed", "run_cancelled"}
AT_ONCE = {"run_started", "layer_started", "agent_started", "proposal_delta", "answer_delta"}


def kind(event: Event) -> str:
    return event.WhichOneof("fact") or ""


def place(event: Event) -> tuple[int, int]:
    return event.epoch, event.sequence


class Watcher:
    """A caller who reads a stream in the background."""

    def __init__(self, stream: AsyncStream) -> None:
        self._stream = stream
        self.events: list[Event] = []
        self._news = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._read())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._stream.aclose()

    @property
    def run_id(self) -> str:
        return self._stream.run_id

    async def seen(self, wanted: Callable[[Event], bool] | str, times: int = 1) -> Event:
        """Wait for the n-th event that is wanted."""
        is_wanted = (lambda event: kind(event) == wanted) if isinstance(wanted, str) else wanted
        async with asyncio.timeout(PATIENCE_S):
            while len(found := [event for event in self.events if is_wanted(event)]) < times:
                if self._task.done():
                    self._task.result()
                    raise AssertionError(f"{wanted} never came: {[kind(event) for event in self.events]}")
                self._news.clear()
                await self._news.wait()
        return found[times - 1]

    async def end(self) -> Event:
        """Wait for the end of the run."""
        async with asyncio.timeout(PATIENCE_S):
            await self._task
        return self.events[-1]

    async def _read(self) -> None:
        try:
            async for event in self._stream:
                self.events.append(event)
                self._news.set()
        finally:
            self._news.set()


async def kept(client: AsyncClient, run_id: str) -> list[Event]:
    """Return what the journal has of a run that has ended."""
    async with client.watch(run_id, timeout=PATIENCE_S) as stream:
        return [event async for event in stream]


def check_whole(seen: Sequence[Event], journal: Sequence[Event]) -> None:
    """Nothing kept was missed or doubled; what was shown and never kept is from an owner that was lost."""
    for events in (seen, journal):
        assert [kind(event) in TERMINAL for event in events] == [False] * (len(events) - 1) + [True]
        assert all(place(one) < place(next_one) for one, next_one in pairwise(events))
    for one, next_one in pairwise(seen):
        follows = (one.epoch, one.sequence + 1), (next_one.epoch, 1)
        assert place(next_one) == follows[0] or (next_one.epoch > one.epoch and next_one.sequence == 1)
    places = {place(event) for event in journal}
    assert [event for event in seen if place(event) in places] == list(journal)
    extra = [event for event in seen if place(event) not in places]
    assert all(kind(event) in AT_ONCE and event.epoch < journal[-1].epoch for event in extra)
