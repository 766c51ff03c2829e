"""What a configuration can choose from, and what it says: values that the house is built from."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from moa_server.domain.agent import Agent
from moa_server.domain.limits import Limits
from moa_server.domain.mixture import Mixture
from moa_server.domain.model import ModelSpec
from moa_server.domain.operation import KnownCaller, Listening, Logging, Ownership
from moa_server.domain.strategy import Strategy
from moa_server.domain.tokens import Tokenizer


@dataclass(frozen=True, slots=True)
class KnownProvider:
    """A provider, or a preset of one."""

    options: type[Any]
    """What can be said under ``dialect``: a frozen dataclass."""
    endpoint: str = ""
    """Where it is when the file does not say; empty means that the file has to."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Those of the options that the preset sets; the file's own come before them."""
    reasons: bool = False
    """Whether the current models at its own endpoint reason unless told not to."""


@dataclass(frozen=True, slots=True)
class Choices:
    """What the other rooms offer, for a configuration to choose from."""

    providers: Mapping[str, KnownProvider]
    strategies: Mapping[str, Strategy[Any]]
    journals: Mapping[str, type[Any]]
    """By its key, what can be said of each kind: a frozen dataclass. The first is the default, in memory."""
    read_keys: Callable[[Path], object]
    """Reads a file of the keys that seal texts at rest; raises ValueError if it holds none."""
    read_tokenizer: Callable[[Path], Tokenizer]
    """Reads a tokenizer.json; raises ValueError if it is none, or nothing here can read it."""
    gives_logprobs: Callable[[ModelSpec], bool] = lambda _: True
    """Tells whether a model gives the log-probabilities of its words."""


@dataclass(frozen=True, slots=True)
class JournalChoice:
    """Where runs are kept."""

    kind: str
    """The key of its kind."""
    options: Any
    """What is said of it: a value of the dataclass that the kind has for this."""
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
    listening: Listening
    callers: tuple[KnownCaller, ...]
    """Empty means that everyone is anonymous."""
    logging: Logging
    journal: JournalChoice
    ownership: Ownership
    without_signal: Mapping[str, tuple[Agent, ...]] = field(default_factory=dict)
    """By the names of mixtures, the agents that are to be judged by log-probabilities and whose models give none."""
