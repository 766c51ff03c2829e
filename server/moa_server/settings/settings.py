"""What a configuration says, as values that the house is built from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from moa_server.domain.agent import Agent
from moa_server.domain.limits import Limits
from moa_server.domain.mixture import Mixture
from moa_server.domain.model import ModelSpec, Secret


@dataclass(frozen=True, slots=True)
class Tls:
    """The files of the server's certificate."""

    cert: Path
    key: Path
    client_ca: Path | None = None
    """Given, every caller needs a certificate signed by one of these."""


@dataclass(frozen=True, slots=True)
class Caller:
    """One who may call."""

    name: str
    token: Secret
    mixtures: tuple[str, ...] | None = None
    """The mixtures it may use; None means all."""


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """How callers reach the server."""

    listen: str
    tls: Tls | None = None
    callers: Mapping[str, Caller] = field(default_factory=dict)
    """Empty means that everyone is anonymous."""
    reflection: bool = True
    drain_grace_s: float = 30.0
    max_connection_age_s: float | None = None
    max_connection_age_grace_s: float = 660.0
    health_listen: str | None = None


@dataclass(frozen=True, slots=True)
class TelemetrySettings:
    """What is told of the work."""

    log_level: str = "info"
    log_form: str = "auto"
    """``auto``, ``json`` or ``console``."""
    record_texts: bool = False


@dataclass(frozen=True, slots=True)
class MemoryJournal:
    """Runs are kept in the memory of the process."""

    kind: ClassVar[str] = "memory"


@dataclass(frozen=True, slots=True)
class SqliteJournal:
    """Runs are kept in a file."""

    kind: ClassVar[str] = "sqlite"
    path: Path
    durable: bool = True


@dataclass(frozen=True, slots=True)
class PostgresJournal:
    """Runs are kept in a database that servers share."""

    kind: ClassVar[str] = "postgres"
    dsn: Secret
    transaction_pooling: bool = False


JournalChoice = MemoryJournal | SqliteJournal | PostgresJournal


@dataclass(frozen=True, slots=True)
class JournalSettings:
    """Where runs are kept, and how servers own them."""

    store: JournalChoice = MemoryJournal()
    ownership_s: float = 5.0
    most_owners: int = 5
    key_file: Path | None = None
    """Given, texts are sealed at rest."""


@dataclass(frozen=True, slots=True)
class Settings:
    """All that a configuration says, checked."""

    models: Mapping[str, ModelSpec]
    agents: Mapping[str, Agent]
    """All of them; a caller may be allowed to name some that are not in the mixture's own layers."""
    mixtures: Mapping[str, Mixture]
    default_mixture: str
    limits: Limits
    server: ServerSettings
    telemetry: TelemetrySettings
    journal: JournalSettings
