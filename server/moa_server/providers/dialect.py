"""The port of a dialect: what an upstream's interface has of its own, so that one `HttpModel` can speak them all."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Generic, Protocol, TypeVar

from moa_server.domain.agent import Sampling
from moa_server.domain.model import ModelSpec, Prompt
from moa_server.providers.sse import ServerSentEvent
from moa_server.providers.transcript import Transcript

_TOOLS: Final = (
    "function_call",
    "functions",
    "mcp_servers",
    "parallel_tool_calls",
    "tool_choice",
    "tools",
)
"""What offers tools, in any dialect. None is offered: nobody would carry out what a model calls."""

_COUNTED: Final = (
    "best_of",
    "conversation",
    "input",
    "instructions",
    "max_completion_tokens",
    "max_output_tokens",
    "max_tokens",
    "messages",
    "n",
    "previous_response_id",
    "prompt",
    "system",
)
"""What is read and how much may be written, in any dialect. A budget holds only for what the house says of it."""


def check_body(body: Mapping[str, Any]) -> None:
    """Make sure that what an operator adds to each question can be added.

    Raises:
        ValueError: it offers tools, or has a call come to more than is counted.
    """
    if found := [name for name in _TOOLS if name in body]:
        raise ValueError(f"body: holds {found[0]}, and no model is offered tools; leave it out")
    if found := [name for name in _COUNTED if name in body]:
        why = "by which a call would come to more than is counted; leave it out, and say max_output or instructions"
        raise ValueError(f"body: holds {found[0]}, {why}")


@dataclass(frozen=True, slots=True)
class EndpointOptions:
    """The settings of a model under ``dialect`` that every dialect has."""

    path: str = ""
    """After the endpoint's address."""
    query: Mapping[str, str] = field(default_factory=dict)
    """Added to the address, such as an ``api-version``."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Sent with each question; no secrets."""
    key_header: str = "authorization"
    """The header that holds the key: after ``Bearer`` in ``authorization``, bare in any other."""
    body: Mapping[str, Any] = field(default_factory=dict)
    """Added to each question."""
    stream: bool = True
    """Whether answers are asked for as a stream; else they come whole, and only the total time counts."""

    def __post_init__(self) -> None:
        check_body(self.body)


class Listener(Protocol):
    """A dialect's understanding of one answer."""

    transcript: Transcript

    @property
    def over(self) -> bool:
        """Whether all that is wanted has come."""
        ...

    @property
    def finished(self) -> bool:
        """Whether what marks a complete answer has come."""
        ...

    def take(self, event: ServerSentEvent) -> None:
        """Take the next event.

        Raises:
            ModelError: the event tells of a failure.
            msgspec.DecodeError: it is none of the dialect's.
        """
        ...

    def take_whole(self, body: bytes) -> bool:
        """Take an answer that came in one piece, in place of events; tell whether it is one, and no error object.

        Raises:
            ModelError: it tells of a failure, or is longer than any answer may be.
            msgspec.DecodeError: it is none of the dialect's.
        """
        ...


@dataclass(frozen=True, slots=True)
class Taken:
    """What of an agent's settings an endpoint is sent, as far as that is known beforehand."""

    sampling: Sampling
    unsent: Mapping[str, str] = field(default_factory=dict)
    """Why the others are not, or not as they are: by their names, a clause that goes after "since"."""


def taken_but(sampling: Sampling, reasons: Mapping[str, str]) -> Taken:
    """Return the settings but for those that are not sent for these reasons, by their names."""
    unsent = {name: why for name, why in reasons.items() if name in sampling.given}
    return Taken(sampling.without(unsent), unsent)


Options = TypeVar("Options", bound=EndpointOptions)


@dataclass(frozen=True, slots=True)
class Dialect(Generic[Options]):
    """One upstream's interface."""

    options: type[Options]
    """A frozen dataclass of what the operator may set under ``dialect``; each field has a default and a docstring."""
    body: Callable[[ModelSpec, Options, Prompt], bytes]
    """Writes a prompt as the JSON of a request. What the dialect has no word for is left out."""
    listener: Callable[[ModelSpec, Options, Prompt], Listener]
    """Makes what understands the answer to a prompt."""
    headers: Callable[[Options], Mapping[str, str]] = lambda options: options.headers
    """Returns the headers of its own that go with each question."""
    takes: Callable[[Options, Sampling], Taken] = lambda _options, sampling: Taken(sampling)
    """Tells what of an agent's settings is sent: what the dialect has words for, by the rules of its house."""
    words: Mapping[str, str] = field(default_factory=dict)
    """The dialect's own words for what `Sampling` calls otherwise, as its endpoints name them when they refuse them."""
