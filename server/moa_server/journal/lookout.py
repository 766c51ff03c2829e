"""Watches, in one task for all followers, how far the runs are that other servers write."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from itertools import islice

from moa_server.domain.errors import JournalUnavailable
from moa_server.journal.followers import Followers

_BATCH = 500
Places = Mapping[str, object]
Look = Callable[[Sequence[str]], Awaitable[Places]]
"""Asks the store how far runs are, and what is asked of owners."""


@asynccontextmanager
async def look_out(followers: Followers, look: Look, every_s: float) -> AsyncIterator[None]:
    """Wake the followers of runs that have moved on, looking ``every_s`` seconds, while the context is open."""
    task = asyncio.create_task(_look_for_ever(followers, look, every_s), name="journal lookout")
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _look_for_ever(followers: Followers, look: Look, every_s: float) -> None:
    seen: dict[str, object] = {}
    while True:
        await asyncio.sleep(every_s)
        followed = iter(followers.names)
        places: dict[str, object] = {}
        while batch := list(islice(followed, _BATCH)):
            with suppress(JournalUnavailable):
                places |= await look(batch)
        followers.wake(run_id for run_id, place in places.items() if seen.get(run_id) != place)
        seen = places
