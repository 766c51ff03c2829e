"""The port of a dialect: what an upstream's interface has of its own, so that one `HttpModel` can speak them all."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

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


Options = TypeVar("Options", bound=RequestOptions)


@dataclass(frozen=True, slots=True)
class Dialect(Generic[Options]):
    """One upstream's interface."""

    options: type[Options]
    """A frozen dataclass of what the operator may set under ``dialect``; each field has a default and a docstring."""
    body: Callable[[ModelSpec, Options, Prompt], bytes]
    """Writes a prompt as the JSON of a request for a stream. What the dialect has no word for is left out."""
    listener: Callable[[ModelSpec, Options, Prompt], Listener]
    """Makes what understands the answer to a prompt."""
    headers: Callable[[Options], Mapping[str, str]] = lambda options: options.headers
    """Returns the headers of its own that go with each question."""
