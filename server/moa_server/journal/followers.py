"""Wakes those who wait for news of a run: this server's own, and those that other servers write."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from itertools import islice
from typing import Any

from moa_server.domain.errors import JournalUnavailable

POLL_S = 2.0
"""After which a follower looks in any case."""
_BATCH = 500

Look = Callable[[Sequence[str]], Awaitable[Mapping[str, object]]]
"""Asks the store how far runs are, and what is asked of owners."""


class Followers:
    """Who waits for news of which run, or owner. It has no tasks: each follower waits in its own."""

    def __init__(self, poll_s: float | None = None) -> None:
        """Wake every follower after ``poll_s`` at the latest."""
        self._poll_s = POLL_S if poll_s is None else poll_s
        self._waiting: dict[str, set[asyncio.Event]] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """The runs and owners that are followed."""
        return tuple(self._waiting)

    def wake(self, names: Iterable[str]) -> None:
        """Let the followers of these runs and owners look."""
        for name in names:
            for news in self._waiting.get(name, ()):
                news.set()

    async def follow(self, name: str) -> AsyncGenerator[None, None]:
        """Yield at once, then whenever the run is woken, and after the poll's time in any case."""
        news = asyncio.Event()
        self._waiting.setdefault(name, set()).add(news)
        try:
            while True:
                news.clear()  # before the follower looks: what comes while it does is looked for again
                yield
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._poll_s):
                        await news.wait()
        finally:
            self._waiting[name].discard(news)
            if not self._waiting[name]:
                del self._waiting[name]

    async def watch_store(self, look: Look, every_s: float) -> None:
        """Wake the followers of what has moved on in a store, looking every so many seconds until cancelled.

        One task looks for all followers, so that their number costs the store nothing.
        """
        seen: Mapping[str, object] = {}
        while True:
            await asyncio.sleep(every_s)
            followed = iter(self.names)
            places: dict[str, object] = {}
            while batch := list(islice(followed, _BATCH)):
                with suppress(JournalUnavailable):
                    places |= await look(batch)
            # What was not seen before counts as news: it may have moved on between its follower's look and this one.
            self.wake(name for name, place in places.items() if seen.get(name) != place)
            seen = places


@asynccontextmanager
async def in_background(work: Coroutine[Any, Any, None], name: str) -> AsyncIterator[None]:
    """Let work without an end be done in a task of its own while the context is open."""
    task = asyncio.create_task(work, name=name)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
