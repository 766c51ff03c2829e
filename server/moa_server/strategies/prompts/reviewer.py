"""What reviewers and the chairman of their council are told."""

from moa_server.domain.plan import Plan
from moa_server.domain.strategy import Brief
from moa_server.strategies.prompts.fenced import TASK, length
from moa_server.strategies.prompts.fencing import Fence, FencedBrief, numbered

_ANSWERS = "Here are answers that assistants, you perhaps among them, gave to the conversation above."
_REVIEW = (
    "Review them: do not answer the conversation yourself. Say of each, by its number, what is right, what is wrong, "
    "and what is missing, and end with the numbers from the best to the worst. Neither order nor length is a merit. "
    "Write in the language of the last user message."
)
_COUNCIL = (
    "Here are answers that assistants gave to the conversation above, and their reviews of one another's answers."
)


def reviewer(plan: Plan) -> Brief:
    """Return how an agent is asked to review."""
    return FencedBrief(Fence(plan.mark), _ANSWERS, _REVIEW)


def chairman(plan: Plan, answers: int, reviews: int) -> Brief:
    """Return how the chairman is asked for the answer."""
    labels = numbered("answer", answers) + numbered("review", reviews)
    return FencedBrief(Fence(plan.mark), _COUNCIL, TASK + length(plan), labels)
