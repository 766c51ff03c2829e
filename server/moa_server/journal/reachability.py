"""Tells whether a store can be reached: now, again, and for how long without a break."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import structlog

from moa_server.domain.errors import JournalUnavailable
from moa_server.domain.ports import Journal

_AGAIN_S = 0.5

_logger = structlog.get_logger(__name__)


async def is_reached(journal: Journal) -> bool:
    """Tell whether the store answers.

    Raises:
        JournalCorrupted, JournalSealed, JournalTooNew: it does, and this server can never work with it.
    """
    try:
        await journal.find("")
    except JournalUnavailable as error:
        if not error.passes:
            raise
        _logger.warning("journal.not_reached", detail=error.detail)
        return False
    return True


@asynccontextmanager
async def telling(journal: Journal, tell: Callable[[bool], None], *, reached: bool) -> AsyncIterator[None]:
    """Tell, while the context lasts, whether runs can be kept here; ``reached`` is what is known at its beginning.

    They can once the store has answered, or has been brought up to this server, unless another process holds it up.
    What else goes wrong later is not told: no other server could do better, and callers come back to the runs that go
    on here.
    """

    async def first_answer() -> None:
        while True:
            try:
                await journal.find("")
            except JournalUnavailable:
                await asyncio.sleep(_AGAIN_S)
            else:
                _logger.info("journal.reached")
                return

    async def look_for_ever() -> None:
        if not reached:
            await first_answer()
            tell(True)  # noqa: FBT003 - the only thing that is told
        told = True
        while True:
            await asyncio.sleep(_AGAIN_S)
            if told is journal.is_held_up:
                told = not told
                _logger.warning("journal.held_up" if not told else "journal.let_go")
                tell(told)

    async with asyncio.TaskGroup() as group:
        looking = group.create_task(look_for_ever(), name="look whether the journal can be reached")
        try:
            yield
        finally:
            looking.cancel()


class Reachability:
    """For how long this server has reached its store, by the operations it made."""

    def __init__(self, settling_s: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Take the store for settled once it has answered for ``settling_s``, with no longer gap in between."""
        self._settling_s = settling_s
        self._monotonic = monotonic
        self._since: float | None = None
        self._last = float("-inf")

    def succeeded(self) -> None:
        """Note an answer of the store."""
        now = self._monotonic()
        # A gap counts as a break: a server that was frozen does not know what it missed.
        if self._since is None or now - self._last > self._settling_s:
            self._since = now
        self._last = now

    def failed(self) -> None:
        """Note that the store did not answer."""
        self._since = None

    @property
    def is_settled(self) -> bool:
        """Whether the silence of an owner now tells of the owner, and not of the store."""
        now = self._monotonic()
        return (
            self._since is not None and now - self._last <= self._settling_s and now - self._since >= self._settling_s
        )
