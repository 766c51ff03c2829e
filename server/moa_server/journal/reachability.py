"""Tells whether a store can be reached: now, again, and for how long without a break."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import structlog

from moa_server.domain.errors import JournalUnavailable
from moa_server.domain.ports import Journal

_AGAIN_S = 0.5
"""How often the store is asked while it is away."""
_PROBE_S = 1.0
"""How often it is asked while it is there."""
_AWAY_S = 2.0
"""For how long it has to fail until it is away: others need not hear of what is over sooner."""
_LONGEST_S = 3.0
"""How long an answer is waited for: a disk or a network that hangs gives none."""

_logger = structlog.get_logger(__name__)


async def is_reached(journal: Journal) -> bool:
    """Tell whether the store takes writes.

    Raises:
        JournalCorrupted, JournalSealed, JournalTooNew: it answers, and this server can never work with it.
    """
    try:
        await _write_nothing(journal)
    except JournalUnavailable as error:
        if not error.passes:
            raise
        _logger.warning("journal.not_reached", detail=error.detail)
        return False
    return True


@asynccontextmanager
async def watching_store(journal: Journal, tell: Callable[[bool], None], *, reached: bool) -> AsyncIterator[None]:
    """Tell, while the context lasts, whenever the store has gone away or takes writes again.

    A store that takes none is away for whoever begins something, also if it can be read still: a file that is held by
    a process that is frozen, a database that has become a standby.
    """
    task = asyncio.create_task(_watch(journal, tell, is_there=reached), name="watch the journal")
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _watch(journal: Journal, tell: Callable[[bool], None], *, is_there: bool) -> None:
    clock = asyncio.get_running_loop().time
    failing_since: float | None = None
    while True:
        began = clock()
        try:
            await _write_nothing(journal)
        except JournalUnavailable as error:
            if failing_since is None:
                failing_since = began
            elif is_there and clock() - failing_since >= _AWAY_S:
                _logger.warning("journal.not_reached", detail=error.detail)
                is_there = False
                tell(is_there)
        else:
            failing_since = None
            if not is_there:
                _logger.info("journal.reached")
                is_there = True
                tell(is_there)
        await asyncio.sleep(_PROBE_S if failing_since is None else _AGAIN_S)


async def _write_nothing(journal: Journal) -> None:
    """Ask for a write that changes nothing.

    Raises:
        JournalUnavailable: the store takes none now.
    """
    try:
        async with asyncio.timeout(_LONGEST_S):
            await journal.release("", ())
    except TimeoutError:
        raise JournalUnavailable(f"the journal has not answered for {_LONGEST_S:g} s") from None


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
