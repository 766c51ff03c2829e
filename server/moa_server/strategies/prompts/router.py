"""What a router is told."""

import json

from moa_server.domain.agent import Agent
from moa_server.domain.conversation import Conversation
from moa_server.domain.plan import Plan
from moa_server.strategies.prompts.fencing import after_last_user

SCHEMA = json.dumps(
    {
        "type": "object",
        "properties": {
            "agents": {"type": "array", "items": {"type": "integer"}},
            "reason": {"type": "string"},
        },
        "required": ["agents", "reason"],
        "additionalProperties": False,
    }
)


def listed(agents: tuple[Agent, ...]) -> str:
    """Return what agents are good at, by neutral numbers."""
    return "\n".join(f"{number}. {', '.join(agent.labels)}" for number, agent in enumerate(agents, 1))


def asked(plan: Plan, pick: int) -> Conversation:
    """Return the conversation, and after it the question who should answer it."""
    said = (
        "You are a router: do not answer the conversation above yourself. Assistants with these strengths can:\n",
        listed(plan.roster.layers[0]),
        (
            f"\nChoose the {pick} best fitted to answer its last message. Reply with JSON alone, the best first, and a "
            'reason of a few words: {"agents": [2], "reason": "..."}'
        ),
    )
    return after_last_user(plan.messages, "\n\n" + "".join(said))
