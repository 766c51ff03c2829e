"""Makes values of the sections ``limits``, ``server``, ``telemetry`` and ``journal``."""

from collections.abc import Collection, Sequence
from pathlib import Path

from moa_server.domain.limits import Limits, Retention, RunTime
from moa_server.settings.address import checked, is_loopback
from moa_server.settings.catalogue import Catalogue
from moa_server.settings.findings import Findings
from moa_server.settings.problem import Place
from moa_server.settings.secret import opened
from moa_server.settings.server_section import (
    CallerSection,
    JournalSection,
    LimitsSection,
    ServerSection,
    TelemetrySection,
    TlsSection,
)
from moa_server.settings.settings import (
    Caller,
    JournalChoice,
    JournalSettings,
    MemoryJournal,
    PostgresJournal,
    ServerSettings,
    SqliteJournal,
    TelemetrySettings,
    Tls,
)

_AFTER_LONGEST_RUN_S = 60.0


def limits(section: LimitsSection, findings: Findings) -> Limits:
    """Return the limits of all runs."""
    if section.run_time.default > section.run_time.maximum:
        wrong = f"{section.run_time.default:g} s is more than the maximum of {section.run_time.maximum:g} s"
        findings.add(("limits", "run_time", "default"), f"{wrong}; lower it or raise the maximum")
    if section.message_size > section.request_size:
        wrong = f"{section.message_size} bytes are more than request_size, {section.request_size}"
        findings.add(("limits", "message_size"), f"{wrong}; lower it or raise the other")
    return Limits(
        run_time=RunTime(section.run_time.maximum, section.run_time.default),
        abandon_grace_s=section.abandon_grace,
        heartbeat_s=section.heartbeat,
        gather_window_s=section.gather_window,
        layer_wait_s=section.layer_wait,
        cancel_wait_s=section.cancel_wait,
        messages=section.messages,
        message_size=section.message_size,
        request_size=section.request_size,
        layers=section.layers,
        agents_per_layer=section.agents_per_layer,
        open_runs=section.open_runs,
        retention=Retention(
            section.retention.count,
            section.retention.bytes,
            section.retention.age,
            section.retention.content_age,
            section.retention.count_per_caller,
            section.retention.bytes_per_caller,
        ),
    )


class Server:
    """Makes the server's settings, given the mixtures there are and how long a run may take."""

    def __init__(self, folder: Path, mixtures: Collection[str], longest_run_s: float, findings: Findings) -> None:
        self._folder = folder
        self._mixtures = mixtures
        self._longest_run_s = longest_run_s
        self._findings = findings

    def settings(self, section: ServerSection) -> ServerSettings:
        """Return the settings; what is wrong with them is noted."""
        self._check_address(("server", "listen"), section.listen)
        if section.health_listen is not None:
            self._check_address(("server", "health_listen"), section.health_listen)
        self._check_open(section)
        made = (self._caller(name, caller) for name, caller in section.callers.items())
        callers = [caller for caller in made if caller is not None]
        self._check_tokens(callers)
        return ServerSettings(
            listen=section.listen,
            tls=self._tls(section.tls) if section.tls is not None else None,
            callers={caller.name: caller for caller in callers},
            reflection=section.reflection,
            drain_grace_s=section.drain_grace,
            max_connection_age_s=section.max_connection_age,
            max_connection_age_grace_s=self._age_grace(section),
            health_listen=section.health_listen,
        )

    def _check_address(self, place: Place, address: str) -> None:
        self._findings.tried(place, lambda: checked(address))

    def _check_open(self, section: ServerSection) -> None:
        if section.tls is None and not section.insecure_anywhere and not is_loopback(section.listen):
            wrong = f"without tls, whoever is on the way to {section.listen} reads and changes what is said"
            right = (
                "give server.tls, listen on 127.0.0.1, or set server.insecure_anywhere where something else encrypts"
            )
            self._findings.add(("server", "listen"), f"{wrong}; {right}")

    def _age_grace(self, section: ServerSection) -> float:
        least = self._longest_run_s
        given = section.max_connection_age_grace
        if given is not None and given < least:
            wrong = f"{given:g} s would cut off the longest run"
            right = f"write at least limits.run_time.maximum, {least:g} s"
            self._findings.add(("server", "max_connection_age_grace"), f"{wrong}; {right}")
        return given if given is not None else least + _AFTER_LONGEST_RUN_S

    def _check_tokens(self, callers: Sequence[Caller]) -> None:
        holders: dict[str, str] = {}
        for caller in callers:
            other = holders.setdefault(caller.token.reveal(), caller.name)
            if other != caller.name:
                wrong = f"is the same as that of {other}, so that nobody can tell who calls"
                self._findings.add(("server", "callers", caller.name, "token"), f"{wrong}; give each its own")

    def _tls(self, section: TlsSection) -> Tls:
        return Tls(
            self._file("cert", section.cert),
            self._file("key", section.key),
            self._file("client_ca", section.client_ca) if section.client_ca is not None else None,
        )

    def _file(self, key: str, name: str) -> Path:
        path = self._folder / name
        self._findings.tried(("server", "tls", key), lambda: _check_file(path))
        return path

    def _caller(self, name: str, section: CallerSection) -> Caller | None:
        place: Place = ("server", "callers", name)
        for index, mixture in enumerate(section.mixtures or ()):
            self._findings.named((*place, "mixtures", index), "mixture", mixture, self._mixtures)
        self._findings.once((*place, "mixtures"), section.mixtures or ())
        token = self._findings.tried((*place, "token"), lambda: opened(section.token, self._folder))
        return Caller(name, token, section.mixtures) if token is not None else None


def telemetry(section: TelemetrySection) -> TelemetrySettings:
    """Return what is told of the work."""
    return TelemetrySettings(section.log_level, section.log_form, section.record_texts)


def journal(section: JournalSection, catalogue: Catalogue, folder: Path, findings: Findings) -> JournalSettings:
    """Return where runs are kept, and how."""
    chosen = sorted(section.model_fields_set & {"memory", "sqlite", "postgres"})
    if len(chosen) > 1:
        findings.add(("journal",), f"names {' and '.join(chosen)}; keep one")
    for kind in chosen:
        findings.named(("journal", kind), "journal", kind, catalogue.journals)
    store = _store(section, folder, findings)
    return JournalSettings(store, section.ownership, section.most_owners, _key_file(section, folder, findings))


def _store(section: JournalSection, folder: Path, findings: Findings) -> JournalChoice:
    if section.sqlite is not None:
        return SqliteJournal(folder / section.sqlite.path, section.sqlite.durable)
    if section.postgres is not None:
        kept = section.postgres.dsn
        dsn = findings.tried(("journal", "postgres", "dsn"), lambda: opened(kept, folder))
        return PostgresJournal(dsn, section.postgres.transaction_pooling) if dsn is not None else MemoryJournal()
    return MemoryJournal()


def _key_file(section: JournalSection, folder: Path, findings: Findings) -> Path | None:
    if section.encryption is None:
        return None
    if section.sqlite is None and section.postgres is None:
        findings.add(("journal", "encryption"), "has nothing to seal, since runs are kept in memory; remove it")
    path = folder / section.encryption.keys.file
    findings.tried(("journal", "encryption", "keys", "file"), lambda: _check_file(path))
    return path


def _check_file(path: Path) -> bool:
    right = "name a file that this process may read"
    try:
        with path.open("rb") as file:
            empty = not file.read(1)
    except (OSError, ValueError):
        raise ValueError(f"{path} cannot be read; {right}") from None
    if empty:
        raise ValueError(f"{path} is empty; {right}")
    return True
