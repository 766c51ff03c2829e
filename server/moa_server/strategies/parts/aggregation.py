"""Has an answer written from proposals: from all at once, or from a few at a time where they do not fit.

The sequential form keeps the prompt short: a running best takes in a few proposals with each call, and the last of
these calls is the answer.
"""

from moa_server.domain.agent import Agent
from moa_server.domain.answer import Answer
from moa_server.domain.errors import ModelWindowExceeded
from moa_server.domain.plan import Plan
from moa_server.domain.proposal import Proposal
from moa_server.domain.strategy import Call, Layer, OutlinedLayer
from moa_server.strategies.parts.sub_rule import SubRule, answer_by, ask, ask_one, fell_back
from moa_server.strategies.prompts import brief

_WINDOW = 3
"""How many texts are read at a time, the running best among them."""
_FEWEST = 3
"""As many proposals can be read fewer at a time."""
_LEAST_SHOWN = 192
"""Tokens of a proposal, below which it is better read whole in a call of its own."""
_TOO_LONG = frozenset({ModelWindowExceeded.reason()})


def aggregated(
    plan: Plan,
    aggregator: Agent,
    shown: tuple[Proposal, ...],
    *,
    weigh: bool = True,
    stand_ins: tuple[Proposal, ...] | None = None,
) -> SubRule[Answer]:
    """Have the answer written from proposals; the best of the ``stand_ins``, or of all, is it should that fail."""
    weights = tuple(proposal.weight for proposal in shown) if weigh else ()
    told = brief(plan, weights, answers=True)
    if not plan.rules.fold_when_too_long or len(shown) < _FEWEST:
        return (yield from answer_by(Call(aggregator, shown, told, response_schema=plan.response_schema), stand_ins))
    call = Call(aggregator, shown, told, response_schema=plan.response_schema, least_shown=_LEAST_SHOWN)
    result = yield from ask(Layer((call,), answers=True, returns=_TOO_LONG, stand_ins=stand_ins))
    if result.proposals:
        return Answer.of(result.proposals[0])
    yield fell_back(f"{len(shown)} proposals are too long to be read at once, so that a few are at a time")
    taken = _taken(len(shown))
    best, left, stand_ins = shown[:1], shown[1:], stand_ins or shown
    while len(left) > taken:
        merged = yield from ask_one(Call(aggregator, (*best, *left[:taken]), brief(plan)))
        if merged is not None:
            best = stand_ins = (merged,)
        else:  # asking again for what it was to take in could cost more calls than were planned
            yield fell_back(f"a merge failed, so that the {taken} proposals it was to take in are left out")
        left = left[taken:]
    told = brief(plan, answers=True)  # without weights, which a running best has no more
    last = Call(aggregator, (*best, *left), told, response_schema=plan.response_schema)
    return (yield from answer_by(last, stand_ins))


def outlined_answer(
    aggregator: Agent, count: int, looks_back: int = 1, *, of_one: bool = False
) -> tuple[OutlinedLayer, ...]:
    """Return the answer's place in an outline, where it is written from at most so many proposals."""
    merges = 0 if count < _FEWEST else -(-(count - 1) // _taken(count))
    # Each merge can still be shown what the first one could, and the running best besides.
    folds = (
        OutlinedLayer((aggregator,), looks_back + number, answers=number == merges, folds=True)
        for number in range(1, merges + 1)
    )
    return (OutlinedLayer((aggregator,), looks_back, answers=True, of_one=of_one), *folds)


def _taken(count: int) -> int:
    """Return how many of so many proposals are read beside the running best: fewer than all the others."""
    return min(_WINDOW, count - 1) - 1
