"""What a run is carried out with: what is its own, and what all runs of the server share."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from moa_server.domain.degradation import Degradation
from moa_server.domain.event import AnswerDelta, AnswerRestarted, Fact, RunDegraded
from moa_server.domain.plan import Plan
from moa_server.domain.ports import Clock, Model
from moa_server.engine.plans.estimates import Estimates
from moa_server.engine.plans.worst_case import UpperBounds
from moa_server.engine.records.run_log import RunLog
from moa_server.engine.records.writer import Writer, is_urgent
from moa_server.engine.runs.spending import Spending


@dataclass(frozen=True, slots=True)
class ServerContext:
    """What all runs of this server share."""

    writer: Writer
    clock: Clock
    gather_s: float
    """How long pieces of text that somebody watches may be gathered."""
    on_fact: Callable[[str, Fact], None]
    """Called with the mixture's name and each fact that is not shown at once."""
    estimates: Estimates = field(default_factory=Estimates)
    """What was learned of how endpoints count tokens."""


@dataclass(frozen=True, slots=True)
class RunContext:
    """One run: its plan, and what belongs to it alone."""

    server: ServerContext
    plan: Plan
    models: Mapping[str, Model]
    """As they were offered when the run was opened: a reload does not change them under it."""
    log: RunLog
    spending: Spending
    deadline: float
    """Of the whole run, by asyncio's clock."""
    proposal_deltas: bool = False
    told: Counter[Degradation] = field(default_factory=Counter)
    """What earlier owners have told to be less than planned: it is not told again when it is found again."""
    _pieces: list[str] = field(default_factory=list)

    @property
    def bounds(self) -> UpperBounds:
        """What its calls are counted by."""
        return UpperBounds(self.models, self.server.estimates)

    @property
    def answer_text(self) -> str:
        """What has been shown of the answer."""
        return "".join(self._pieces)

    def tell(self, fact: Fact) -> None:
        """Make a fact an event."""
        self.log.append(fact)
        urgent = is_urgent(fact)
        self.server.writer.note(self.log, urgent=urgent)
        if urgent:
            self.server.on_fact(self.plan.mixture, fact)

    def degrade(self, degradation: Degradation) -> None:
        """Tell that the answer is going to be less than what was planned."""
        if self.told[degradation]:
            self.told[degradation] -= 1
        else:
            self.tell(RunDegraded(degradation))

    def write_answer(self, piece: str) -> None:
        """Show a piece of the answer."""
        self._pieces.append(piece)
        self.tell(AnswerDelta(piece))

    def void_answer(self, why: Degradation) -> None:
        """Void what was shown of the answer."""
        self._pieces.clear()
        self.tell(AnswerRestarted(why))
