"""The port of a dialect: what an upstream's interface has of its own, so that one `HttpModel` can speak them all."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Generic, Protocol, TypeVar

from moa_server.domain.model import ModelSpec, Prompt
from moa_server.providers.sse import ServerSentEvent
from moa_server.providers.transcript import Transcript


class RequestOptions(Protocol):
    """What the options of every dialect say of its requests."""

    @property
    def path(self) -> str:
        """After the endpoint's address."""
        ...

    @property
    def query(self) -> Mapping[str, str]:
        """Added to the address."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """Sent with each question."""
        ...

    @property
    def key_header(self) -> str:
        """The header that holds the key: after ``Bearer`` in ``authorization``, bare in any other."""
        ...

    @property
    def stream(self) -> bool:
        """Whether answers are asked for as a stream."""
        ...


_TOOLS: Final = (
    "function_call",
    "functions",
    "mcp_servers",
    "parallel_tool_calls",
    "tool_choice",
    "tools",
)
"""What offers tools, in any dialect. None is offered: nobody would carry out what a model calls."""


def check_body(body: Mapping[str, Any]) -> None:
    """Make sure that what an operator adds to each question can be added.

    Raises:
        ValueError: it offers tools.
    """
    if found := [name for name in _TOOLS if name in body]:
        raise ValueError(f"body: holds {found[0]}, and no model is offered tools; leave it out")


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


Options = TypeVar("Options", bound=RequestOptions)


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
