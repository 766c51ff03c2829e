"""What a field of a configured value takes where its type does not say: its unit, its range, its key in the file.

It stands in `Annotated` at the field, once; from there the room of settings derives how the field is read, checked and
described.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Annotated


class Form(Enum):
    """How a value is written."""

    SECONDS = "seconds"
    """As seconds, or a text such as 500ms, 5s or 2m. Such a field ends in ``_s``, and its key does not."""
    BYTES = "bytes"
    """As bytes, or a text such as 64KiB or 1MiB."""
    NANODOLLARS = "nanodollars"
    """As US dollars, kept as billionths of one."""
    NAME = "name"
    """As models, agents, mixtures and callers are called."""
    URL = "url"
    """As the base URL of an endpoint."""
    ADDRESS = "address"
    """As host and port. It is looked at once all is read, so that what else is wrong with it is told as well."""


class Mark(Enum):
    """What else there is to say of a field."""

    OWN_NAME = "own name"
    """It is the key under which the whole value stands."""
    INTERNAL = "internal"
    """It is not the operator's to say."""
    FLAT = "flat"
    """The keys of its value stand among those of the value that holds it."""
    ALONE = "alone"
    """It may be written alone, in the place of the value that holds it."""
    OR_ALL = "or all"
    """It may be written as ``all``, meaning every name there is."""
    DISTINCT = "distinct"
    """No name stands in it twice."""
    PRINTED = "printed"
    """It may also be what a program prints, again and again."""
    READABLE = "readable"
    """It is a file that has to be there, with something in it."""


@dataclass(frozen=True, slots=True)
class Range:
    """The numbers that are taken."""

    least: float | None = None
    above: float | None = None
    most: float | None = None
    below: float | None = None


@dataclass(frozen=True, slots=True)
class Length:
    """How many characters a text, or entries a list, may have."""

    least: int = 0
    most: int | None = None


@dataclass(frozen=True, slots=True)
class Called:
    """The key of a field that has another name in the file."""

    key: str


@dataclass(frozen=True, slots=True)
class Words:
    """The two words that a truth is written as."""

    true: str
    false: str


@dataclass(frozen=True, slots=True)
class NameOf:
    """What is named; the file, or the server, has to have one of that name."""

    kind: str


_YEAR_S = 366 * 86400

Seconds = Annotated[float, Form.SECONDS, Range(least=0, most=_YEAR_S)]
"""Zero or more."""
PositiveSeconds = Annotated[float, Form.SECONDS, Range(above=0, most=_YEAR_S)]
"""More than nothing."""
Bytes = Annotated[int, Form.BYTES, Range(least=1, most=2**40)]
Nanodollars = Annotated[int, Form.NANODOLLARS]
Count = Annotated[int, Range(least=0, most=1_000_000)]
AtLeastOne = Annotated[int, Range(least=1, most=1_000_000)]
Tokens = Annotated[int, Range(least=1, most=100_000_000)]
Share = Annotated[float, Range(least=0, most=1)]
Text = Annotated[str, Length(most=100_000)]
Name = Annotated[str, Form.NAME]
ProviderName = Annotated[Name, NameOf("provider")]
ModelName = Annotated[Name, NameOf("model")]
AgentName = Annotated[Name, NameOf("agent")]
StrategyName = Annotated[Name, NameOf("strategy")]
MixtureName = Annotated[Name, NameOf("mixture")]
