"""What all turns of one run share."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from moa_server.domain.degradation import Degradation
from moa_server.domain.event import AnswerDelta, AnswerRestarted, Fact
from moa_server.domain.plan import Plan
from moa_server.domain.ports import Clock, Model
from moa_server.engine.records.run_log import RunLog
from moa_server.engine.records.writer import Writer, is_urgent
from moa_server.engine.runs.estimates import Estimates
from moa_server.engine.runs.spending import Spending


async def _at_once() -> None:
    """Wait for nothing."""


@dataclass(slots=True)
class AnswerText:
    """What has been shown of the answer."""

    pieces: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """All of it."""
        return "".join(self.pieces)


@dataclass(frozen=True, slots=True)
class RunContext:
    """One run's plan, and what it is carried out with."""

    run_id: str
    plan: Plan
    models: Mapping[str, Model]
    purse: Spending
    log: RunLog
    scribe: Writer
    clock: Clock
    deadline: float
    """Of the whole run, by asyncio's clock."""
    gather_s: float
    """How long pieces of text that somebody watches may be gathered."""
    estimates: Estimates = field(default_factory=Estimates)
    answer: AnswerText = field(default_factory=AnswerText)
    proposal_deltas: bool = False
    may_spend: Callable[[], bool] = lambda: True
    """Whether this server may make a paid call for the run."""
    until_it_may: Callable[[], Awaitable[None]] = _at_once
    """Waits until it may."""
    on_fact: Callable[[str, Fact], None] = lambda _mixture, _fact: None
    """Called with the mixture's name and each fact that is not shown at once."""

    def tell(self, fact: Fact) -> None:
        """Make a fact an event."""
        self.log.append(fact)
        urgent = is_urgent(fact)
        self.scribe.note(self.log, urgent=urgent)
        if urgent:
            self.on_fact(self.plan.mixture, fact)

    def write_answer(self, piece: str) -> None:
        """Show a piece of the answer."""
        self.answer.pieces.append(piece)
        self.tell(AnswerDelta(piece))

    def void_answer(self, why: Degradation) -> None:
        """Void what was shown of the answer."""
        self.answer.pieces.clear()
        self.tell(AnswerRestarted(why))
