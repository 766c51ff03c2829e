"""Keeps a run within its budget: what was used, what the calls under way could use at the most, and who made them."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from moa_server.domain.errors import BudgetExceeded, DeadlineExceeded, JournalUnavailable, ModelError
from moa_server.domain.model import AttemptKind, ModelSpec, Prompt
from moa_server.domain.ports import Clock
from moa_server.domain.proposal import Attempt
from moa_server.domain.usage import Budget, Certainty, Usage
from moa_server.engine.plans.worst_case import UpperBounds, priced

_SHORTEST_CALL_S = 0.01
"""No endpoint answers within less; a call with less time left is not made."""


class Spending:
    """The budget of one run, and all that is taken from it."""

    def __init__(
        self, budget: Budget, spent: Usage = Usage(), lost: Usage = Usage(), set_aside: Usage = Usage()
    ) -> None:
        """Begin with what was ``spent`` and ``set_aside`` before, and the most that ``lost`` calls can have used."""
        self._budget = budget
        self._spent = spent
        self._lost = lost
        self._reserved = set_aside
        self._kept = Usage()

    @property
    def spent(self) -> Usage:
        """What all calls that are over have used; of lost ones, only their number is known."""
        return self._spent + Usage.unknown(self._lost.calls)

    def keep(self, planned: Usage) -> None:
        """Keep what the layers to come can use, so that no retry, hedge or stand-in takes it from them."""
        self._kept = planned

    def reserve(self, worst: Usage, *, extra: bool = False) -> None:
        """Set the worst case of a call aside; an extra one is made in addition to those that were planned.

        Raises:
            BudgetExceeded: it is more than is left.
        """
        total = self._spent + self._lost + self._reserved + worst + (self._kept if extra else Usage())
        _check("calls", total.calls, self._budget.calls)
        _check("tokens", total.tokens, self._budget.tokens)
        if self._budget.cost_nanousd is not None:
            if worst.cost_nanousd is None or total.cost_nanousd is None:
                raise BudgetExceeded("a call of unknown price cannot be kept within a limit of money")
            _check("cost_nanousd", total.cost_nanousd, self._budget.cost_nanousd)
        self._reserved += worst

    def settle(self, worst: Usage, actual: Usage) -> Usage:
        """Replace what was set aside for a call by what it used, and return what stays set aside.

        That is the rest of a call whose use is not known for certain: the endpoint may bill it.
        """
        rest = Usage() if actual.certainty is Certainty.KNOWN else _less(worst, actual)
        self._reserved = _less(self._reserved, worst) + rest
        self._spent += actual
        return rest


class TurnAccount:
    """The attempts of one agent's turn."""

    def __init__(
        self,
        spending: Spending,
        bounds: UpperBounds,
        clock: Clock,
        deadline: float,
        may_spend: Callable[[], bool],
        *,
        spares_others: bool = False,
    ) -> None:
        """Take calls from ``spending``; one that ``spares_others`` leaves them what they were planned to use."""
        self._spending = spending
        self._bounds = bounds
        self._clock = clock
        self._deadline = deadline
        self._may_spend = may_spend
        self._spares_others = spares_others
        self.attempts: list[Attempt] = []

    @property
    def usage(self) -> Usage:
        """What the attempts that are over have used."""
        return sum((attempt.usage for attempt in self.attempts), Usage())

    def open(self, spec: ModelSpec, kind: AttemptKind, prompt: Prompt) -> "TurnEntry":
        """Enter a call that is about to be made."""
        if self._deadline - asyncio.get_running_loop().time() < _SHORTEST_CALL_S:
            raise DeadlineExceeded(f"no time is left to call {spec.name}")
        if not self._may_spend():
            raise JournalUnavailable("no call is paid for while the ownership of the run is in doubt")
        worst = self._bounds.worst_call(spec, prompt)
        self._spending.reserve(worst, extra=self._spares_others or kind is not AttemptKind.FIRST)
        return TurnEntry(self, spec, kind, worst, self._clock.now())

    def enter(self, entry: "TurnEntry", attempt: Attempt) -> None:
        """Take a call that is over into the account."""
        rest = self._spending.settle(entry.worst, attempt.usage)
        self.attempts.append(replace(attempt, set_aside=rest))

    def now(self) -> datetime:
        """Return the moment."""
        return self._clock.now()


class TurnEntry:
    """A call that is under way."""

    def __init__(
        self, account: TurnAccount, spec: ModelSpec, kind: AttemptKind, worst: Usage, started: datetime
    ) -> None:
        self.worst = worst
        self._account = account
        self._spec = spec
        self._kind = kind
        self._started = started
        self._first_token: datetime | None = None

    def first_token(self) -> None:
        if self._first_token is None:
            self._first_token = self._account.now()

    def close(self, usage: Usage, *, served_model: str = "", failure: ModelError | None = None) -> None:
        attempt = Attempt(
            self._spec.name,
            self._kind,
            self._started,
            self._account.now(),
            self._first_token,
            served_model,
            failure.reason() if failure else "",
            priced(usage, self._spec),
            upstream_code=failure.upstream_code if failure else "",
        )
        self._account.enter(self, attempt)


def _check(name: str, total: int, allowed: int | None) -> None:
    if allowed is not None and total > allowed:
        raise BudgetExceeded(
            f"the next call could use more {name} than the budget of {allowed} has left",
            metadata={"limit": name, "allowed": str(allowed)},
        )


def _less(one: Usage, other: Usage) -> Usage:
    """Return what is left of one when the other is taken from it; never less than nothing."""
    return Usage(
        calls=max(one.calls - other.calls, 0),
        input_tokens=max(one.input_tokens - other.input_tokens, 0),
        output_tokens=max(one.output_tokens - other.output_tokens, 0),
        cost_nanousd=max((one.cost_nanousd or 0) - (other.cost_nanousd or 0), 0),
    )
