"""Enters every physical call of one agent's turn: before it is made, and when it is over."""

import asyncio
from collections.abc import Callable
from datetime import datetime

from moa_server.domain import tokens
from moa_server.domain.errors import DeadlineExceeded, JournalUnavailable, ModelError
from moa_server.domain.model import AttemptKind, ModelSpec, Prompt
from moa_server.domain.ports import Clock
from moa_server.domain.proposal import Attempt
from moa_server.domain.usage import Usage
from moa_server.engine.runs.spending import Spending

_SHORTEST_CALL_S = 0.01
"""No endpoint answers within less; a call with less time left is not made."""


class TurnAccount:
    """The attempts of one agent's turn."""

    def __init__(self, purse: Spending, clock: Clock, deadline: float, may_spend: Callable[[], bool]) -> None:
        self._purse = purse
        self._clock = clock
        self._deadline = deadline
        self._may_spend = may_spend
        self.attempts: list[Attempt] = []

    @property
    def usage(self) -> Usage:
        """What the attempts that are over have used."""
        return sum((attempt.usage for attempt in self.attempts), Usage())

    def open(self, spec: ModelSpec, kind: AttemptKind, prompt: Prompt) -> "_Entry":
        """Enter a call that is about to be made."""
        if self._deadline - asyncio.get_running_loop().time() < _SHORTEST_CALL_S:
            raise DeadlineExceeded(f"no time is left to call {spec.name}")
        if not self._may_spend():
            raise JournalUnavailable("no call is paid for while the ownership of the run is in doubt")
        worst = worst_call(spec, prompt)
        self._purse.reserve(worst, extra=kind is not AttemptKind.FIRST)
        return _Entry(self, spec, kind, worst, self._clock.now())

    def enter(self, entry: "_Entry", attempt: Attempt) -> None:
        """Take a call that is over into the account."""
        self._purse.settle(entry.worst, attempt.usage)
        self.attempts.append(attempt)

    def now(self) -> datetime:
        """Return the moment."""
        return self._clock.now()


class _Entry:
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
        )
        self._account.enter(self, attempt)


def worst_call(spec: ModelSpec, prompt: Prompt) -> Usage:
    """Return the most that one call with this prompt can use."""
    return priced_worst(spec, tokens.of_messages(prompt.messages), prompt.sampling.max_tokens or spec.max_output)


def priced_worst(spec: ModelSpec, input_tokens: int, output_tokens: int) -> Usage:
    """Return one call with so many tokens at the dearest price."""
    cost = None
    if spec.price is not None:
        total = input_tokens * spec.price.dearest_input + output_tokens * spec.price.dearest_output
        cost = -(-total // 1_000_000)
    return Usage(calls=1, input_tokens=input_tokens, output_tokens=output_tokens, cost_nanousd=cost)


def priced(usage: Usage, spec: ModelSpec) -> Usage:
    """Return what one call used, with its cost."""
    cost = spec.price.cost_nanousd(usage) if spec.price is not None else None
    return Usage(
        1,
        usage.input_tokens,
        usage.output_tokens,
        usage.cached_input_tokens,
        usage.reasoning_tokens,
        usage.certainty,
        cost,
    )
