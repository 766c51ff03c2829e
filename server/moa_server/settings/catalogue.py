"""What the other rooms offer, for a configuration to choose from."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from moa_server.domain.strategy import Strategy


@dataclass(frozen=True, slots=True)
class KnownProvider:
    """A provider, or a preset of one."""

    endpoint: str = ""
    """Where it is when the file does not say; empty means that the file has to."""
    read_dialect: Callable[[Mapping[str, Any]], Mapping[str, Any]] = dict
    """Returns the provider's own settings, checked; raises ValueError with ``what is wrong; what would be right``."""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All there is to choose from."""

    providers: Mapping[str, KnownProvider]
    strategies: Mapping[str, Strategy[Any]]
    journals: frozenset[str] = frozenset({"memory"})
