"""The shape of the file: the domain's own values where they stand in it as they are, and sections where they do not."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, make_dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, ClassVar

from moa_server.domain.agent import Agent
from moa_server.domain.limits import Limits
from moa_server.domain.mixture import Permissions, Rules
from moa_server.domain.model import ModelSpec
from moa_server.domain.operation import KnownCaller, Listening, Logging, Ownership
from moa_server.domain.quantities import AgentName, Length, Mark, MixtureName, Name, Range, StrategyName, Text
from moa_server.domain.usage import Budget
from moa_server.settings.units import is_loopback


@dataclass(frozen=True, slots=True)
class RepeatSection:
    """The same layer several times over."""

    repeat: Annotated[int, Range(least=1, most=64)]
    """How many times."""
    agents: tuple[AgentName, ...]
    """The agents of each of them."""


@dataclass(frozen=True, slots=True)
class MixtureSection:
    """A named recipe."""

    strategy: StrategyName
    """The rule that decides who speaks next."""
    description: Text = ""
    """One sentence for callers."""
    layers: tuple[AgentName | tuple[AgentName, ...] | RepeatSection, ...] = ()
    """Lists of agents. A plain list of names is one layer; {repeat, agents} is the same layer several times."""
    aggregator: AgentName | None = None
    """The agent that writes the answer, where the strategy has one."""
    roles: Mapping[Name, AgentName] = field(default_factory=dict)
    """Agents with a task of their own, such as judge, by the name of the task."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """The strategy's own settings."""
    rules: Rules = Rules()
    """What holds for every run."""
    budget: Budget = Budget()
    """Limits on one run."""
    allow: Permissions = Permissions()
    """What a caller may change."""


@dataclass(frozen=True, slots=True)
class ServerSection:
    """How callers reach the server."""

    listening: Annotated[Listening, Mark.FLAT] = Listening()
    insecure_anywhere: bool = False
    """Whether unencrypted connections are taken from other machines too."""
    callers: Mapping[Name, KnownCaller] = field(default_factory=dict)
    """Who may call, by name; when left out, everyone is anonymous."""

    def problems(self, longest_run_s: float) -> Iterator[str]:
        """Yield what cannot be: the field, what is wrong, what would be right."""
        listen, grace_s = self.listening.listen, self.listening.max_connection_age_grace_s
        if self.listening.tls is None and not self.insecure_anywhere and not is_loopback(listen):
            wrong = f"without tls, whoever is on the way to {listen} reads and changes what is said"
            right = (
                "give server.tls, listen on 127.0.0.1, or set server.insecure_anywhere where something else encrypts"
            )
            yield f"listen: {wrong}; {right}"
        if grace_s is not None and grace_s < longest_run_s:
            right = f"write at least limits.run_time.maximum, {longest_run_s:g} s"
            yield f"max_connection_age_grace_s: {grace_s:g} s would cut off the longest run; {right}"


@dataclass(frozen=True, slots=True)
class KeysSection:
    """Where keys are kept."""

    file: Annotated[Path, Mark.READABLE]
    """The file: 32 bytes in base64 a line. The first seals, all of them open, so that keys can be changed. Relative to
    the configuration file."""


@dataclass(frozen=True, slots=True)
class EncryptionSection:
    """How texts are sealed at rest."""

    keys: KeysSection
    """Where the keys are kept."""


@dataclass(frozen=True)
class JournalSection:
    """Where runs and their events are kept: exactly one of the kinds there are; when left out, the first."""

    KINDS: ClassVar[tuple[str, ...]] = ()
    """The keys that are kinds of journal, each with what can be said of it."""

    ownership: Annotated[Ownership, Mark.FLAT] = field(default_factory=Ownership)
    encryption: EncryptionSection | None = None
    """How texts are sealed at rest; when left out, they are not."""

    def chosen(self) -> Mapping[str, Any]:
        """Return what is said of each kind that is named."""
        said = {kind: getattr(self, kind) for kind in self.KINDS}
        return {kind: options for kind, options in said.items() if options is not None}


@dataclass(frozen=True)
class FileSection:
    """The configuration of a moa server."""

    models: Annotated[Mapping[Name, ModelSpec], Length(least=1)]
    """Upstream models by name."""
    agents: Annotated[Mapping[Name, Agent], Length(least=1)]
    """Voices by name."""
    mixtures: Annotated[Mapping[Name, MixtureSection], Length(least=1)]
    """Recipes by name."""
    default_mixture: MixtureName | None = None
    """The mixture of a query that names none; when left out, the first."""
    limits: Limits = Limits()
    """What no run and no caller goes beyond."""
    server: ServerSection = ServerSection()
    """How callers reach the server."""
    telemetry: Logging = Logging()
    """What is told of the work."""
    journal: JournalSection = field(default_factory=JournalSection)
    """Where runs and their events are kept; when left out, in memory."""


@cache
def file_section(journals: tuple[tuple[str, type[Any]], ...]) -> type[FileSection]:
    """Return the whole file where there are these kinds of journal, each by its key."""
    kinds = [(name, Annotated[options | None, None], None) for name, options in journals]
    names = tuple(name for name, _ in journals)
    text = f"Where runs and their events are kept: exactly one of {', '.join(names)}; when left out, {names[0]}."
    said: dict[str, Any] = {"KINDS": names, "__doc__": text}
    journal = make_dataclass("JournalSection", kinds, bases=(JournalSection,), namespace=said, frozen=True)
    whole = [("journal", journal, field(default_factory=journal))]
    told = {"__doc__": FileSection.__doc__}
    return make_dataclass("FileSection", whole, bases=(FileSection,), namespace=told, frozen=True)
