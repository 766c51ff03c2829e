"""The events of one run in one epoch, as its owner holds them while it is open.

Events are numbered here. Some may be shown at once, the others only when the journal has them; order is kept, so that
an event is never shown before the one ahead of it. Watchers hold no more than a place in this log.
"""

import asyncio
from collections.abc import Sequence

from moa_server.domain.event import (
    SHOWN_AT_ONCE,
    AnswerDelta,
    AnswerRestarted,
    Event,
    Fact,
    LayerClosed,
    ProposalDelta,
    Terminal,
)
from moa_server.domain.ports import Clock

_AWAITED = (AnswerDelta, AnswerRestarted, ProposalDelta, Terminal)
_UNHURRIED_S = 0.003
"""How long other facts may wait for company: each message costs wake-ups, and takes them from the run's next step."""


class Waiters:
    """Those who wait for one thing to happen."""

    __slots__ = ("_futures",)

    def __init__(self) -> None:
        self._futures: set[asyncio.Future[None]] = set()

    def wake(self) -> None:
        """Wake everyone who waits now."""
        futures, self._futures = self._futures, set()
        for future in futures:
            if not future.done():
                future.set_result(None)

    async def wait(self) -> None:
        """Wait until everyone is woken."""
        future = asyncio.get_running_loop().create_future()
        self._futures.add(future)
        try:
            await future
        finally:
            self._futures.discard(future)


class RunLog:
    """A run's events, numbered, and how far they are durable and shown."""

    def __init__(self, run_id: str, epoch: int, clock: Clock) -> None:
        self.run_id = run_id
        self.epoch = epoch
        self._clock = clock
        self._events: list[Event] = []
        self._durable = 0
        self._shown = 0
        self._told = 0
        """How much of what may be shown the watchers were woken for."""
        self._for_the_journal = Waiters()
        self._for_news = Waiters()
        self._later: asyncio.TimerHandle | None = None
        self.is_left = False
        """Whether nothing more comes, so that a watcher who has seen all of it has to look elsewhere."""
        self.has_closed_a_layer = False
        """Whether this owner has."""

    def append(self, fact: Fact) -> Event:
        """Number a fact."""
        event = Event(self.run_id, self.epoch, len(self._events) + 1, self._clock.now(), fact)
        self._events.append(event)
        if isinstance(fact, LayerClosed):
            self.has_closed_a_layer = True
        self._show()
        return event

    def pending(self) -> tuple[Event, ...]:
        """Return what the journal does not have yet."""
        return tuple(self._events[self._durable :])

    def settle(self, sequence: int) -> None:
        """Note that the journal has everything up to a number."""
        self._durable = max(self._durable, sequence)
        self._for_the_journal.wake()
        self._show()

    def rewind(self, sequence: int) -> None:
        """Note that the journal has lost everything after a number; what was shown stays shown."""
        self._durable = min(self._durable, sequence)

    def leave(self) -> None:
        """Tell watchers that nothing more comes from here."""
        self.is_left = True
        self._tell()

    def has_shown_beyond(self, sequence: int) -> bool:
        """Whether a watcher at that place may see more now."""
        return self._told > sequence

    def shown_after(self, sequence: int) -> Sequence[Event]:
        """Return what a watcher at that place may see now."""
        return self._events[sequence : self._told]

    async def news(self) -> None:
        """Wait until watchers are woken: they may see more, or nothing more comes, or a heartbeat is due."""
        await self._for_news.wait()

    def wake_watchers(self) -> None:
        """Let every watcher look, whether there is anything to see or not."""
        self._for_news.wake()

    async def durable(self) -> None:
        """Wait until the journal has all that has been appended so far."""
        wanted = len(self._events)
        while self._durable < wanted:
            await self._for_the_journal.wait()

    def _show(self) -> None:
        before = self._shown
        self._shown = max(self._shown, self._durable)
        while self._shown < len(self._events) and isinstance(self._events[self._shown].fact, SHOWN_AT_ONCE):
            self._shown += 1
        if self._shown == before:
            return
        if any(isinstance(event.fact, _AWAITED) for event in self._events[before : self._shown]):
            self._tell()
        elif self._later is None:
            # What nobody waits for word by word lets the run's own next step go first.
            self._later = asyncio.get_running_loop().call_later(_UNHURRIED_S, self._tell)

    def _tell(self) -> None:
        if self._later is not None:
            self._later.cancel()
            self._later = None
        self._told = self._shown
        self._for_news.wake()
