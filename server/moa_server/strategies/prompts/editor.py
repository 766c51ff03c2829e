"""What critics and editors are told."""

from moa_server.domain.plan import Plan
from moa_server.domain.strategy import Brief
from moa_server.strategies.prompts.fenced import length
from moa_server.strategies.prompts.fencing import Fence, FencedBrief, numbered

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


def critic(plan: Plan, drafts: int) -> Brief:
    """Return how a critic is asked."""
    return FencedBrief(Fence(plan.mark), _DRAFTS, _CRITICISE, numbered("draft", drafts))


def editor(plan: Plan, drafts: int, critiques: int, *, answers: bool = False) -> Brief:
    """Return how an editor is asked; the last one is told how long the answer should be."""
    opening = _REVIEWED if critiques else _DRAFTS
    labels = numbered("draft", drafts) + numbered("critique", critiques)
    return FencedBrief(Fence(plan.mark), opening, _EDIT + (length(plan) if answers else ""), labels)
