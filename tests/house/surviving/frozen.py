"""Callers of servers that are frozen, and when each of them noticed."""

import asyncio
import time
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

from moa import AsyncClient, AsyncStream
from moa.async_stream import AsyncCall
from moa.channel import open_async
from moa.requests import synthesize
from moa.resume import Resume
from moa.terms import Deadline
from moa.v1.moa_service_pb2 import WatchRunRequest
from moa.v1.moa_service_pb2_grpc import MoaServiceStub
from tests.house.surviving.fleet import PATIENCE_S, Fleet
from tests.house.surviving.watcher import Watcher


async def attached_to_all(fleet: Fleet) -> AsyncClient:
    """Return a caller of all servers, once each of them has its share of the calls."""
    client = await fleet.client()
    for _ in range(10):  # calls go to those alone that are connected
        await client.mixtures()
        await asyncio.sleep(0.02)
    return client


class Attachments:
    """Callers who start their runs at one server, and take them up again at others when it seems gone."""

    def __init__(self, target: str, *others: str) -> None:
        self.left_at: list[float] = []
        """When each call that watches a run again was made, by the monotonic clock."""
        self._targets = (target, f"ipv4:{','.join(others)}" if others else target)
        self._news = asyncio.Event()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        channels = [await self._stack.enter_async_context(open_async(one, None)) for one in self._targets]
        self._first, self._others = map(MoaServiceStub, channels)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def have_left(self, times: int) -> list[float]:
        """Wait until so many calls were made to take a run up again; return when, in order."""
        async with asyncio.timeout(PATIENCE_S):
            while len(self.left_at) < times:
                self._news.clear()
                await self._news.wait()
        return sorted(self.left_at)

    async def enter(self, question: str, mixture: str) -> Watcher:
        """Start a run and watch it until the end of the test."""
        request = synthesize(question, {"mixture": mixture})

        def attach(watching: WatchRunRequest | None, timeout: float | None) -> AsyncCall:
            if watching is None:
                return self._first.Synthesize(request, timeout=timeout)
            self.left_at.append(time.monotonic())
            self._news.set()
            return self._others.WatchRun(watching, timeout=timeout)

        stream = AsyncStream(Resume(Deadline.after(4 * PATIENCE_S)), attach)
        return await self._stack.enter_async_context(Watcher(stream))
