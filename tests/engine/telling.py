"""Has stories carried out by an engine whose clock jumps, and keeps what was seen."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from moa_server.domain.budget import Budget
from moa_server.domain.conversation import Conversation
from moa_server.domain.errors import BudgetTooSmall
from moa_server.domain.event import (
    AgentFailed,
    AnswerDelta,
    AnswerRestarted,
    Event,
    LayerClosed,
    ProposalReceived,
    RunCancelled,
    RunFailed,
    Terminal,
)
from moa_server.domain.plan import Plan
from moa_server.domain.proposal import Answer, LayerResult
from moa_server.domain.query import Overrides, Query
from moa_server.domain.run import Ticket
from moa_server.domain.strategy import Layer
from moa_server.domain.usage import Usage
from moa_server.engine.engine import Engine
from moa_server.journal.memory import MemoryJournal
from moa_server.strategies import STRATEGIES
from tests.engine.fakes import user
from tests.engine.stories import Story, Teller, billed
from tests.strategies.driving import prompt_of

PATIENCE_S = 10_000.0
"""Of a clock that jumps: whoever waits so long waits for ever."""


@dataclass
class Told:
    """A story that was carried out."""

    story: Story
    models: dict[str, Teller]
    events: list[Event] = field(default_factory=list)

    @property
    def plan(self) -> Plan:
        return self.events[0].fact.plan  # type: ignore[union-attr]

    @property
    def end(self) -> Terminal:
        end = self.events[-1].fact
        assert isinstance(end, Terminal)
        return end

    @property
    def closed(self) -> list[LayerResult]:
        return [fact.layer for fact in self.facts(LayerClosed)]

    @property
    def billed(self) -> Usage:
        return billed(self.models)

    @property
    def was_cut_short(self) -> bool:
        """Whether agents were stopped with the run, so that no event tells what they used."""
        end = self.end
        return isinstance(end, RunCancelled) or (isinstance(end, RunFailed) and end.reason == "DEADLINE_EXCEEDED")

    def facts[F](self, kind: type[F]) -> list[F]: ...
