"""Keeps a run within its budget: what was used, and what the calls under way could use at the most."""

from moa_server.domain.budget import Budget
from moa_server.domain.errors import BudgetExceeded
from moa_server.domain.usage import Certainty, Usage


class Spending:
    """The budget of one run, and all that is taken from it."""

    def __init__(self, budget: Budget, spent: Usage = Usage(), lost: Usage = Usage()) -> None:
        """Begin with what was ``spent`` before, and the most that calls ``lost`` with their owners can have used."""
        self._budget = budget
        self._spent = spent
        self._lost = lost
        self._reserved = Usage()
        self._kept = Usage()

    @property
    def spent(self) -> Usage:
        """What all calls that are over have used; of lost ones, only their number is known."""
        return self._spent + unknown(self._lost.calls)

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

    def settle(self, worst: Usage, actual: Usage) -> None:
        """Replace what was set aside for a call by what it used.

        Of a call whose use is not known for certain, the rest stays set aside: the endpoint may bill it.
        """
        self._reserved = _without(self._reserved, worst)
        if actual.certainty is not Certainty.KNOWN:
            self._reserved += _rest(worst, actual)
        self._spent += actual


def unknown(calls: int) -> Usage:
    """Return calls that were made, and of which nobody knows what they used."""
    return Usage(calls=calls, certainty=Certainty.UNKNOWN, cost_nanousd=None) if calls else Usage()


def _check(name: str, total: int, allowed: int | None) -> None:
    if allowed is not None and total > allowed:
        raise BudgetExceeded(
            f"the next call could use more {name} than the budget of {allowed} has left",
            metadata={"limit": name, "allowed": str(allowed)},
        )


def _rest(worst: Usage, actual: Usage) -> Usage:
    """Return what a call could have used beyond what is taken for its use."""
    return Usage(
        input_tokens=max(worst.input_tokens - actual.input_tokens, 0),
        output_tokens=max(worst.output_tokens - actual.output_tokens, 0),
        cost_nanousd=max((worst.cost_nanousd or 0) - (actual.cost_nanousd or 0), 0),
    )


def _without(reserved: Usage, worst: Usage) -> Usage:
    return Usage(
        calls=reserved.calls - worst.calls,
        input_tokens=reserved.input_tokens - worst.input_tokens,
        output_tokens=reserved.output_tokens - worst.output_tokens,
        cost_nanousd=(reserved.cost_nanousd or 0) - (worst.cost_nanousd or 0),
    )
