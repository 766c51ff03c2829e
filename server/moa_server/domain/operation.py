"""How the operator has the server run: where it listens, how it owns runs, and what it logs."""

import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from moa_server.domain.model import Secret
from moa_server.domain.quantities import AtLeastOne, Form, Length, Mark, MixtureName, PositiveSeconds, Range, Seconds

_ID_BYTES = 16
_MINUTE_S = 60.0

Address = Annotated[str, Form.ADDRESS, Length(least=1, most=256)]


@dataclass(frozen=True, slots=True)
class Tls:
    """The server's certificate; the files are read again at every handshake."""

    cert: Annotated[Path, Mark.READABLE]
    """The file of its certificate chain, in PEM."""
    key: Annotated[Path, Mark.READABLE]
    """The file of its private key, in PEM."""
    client_ca: Annotated[Path, Mark.READABLE] | None = None
    """The file of the authorities that sign callers' certificates; given, every caller needs one."""


@dataclass(frozen=True, slots=True)
class Listening:
    """How callers reach the server."""

    listen: Address = "127.0.0.1:50051"
    """Host and port; port 0 means any free one."""
    tls: Tls | None = None
    """The server's certificate; when left out, connections are not encrypted."""
    reflection: bool = True
    """Whether tools may ask for the contract."""
    health_listen: Address | None = None
    """Host and port of an unencrypted health service for probes; when left out, only where callers call."""
    drain_grace_s: Seconds = 30.0
    """How long runs may go on after the server was told to stop."""
    max_connection_age_s: PositiveSeconds | None = None
    """After which callers are asked to connect anew, so that load spreads; when left out, never."""
    max_connection_age_grace_s: PositiveSeconds | None = None
    """How long streams may go on after that; when left out, the longest run and a minute."""
    most_open_calls: Annotated[int, Mark.INTERNAL] = 10_000
    """Beyond it a call is refused as overload."""
    longest_write_s: Annotated[float, Mark.INTERNAL] = 30.0
    """How long a stream may go unread."""

    def age_grace_s(self, longest_run_s: float) -> float:
        """Return how long streams may go on after their connection has come of age."""
        given = self.max_connection_age_grace_s
        return longest_run_s + _MINUTE_S if given is None else given


@dataclass(frozen=True, slots=True)
class KnownCaller:
    """One who may call."""

    name: Annotated[str, Mark.OWN_NAME]
    token: Secret
    """Where the caller's bearer token is kept."""
    mixtures: Annotated[tuple[MixtureName, ...], Mark.DISTINCT] | None = None
    """The mixtures it may use; when left out, all."""


@dataclass(frozen=True, slots=True)
class Ownership:
    """How this server owns runs."""

    ownership_s: Annotated[float, Form.SECONDS, Range(least=0.3, most=366 * 86400)] = 5.0
    """How long a server that has gone silent keeps its runs before others take them over. The same on all servers."""
    busy_limit_s: PositiveSeconds = 30.0
    """How long the event loop may leave a question unanswered. Until then its runs stay this server's; after it the
    server ends itself, so that it is started anew and others go on with its runs."""
    most_owners: AtLeastOne | None = None
    """How many servers a run may have had, those that handed it over not counted; one that the next would take over
    has failed. When left out, any number, until its time is over."""
    lazy_s: Annotated[float, Mark.INTERNAL] = 0.1
    """How long events that were shown already may wait to be written."""
    owner: Annotated[str, Mark.INTERNAL] = field(default_factory=lambda: secrets.token_hex(_ID_BYTES), compare=False)
    """This server's name, never used again."""


@dataclass(frozen=True, slots=True)
class Logging:
    """What is told of the work. Where traces go is said by the standard OTEL_* variables."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The least important lines that are logged."""
    log_form: Literal["auto", "json", "console"] = "auto"
    """JSON or readable lines; auto is readable on a terminal."""
    record_texts: bool = False
    """Whether prompts and answers are shown in logs and traces."""
