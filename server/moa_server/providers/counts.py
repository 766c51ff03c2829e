"""Checks the token counts that endpoints report; counts that contradict themselves are not believed."""

from typing import Final

from moa_server.domain import tokens
from moa_server.domain.model import ModelSpec, Prompt
from moa_server.domain.usage import Certainty, Usage

_MOST: Final = 1 << 40
"""More tokens than any call can have."""


def believable(usage: Usage) -> bool:
    """Tell whether counts can be true of an answered prompt."""
    return (
        0 < usage.input_tokens < _MOST
        and 0 <= usage.output_tokens < _MOST
        and 0 <= usage.cached_input_tokens <= usage.input_tokens
        and 0 <= usage.reasoning_tokens <= usage.output_tokens
    )


def estimate(spec: ModelSpec, prompt: Prompt, text: str, reasoning: str) -> Usage:
    """Return an upper estimate by what was sent and what came."""
    most = prompt.sampling.max_tokens or spec.max_output
    thought = tokens.of_text(reasoning)
    return Usage(
        input_tokens=tokens.of_messages(prompt.messages),
        output_tokens=min(tokens.of_text(text) + thought, most),
        reasoning_tokens=min(thought, most),
        certainty=Certainty.ESTIMATED,
    )
