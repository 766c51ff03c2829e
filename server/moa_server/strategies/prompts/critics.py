"""What those are told who read others' answers: debaters, critics and editors, reviewers and their chairman."""

from moa_server.domain.plan import Plan
from moa_server.domain.strategy import Brief
from moa_server.strategies.prompts.fenced import TASK, Fence, FencedBrief, length, numbered

_DEBATED = "Here are answers to the conversation above from the last round of a debate."
_DEBATE = (
    "Check every step of them, your own included. Change your mind where another is right, and keep to your answer "
    "where it holds, however many disagree. Then answer the last message before this note again, complete and in its "
    "language, as if you had answered alone: do not mention the other answers or this note."
)
_DRAFTS = "Here is what was drafted as an answer to the conversation above."
_REVIEWED = "Here is what was drafted as an answer to the conversation above, and what critics say of it."
_CRITICISE = (
    "Criticise it: name what is wrong, missing, unclear or too much, each with its place and what would be right. "
    "Do not write it anew. Write in the language of the last user message."
)
_EDIT = (
    "Write the answer to the last message before this note, better than what was drafted: follow the criticism where "
    "it is right, keep what is good, and check what nobody checked. Answer in the language of the last user message. "
    "Give the answer alone: do not mention drafts, critics or this note."
)
_ANSWERS = "Here are answers that assistants, you perhaps among them, gave to the conversation above."
_REVIEW = (
    "Review them: do not answer the conversation yourself. Say of each, by its number, what is right, what is wrong, "
    "and what is missing, and end with the numbers from the best to the worst. Neither order nor length is a merit. "
    "Write in the language of the last user message."
)
_COUNCIL = (
    "Here are answers that assistants gave to the conversation above, and their reviews of one another's answers."
)


def debater(plan: Plan, *, own: bool, others: int) -> Brief:
    """Return how a debater is shown its own answer, if it gave one, before those of others."""
    labels = (*(("your own answer",) if own else ()), *numbered("answer", others))
    return FencedBrief(Fence(plan.mark), _DEBATED, _DEBATE, labels)


def critic(plan: Plan, drafts: int) -> Brief:
    """Return how a critic is asked."""
    return FencedBrief(Fence(plan.mark), _DRAFTS, _CRITICISE, numbered("draft", drafts))


def editor(plan: Plan, drafts: int, critiques: int, *, answers: bool = False) -> Brief:
    """Return how an editor is asked; the last one is told how long the answer should be."""
    opening = _REVIEWED if critiques else _DRAFTS
    labels = numbered("draft", drafts) + numbered("critique", critiques)
    return FencedBrief(Fence(plan.mark), opening, _EDIT + (length(plan) if answers else ""), labels)


def reviewer(plan: Plan) -> Brief:
    """Return how an agent is asked to review."""
    return FencedBrief(Fence(plan.mark), _ANSWERS, _REVIEW)


def chairman(plan: Plan, answers: int, reviews: int) -> Brief:
    """Return how the chairman is asked for the answer."""
    labels = numbered("answer", answers) + numbered("review", reviews)
    return FencedBrief(Fence(plan.mark), _COUNCIL, TASK + length(plan), labels)
