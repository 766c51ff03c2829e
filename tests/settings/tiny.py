"""A strategy and providers of the tests' own."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import yaml

from moa_server.domain.answer import Answer
from moa_server.domain.mixture import Roster
from moa_server.domain.model import Secret
from moa_server.domain.plan import Plan
from moa_server.domain.strategy import Call, Layer, OutlinedLayer, Rule, Strategy
from moa_server.settings import Choices, ConfigurationRefused, KnownProvider, Settings, load


@dataclass(frozen=True, slots=True)
class Options:
    """What the tiny strategy can be told."""

    mood: str = "calm"
    """How it feels."""
    keep: int = 3
    """How many it keeps."""
    steps: tuple[float, ...] = (1.0,)
    """How it goes."""

    def __post_init__(self) -> None:
        if self.keep < 1:
            raise ValueError("keep is too small; keep at least one")


def _run(plan: Plan, _options: Options) -> Rule:
    result = yield Layer(tuple(Call(agent) for agent in plan.roster.layers[0]), answers=True)
    assert result is not None
    return Answer.of(result.proposals[0])


def _outline(roster: Roster, _options: Options) -> tuple[OutlinedLayer, ...]:
    stages = [OutlinedLayer(agents) for agents in roster.layers]
    if roster.aggregator is not None:
        stages.append(OutlinedLayer((roster.aggregator,), answers=True))
    return tuple(stages)


def _problems(roster: Roster, _options: Options) -> Iterator[str]:
    if roster.aggregator is None:
        yield "has no aggregator; name one"


AGGREGATE = Strategy("aggregate", _run, _outline, _problems, Options)


@dataclass(frozen=True, slots=True)
class Dialect:
    """What differs between the tiny endpoints."""

    max_tokens_field: Literal["max_tokens", "most"] = "max_tokens"
    """What it calls the most tokens."""
    usage: bool = True
    """Whether it tells what was used."""
    think_tags: tuple[tuple[str, str], ...] = ()
    """Between which it thinks."""
    begins_thinking: bool = False
    """Whether it does so at once."""

    def __post_init__(self) -> None:
        if self.begins_thinking and not self.think_tags:
            raise ValueError("begins_thinking: needs think_tags; name them")


@dataclass(frozen=True, slots=True)
class MemoryKept:
    """A journal that ends with the process."""


@dataclass(frozen=True, slots=True)
class FileKept:
    """A journal in a file."""

    path: Path
    """The file."""
    durable: bool = True
    """Whether a write waits for the disk."""


@dataclass(frozen=True, slots=True)
class SharedKept:
    """A journal that servers share."""

    dsn: Secret
    """Where the connection string is kept."""


class Letters:
    """A tokenizer for which every character is a token."""

    @classmethod
    def read(cls, path: Path) -> Self:
        if path.read_text() == "broken":
            raise ValueError(f"{path} is no tokenizer.json")
        return cls()

    def count(self, text: str) -> int:
        return len(text)


CHOICES = Choices(
    providers={"openai": KnownProvider(Dialect), "local": KnownProvider(Dialect, "http://127.0.0.1:8000/v1")},
    strategies={"aggregate": AGGREGATE},
    journals={"memory": MemoryKept, "sqlite": FileKept, "postgres": SharedKept},
    read_keys=Path.read_text,
    read_tokenizer=Letters.read,
)


def plain() -> dict[str, Any]:
    """A small configuration that is sound."""
    return {
        "models": {"small": {"provider": "local"}},
        "agents": {"one": {"model": "small"}, "two": {"model": "small"}},
        "mixtures": {"pair": {"strategy": "aggregate", "layers": [["one", "two"]], "aggregator": "one"}},
    }


def write(folder: Path, text: str | bytes | dict[str, Any]) -> Path:
    """Put a configuration in place at once: whoever watches never sees half of it."""
    path = folder / "moa.yaml"
    if isinstance(text, dict):
        text = yaml.safe_dump(text, sort_keys=False)
    new = folder / "moa.yaml.new"
    new.write_bytes(text if isinstance(text, bytes) else text.encode())
    return new.replace(path)


def loaded(folder: Path, text: str | bytes | dict[str, Any]) -> Settings:
    return load(write(folder, text), CHOICES)


def refused(folder: Path, text: str | bytes | dict[str, Any]) -> list[str]:
    """The problems of a configuration; none when it is sound."""
    try:
        loaded(folder, text)
    except ConfigurationRefused as error:
        return [str(problem) for problem in error.problems]
    return []
