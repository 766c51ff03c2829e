"""The default form: references behind a mark that nobody can guess, after the caller's messages."""

from moa_server.domain.plan import Plan
from moa_server.domain.strategy import Brief
from moa_server.strategies.prompts.fencing import Fence, FencedBrief, numbered, told_weights

OPENING = "Here are answers that other assistants gave to the conversation above."
TASK = (
    "Now give the one best answer to the last message before this note. Weigh the answers critically: some may be "
    "wrong, biased or incomplete, and several may share one mistake. Keep what holds, correct what does not, and add "
    "what is missing. Answer in the language of the last user message. Write as if you had answered alone: do not "
    "mention these answers, their numbers or this note."
)


def brief(plan: Plan, weights: tuple[float, ...] = (), *, answers: bool = False) -> Brief:
    """Return the form; the answering agent alone is told how long the answer should be."""
    labels = numbered("answer", len(weights))
    closing = TASK + told_weights(labels, weights) + (length(plan) if answers else "")
    return FencedBrief(Fence(plan.mark), OPENING, closing)


def length(plan: Plan) -> str:
    """Return what the answering agent is told about length."""
    return f" Keep to about {plan.rules.answer_words} words." if plan.rules.answer_words else ""
