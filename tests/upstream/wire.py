"""What the upstream has to know of a dialect: its events, as bytes, and how a question is read."""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, in words that are the same for every dialect."""

    system: object
    """The system texts, as they were sent."""
    turns: Sequence[Mapping[str, Any]]
    """The others, each with a ``role`` and a ``content``; texts stand under ``text`` or are the content."""
    temperature: float | None
    top_p: float | None
    max_tokens: int | None
    stop: Sequence[str] | None
    schema: object
    """The JSON schema that the answer has to keep to, parsed."""
    streams: bool
    """Whether a stream is asked for."""

    @property
    def words(self) -> int:
        """How many words it has; anything that the caller can repeat will do for a count of tokens."""
        return _words(self.system) + _words(self.turns)


def _words(value: object) -> int:
    if isinstance(value, str):
        return len(value.split())
    if isinstance(value, list | tuple):
        return sum(_words(item) for item in value)
    if isinstance(value, dict):
        return _words(value.get("content")) + _words(value.get("text"))
    return 0


class Wire(ABC):
    """One answer of a dialect: every method returns what is sent."""

    path: ClassVar[str]
    """What the addresses of its questions end in."""
    key_header: ClassVar[str]
    """The header in which it looks for the key."""
    overload_status: ClassVar[str]
    """The status that an overload bears which is told inside a stream, by its error object alone."""
    not_allowed: ClassVar[str]
    """JSON that is none of its events."""
    takes_stop: ClassVar[bool] = True
    """Whether it has a word for stop sequences."""

    def __init__(self, model: str, input_tokens: int) -> None:
        self._model = model
        self._input_tokens = input_tokens

    @staticmethod
    @abstractmethod
    def asked(body: Mapping[str, Any]) -> Asked:
        """Read a question, which may lack anything."""

    @abstractmethod
    def opening(self) -> bytes:
        """Return what comes before the first token."""

    @abstractmethod
    def piece(self, text: str, logprob: float | None = None) -> bytes:
        """Return a token of the text."""

    @abstractmethod
    def reasoning(self, text: str, field: str) -> bytes:
        """Return a token of reasoning, in the field of this name if the dialect has several."""

    @abstractmethod
    def refusal(self, text: str) -> bytes:
        """Return the words of a model that declines."""

    @abstractmethod
    def usage(self, output_tokens: int, reasoning_tokens: int) -> dict[str, Any]:
        """Return honest counts."""

    @abstractmethod
    def closing(self, finish: str | None, usage: dict[str, Any] | None, *, done: bool) -> bytes:
        """Return what comes after the last token; ``finish`` is ``stop``, ``length``, ``content_filter`` or None."""

    @abstractmethod
    def whole(self, text: str, finish: str | None, usage: dict[str, Any] | None, reasoning: str = "") -> dict[str, Any]:
        """Return an answer in one piece, in place of a stream."""

    @abstractmethod
    def error(self, kind: str, message: str, code: str | int | None) -> dict[str, Any]:
        """Return an error object, the body of an answer that is a failure."""

    @abstractmethod
    def overload(self) -> bytes:
        """Return the event of an overload inside a stream."""


def event(data: object, name: str = "") -> bytes:
    """Return one server-sent event."""
    text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {text}\n\n".encode()
