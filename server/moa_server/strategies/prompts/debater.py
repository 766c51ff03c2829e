"""What a debater is told."""

from moa_server.domain.plan import Plan
from moa_server.domain.strategy import Brief
from moa_server.strategies.prompts.fencing import Fence, FencedBrief, numbered

_OPENING = "Here are answers to the conversation above from the last round of a debate."
_TASK = (
    "Check every step of them, your own included. Change your mind where another is right, and keep to your answer "
    "where it holds, however many disagree. Then answer the last message before this note again, complete and in its "
    "language, as if you had answered alone: do not mention the other answers or this note."
)


def brief(plan: Plan, *, own: bool, others: int) -> Brief:
    """Return how a debater is shown its own answer, if it gave one, before those of others."""
    labels = (*(("your own answer",) if own else ()), *numbered("answer", others))
    return FencedBrief(Fence(plan.mark), _OPENING, _TASK, labels)
