"""What the upstream saw: every call, when it opened, what was sent, and how it ended."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.upstream.wire import Asked


@dataclass(slots=True)
class Call:
    """One request, as the upstream saw it. Moments are by asyncio's clock."""

    number: int
    """From 0, in the order of arrival."""
    connection: int
    """Which connection it came on, from 0."""
    path: str
    """With its query."""
    headers: Mapping[str, str]
    """By lower-case name."""
    body: Any
    """Parsed JSON, or None when it was none."""
    asked: Asked
    """The question in it, in words that are the same for every dialect."""
    opened: float
    first_byte: float | None = None
    """When the first byte of the answer was sent."""
    closed: float | None = None
    """When it ended, however."""
    aborted: float | None = None
    """When the caller went away before the end."""
    tokens_sent: int = 0
    """Pieces of text or reasoning that were written to the socket."""
    reported: dict[str, Any] | None = field(default=None)
    """The usage that was sent, if any."""

    @property
    def input_tokens(self) -> int:
        """What the upstream counts for the prompt."""
        return self.asked.words

    @property
    def model(self) -> str:
        """The model that was asked for."""
        return str(self.body.get("model", "")) if isinstance(self.body, dict) else ""

    @property
    def open(self) -> bool:
        """Whether it is still under way."""
        return self.closed is None
