"""How the operator has the server run: where it listens, how it owns runs, and what it logs."""

import secrets
from dataclasses import dataclass, field
from pathlib import Path

_ID_BYTES = 16


@dataclass(frozen=True, slots=True)
class Tls:
    """The server's certificate; the files are read again at every handshake."""

    cert: Path
    """The file of its certificate chain, in PEM."""
    key: Path
    """The file of its private key, in PEM."""
    client_ca: Path | None = None
    """The file of the authorities that sign callers' certificates; given, every caller needs one."""


@dataclass(frozen=True, slots=True)
class Listening:
    """How callers reach the server."""

    listen: str = "127.0.0.1:50051"
    """Host and port; port 0 means any free one."""
    tls: Tls | None = None
    """The server's certificate; when left out, connections are not encrypted."""
    reflection: bool = True
    """Whether tools may ask for the contract."""
    health_listen: str | None = None
    """Host and port of an unencrypted health service for probes; when left out, only where callers call."""
    drain_grace_s: float = 30.0
    """How long runs may go on after the server was told to stop."""
    max_connection_age_s: float | None = None
    """After which callers are asked to connect anew, so that load spreads; when left out, never."""
    max_connection_age_grace_s: float = 660.0
    """How long streams may go on after that: at least as long as the longest run."""
    most_open_calls: int = 10_000
    """Beyond it a call is refused as overload."""
    longest_write_s: float = 30.0
    """How long a stream may go unread."""


@dataclass(frozen=True, slots=True)
class Ownership:
    """How this server owns runs."""

    ownership_s: float = 5.0
    """How long a server that has gone silent keeps its runs before others take them over. The same on all servers."""
    most_owners: int = 5
    """How many servers a run may have had; one that the next would take over has failed."""
    lazy_s: float = 0.1
    """How long events that were shown already may wait to be written."""
    owner: str = field(default_factory=lambda: secrets.token_hex(_ID_BYTES))
    """This server's name, never used again."""


@dataclass(frozen=True, slots=True)
class Logging:
    """What is told of the work. Where traces go is said by the standard OTEL_* variables."""

    log_level: str = "info"
    """The least important lines that are logged."""
    log_form: str = "auto"
    """JSON or readable lines; auto is readable on a terminal."""
    record_texts: bool = False
    """Whether prompts and answers are shown in logs and traces."""
