"""What is asked about an answer's certainty."""

import json

from moa_server.domain.plan import Plan
from moa_server.domain.strategy import Brief
from moa_server.strategies.prompts.fencing import Fence, FencedBrief

SCHEMA = json.dumps(
    {
        "type": "object",
        "properties": {"confidence": {"type": "number"}},
        "required": ["confidence"],
        "additionalProperties": False,
    }
)
_OPENING = "Here is an answer to the conversation above."
_TASK = (
    "Check it step by step: do not answer the conversation yourself. How likely is it that the answer is right and "
    'complete, from 0 to 1? Reply with JSON alone: {"confidence": 0.5}'
)


def brief(plan: Plan) -> Brief:
    """Return how a verifier is asked."""
    return FencedBrief(Fence(plan.mark), _OPENING, _TASK, ("answer",))
