"""What differs between the endpoints that speak chat completions."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class OpenAIOptions:
    """The settings of a model under ``dialect``."""

    path: str = "/chat/completions"
    """After the endpoint's address."""
    query: Mapping[str, str] = field(default_factory=dict)
    """Added to the address, such as an ``api-version``."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Sent with each question; no secrets."""
    key_header: str = "authorization"
    """The header that holds the key: after ``Bearer`` in ``authorization``, bare in any other."""
    body: Mapping[str, Any] = field(default_factory=dict)
    """Added to each question."""
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    system_role: Literal["system", "developer"] = "system"
    sends_sampling: bool = True
    """Whether it takes temperature and top_p."""
    sends_penalties: bool = True
    sends_seed: bool = True
    sends_stop: bool = True
    usage_in_stream: bool = True
    """Whether usage is asked for in the stream."""
    reasoning_in_completion: bool = True
    """Whether its count of completion tokens holds the reasoning; else the total tells."""
    schema: Literal["json_schema", "json_object", "none"] = "json_schema"
    """How it is held to a JSON schema."""
    strict_schema: bool = True
    logprobs: bool = True
    """Whether it gives log-probabilities."""
    reasoning_fields: tuple[Literal["reasoning", "reasoning_content", "thinking"], ...] = (
        "reasoning",
        "reasoning_content",
    )
    """Where reasoning is that comes apart from the text; when it comes in several, the first counts."""
    think_tags: tuple[tuple[str, str], ...] = (("<think>", "</think>"),)
    """Between which text is reasoning."""
    begins_thinking: bool = False
    """Whether the opening tag is part of the prompt, so that only the closing one comes."""
    expects_done: bool = False
    """Whether ``[DONE]`` must come; else a finish reason will do."""

    def __post_init__(self) -> None:
        if not all(opening and closing for opening, closing in self.think_tags):
            raise ValueError("think_tags: a tag is empty")
        if self.begins_thinking and not self.think_tags:
            raise ValueError("begins_thinking: needs think_tags")
