"""What routers and coordinators are told, who give work to agents by what these are good at, and what follows."""

from moa_server.domain import tokens
from moa_server.domain.agent import Agent
from moa_server.domain.conversation import Conversation
from moa_server.domain.plan import Plan
from moa_server.domain.strategy import Brief
from moa_server.strategies.parts.json_text import object_schema
from moa_server.strategies.prompts.fenced import Fence, FencedBrief, after_last_user, length, numbered

PICK_SCHEMA = object_schema(agents={"type": "array", "items": {"type": "integer"}}, reason={"type": "string"})
SUBTASKS_SCHEMA = object_schema(
    subtasks={
        "type": "array",
        "items": {
            "type": "object",
            "properties": {
                "agent": {"type": "integer"},
                "task": {"type": "string"},
                "needs": {"type": "array", "items": {"type": "integer"}},
            },
            "required": ["agent", "task", "needs"],
            "additionalProperties": False,
        },
    }
)
_RESULTS = "The work on the conversation above was split up. Here are the results."
_EARLIER = "Here are the results of earlier parts of this work."
_USE_THEM = "Use them for your part where they hold."
_COMBINE = (
    "Combine them into one answer to the last message before this note: check them, settle where they contradict one "
    "another, and fill what is missing. Answer in the language of the last user message. Write as if you had done all "
    "of it alone: do not mention parts, results or this note."
)


def _listed(agents: tuple[Agent, ...]) -> str:
    """Return what agents are good at, by numbers: a name would tell who is asked, and could be favoured."""
    return "\n".join(f"{number}. {', '.join(agent.labels)}" for number, agent in enumerate(agents, 1))


def strengths_tokens(agents: tuple[Agent, ...]) -> int:
    """Return the most tokens of the list of what agents are good at."""
    return tokens.of_text(_listed(agents))


def route(plan: Plan, pick: int) -> Conversation:
    """Return the conversation, and after it the question who should answer it."""
    said = (
        "You are a router: do not answer the conversation above yourself. Assistants with these strengths can:\n",
        _listed(plan.roster.layers[0]),
        (
            f"\nChoose the {pick} best fitted to answer its last message. Reply with JSON alone, the best first, and a "
            'reason of a few words: {"agents": [2], "reason": "..."}'
        ),
    )
    return after_last_user(plan.messages, "\n\n" + "".join(said))


def divide(plan: Plan, depth: int) -> Conversation:
    """Return the conversation, and after it the request to split the work."""
    said = (
        (
            "You are a coordinator: do not answer the conversation above yourself. Split the work on its last message "
            "into subtasks for these specialists:\n"
        ),
        _listed(plan.roster.layers[0]),
        (
            "\nEach subtask names one specialist by number, says what it has to do, and lists in needs the numbers of "
            "the earlier subtasks, counted from 1, whose results it has to read. A specialist does one subtask at a "
            f"time; all has to be done in at most {depth} steps one after the other. Reply with JSON alone: "
            '{"subtasks": [{"agent": 1, "task": "...", "needs": []}, {"agent": 2, "task": "...", "needs": [1]}]}'
        ),
    )
    return after_last_user(plan.messages, "\n\n" + "".join(said))


def repair(plan: Plan, problem: str) -> Brief:
    """Return how a coordinator is shown that its plan cannot be carried out."""
    opening = "Here is what you replied."
    return FencedBrief(Fence(plan.mark), opening, f"It cannot be used: {problem}. Reply again, right.", ("your reply",))


def subtask(plan: Plan, task: str) -> Conversation:
    """Return the conversation, and after it a specialist's part of the work."""
    told = (
        "The work on the conversation above was split up. Do only the part that stands between the two lines with the "
        f"mark {plan.mark}, in the language of the last user message; others do the rest."
    )
    return after_last_user(plan.messages, f"\n\n{told}\n\n" + Fence(plan.mark).around("part", task))


def earlier(plan: Plan, count: int) -> Brief:
    """Return how a specialist is shown what its part needs."""
    return FencedBrief(Fence(plan.mark), _EARLIER, _USE_THEM, numbered("result", count))


def combine(plan: Plan, count: int) -> Brief:
    """Return how the answer is asked for."""
    return FencedBrief(Fence(plan.mark), _RESULTS, _COMBINE + length(plan), numbered("result", count))
