"""What the operator may set for an endpoint that speaks Anthropic's Messages."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class AnthropicOptions:
    """The settings of a model under ``dialect``."""

    path: str = "/messages"
    """After the endpoint's address."""
    query: Mapping[str, str] = field(default_factory=dict)
    """Added to the address."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Sent with each question; no secrets."""
    key_header: str = "x-api-key"
    """The header that holds the key: after ``Bearer`` in ``authorization``, bare in any other."""
    version: str = "2023-06-01"
    """Of the interface."""
    body: Mapping[str, Any] = field(default_factory=dict)
    """Added to each question."""
    sends_sampling: bool = True
    """Whether it takes temperature and top_p."""
    schema: bool = True
    """Whether it can be held to a JSON schema."""
    prompt_cache: bool = False
    """Whether the endpoint is asked to cache what stands before the last turn. Writing to its cache costs more."""
