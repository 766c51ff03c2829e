"""The sections ``limits``, ``server``, ``telemetry`` and ``journal``: how the process behaves."""

from typing import Annotated, Literal

from pydantic import Field

from moa_server.domain.limits import Limits
from moa_server.settings.model_section import AtLeastOne
from moa_server.settings.quantities import Duration, Size, Span
from moa_server.settings.secret import SecretSection
from moa_server.settings.section import Maybe, Name, Names, Section

_LIMITS = Limits()
_Path = Annotated[str, Field(min_length=1, max_length=4096)]
_Address = Annotated[str, Field(min_length=1, max_length=256)]


class RunTimeSection(Section):
    """How long a run may take."""

    maximum: Span = _LIMITS.run_time.maximum_s
    """Whatever is asked."""
    default: Span = _LIMITS.run_time.default_s
    """Where nobody says."""


class RetentionSection(Section):
    """Which finished runs are kept; the oldest go first."""

    count: AtLeastOne = 10_000
    """How many."""
    bytes: Size = 256 * 1024 * 1024
    """How much their events may take together."""
    age: Span = 3600.0
    """For how long."""
    content_age: Maybe[Span] = None
    """For how long their messages and events are kept; their records and usage stay for ``age``. When left out, as
    long as they."""
    count_per_caller: Maybe[AtLeastOne] = None
    """How many of one caller; when left out, that alone does not limit them."""
    bytes_per_caller: Maybe[Size] = None
    """How much those of one caller may take; when left out, that alone does not limit them."""


class LimitsSection(Section):
    """What no run and no caller goes beyond."""

    run_time: RunTimeSection = RunTimeSection()
    """How long a run may take."""
    abandon_grace: Duration = _LIMITS.abandon_grace_s
    """How long a run goes on that nobody watches and that was not started detached."""
    heartbeat: Span = _LIMITS.heartbeat_s
    """How long a watcher hears nothing before it hears that the run is alive."""
    gather_window: Duration = _LIMITS.gather_window_s
    """How long pieces of text are gathered before they are passed on; the first is passed on at once."""
    layer_wait: Duration = _LIMITS.layer_wait_s
    """The longest a caller may wait for a layer to close."""
    cancel_wait: Duration = _LIMITS.cancel_wait_s
    """How long the answer to a cancellation waits for the run to end."""
    messages: AtLeastOne = _LIMITS.messages
    """The most messages of a conversation."""
    message_size: Size = _LIMITS.message_size
    """The largest message."""
    request_size: Size = _LIMITS.request_size
    """The largest request."""
    layers: AtLeastOne = _LIMITS.layers
    """The most layers of a plan, the answering one included."""
    agents_per_layer: AtLeastOne = _LIMITS.agents_per_layer
    """The most agents of a layer."""
    open_runs: AtLeastOne = _LIMITS.open_runs
    """The most runs under way; a further one is refused as overload."""
    retention: RetentionSection = RetentionSection()
    """Which finished runs are kept."""


class TlsSection(Section):
    """The server's certificate; the files are read again at every handshake."""

    cert: _Path
    """The file of its certificate chain, in PEM."""
    key: _Path
    """The file of its private key, in PEM."""
    client_ca: Maybe[_Path] = None
    """The file of the authorities that sign callers' certificates; given, every caller needs one."""


class CallerSection(Section):
    """One who may call."""

    token: SecretSection
    """Where the caller's bearer token is kept."""
    mixtures: Maybe[Names] = None
    """The mixtures it may use; when left out, all."""


class ServerSection(Section):
    """How callers reach the server."""

    listen: _Address = "127.0.0.1:50051"
    """Host and port; port 0 means any free one."""
    tls: Maybe[TlsSection] = None
    """The server's certificate; when left out, connections are not encrypted."""
    insecure_anywhere: bool = False
    """Whether unencrypted connections are taken from other machines too."""
    callers: dict[Name, CallerSection] = Field(default_factory=dict)
    """Who may call, by name; when left out, everyone is anonymous."""
    reflection: bool = True
    """Whether tools may ask for the contract."""
    drain_grace: Duration = 30.0
    """How long runs may go on after the server was told to stop."""
    max_connection_age: Maybe[Span] = None
    """After which callers are asked to connect anew, so that load spreads; when left out, never."""
    max_connection_age_grace: Maybe[Span] = None
    """How long streams may go on after that; when left out, the longest run and a minute."""
    health_listen: Maybe[_Address] = None
    """Host and port of an unencrypted health service for probes; when left out, only where callers call."""


class TelemetrySection(Section):
    """What is told of the work. Where traces go is said by the standard OTEL_* variables."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The least important lines that are logged."""
    log_form: Literal["auto", "json", "console"] = "auto"
    """JSON or readable lines; auto is readable on a terminal."""
    record_texts: bool = False
    """Whether prompts and answers are shown in logs and traces."""


class MemorySection(Section):
    """A journal that ends with the process."""


class SqliteSection(Section):
    """A journal in a file, for the servers of one machine: several processes may share it, several machines may not."""

    path: _Path
    """The file. Relative to the configuration file."""
    durable: bool = True
    """Whether a write waits for the disk. Without it a power cut may take the last writes; a crash takes none."""


class PostgresSection(Section):
    """A journal that servers share."""

    dsn: SecretSection
    """Where the connection string is kept."""
    transaction_pooling: bool = False
    """Whether a pooler in transaction mode stands before the database. News of runs on other servers then comes by
    looking alone, since no notification passes such a pooler, and every operation costs more round trips."""


class KeysSection(Section):
    """Where keys are kept."""

    file: _Path
    """The file: 32 bytes in base64 a line. The first seals, all of them open, so that keys can be changed. Relative to
    the configuration file."""


class EncryptionSection(Section):
    """How texts are sealed at rest."""

    keys: KeysSection
    """Where the keys are kept."""


class JournalSection(Section):
    """Where runs and their events are kept: exactly one of ``memory``, ``sqlite`` and ``postgres``."""

    memory: Maybe[MemorySection] = None
    """In the memory of the process."""
    sqlite: Maybe[SqliteSection] = None
    """In a file."""
    postgres: Maybe[PostgresSection] = None
    """In a database that servers share."""
    ownership: Annotated[Duration, Field(ge=0.3)] = 5.0
    """How long a server that has gone silent keeps its runs before others take them over. The same on all servers."""
    most_owners: AtLeastOne = 5
    """How many servers a run may have had; one that the next would take over has failed."""
    encryption: Maybe[EncryptionSection] = None
    """How texts are sealed at rest; when left out, they are not."""
