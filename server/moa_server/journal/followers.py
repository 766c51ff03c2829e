"""Wakes those who wait for news of a run."""

import asyncio
from collections.abc import AsyncGenerator, Iterable


class Followers:
    """Who waits for news of which run, or owner. It has no tasks: each follower waits in its own."""

    def __init__(self, poll_s: float) -> None:
        """Wake every follower after ``poll_s`` at the latest."""
        self._poll_s = poll_s
        self._bells: dict[str, set[asyncio.Event]] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """The runs and owners that are followed."""
        return tuple(self._bells)

    def wake(self, run_ids: Iterable[str]) -> None:
        """Let the followers of these runs look."""
        for run_id in run_ids:
            for bell in self._bells.get(run_id, ()):
                bell.set()

    async def follow(self, run_id: str) -> AsyncGenerator[None, None]:
        """Yield at once, then whenever the run is woken, and after the poll's time in any case."""
        bell = asyncio.Event()
        self._bells.setdefault(run_id, set()).add(bell)
        try:
            while True:
                bell.clear()
                yield
                await self._rings(bell)
        finally:
            self._leave(run_id, bell)

    async def _rings(self, bell: asyncio.Event) -> None:
        try:
            async with asyncio.timeout(self._poll_s):
                await bell.wait()
        except TimeoutError:
            return

    def _leave(self, run_id: str, bell: asyncio.Event) -> None:
        bells = self._bells[run_id]
        bells.discard(bell)
        if not bells:
            del self._bells[run_id]
