"""A schema as it is carried out: what a value has to be, and which subschemas it and its parts are held to."""

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

_MOST_PATH: Final = 200
"""Characters of a path that are told: the names in it are the model's."""


class Misfit(NamedTuple):
    """That a value does not satisfy a subschema, and where within it. Where alternatives are tried, many are made."""

    keyword: str
    why: str
    """Goes on from "the value at this path"; never holds words of the answer."""
    at: "tuple[str | int, Misfit] | None" = None
    """The part of the value that is to blame, unless it is the value itself."""
    depth: int = 0

    def under(self, part: str | int) -> "Misfit":
        """Return it as the misfit of the value that has this part."""
        return Misfit(self.keyword, self.why, (part, self), self.depth + 1)

    @property
    def path(self) -> str:
        """Return where it is, as ``$.items[3].name``."""
        parts, size, at = ["$"], 1, self.at
        while at is not None and size <= _MOST_PATH:
            part, inner = at
            parts.append(f"[{part}]" if isinstance(part, int) else f".{part[:_MOST_PATH]}")
            size, at = size + len(parts[-1]), inner.at
        whole = "".join(parts)
        return whole if size <= _MOST_PATH else whole[:_MOST_PATH] + "…"


Assertion = Callable[[Any], str | None]
"""Judges a value at once, whatever its size: returns what is wrong with it."""
Walk = Generator["tuple[Subschema, Any] | int", Misfit | None, Misfit | None]
"""Judges a value by its parts: yields what a part is to be held to and receives how it fails, or yields a cost."""
Applicator = Callable[[Any], Walk]


@dataclass(slots=True, eq=False)
class Subschema:
    """One schema within another, or the whole."""

    place: str
    """Where it stands, as ``#/properties/name``."""
    cost: int = 1
    """Of one value held to it, its parts left out, in the steps of a check."""
    assertions: list[tuple[str, Assertion]] = field(default_factory=list)
    applicators: list[Applicator] = field(default_factory=list)
    parts: "list[Subschema]" = field(default_factory=list)
    """What items of a value are held to."""
    conjuncts: "list[Subschema]" = field(default_factory=list)
    """What the value itself is held to as well."""
    alternatives: "list[list[Subschema]]" = field(default_factory=list)
    """Of each group the value has to satisfy one."""
    conditions: "list[Subschema]" = field(default_factory=list)
    """What the value itself may be held to besides."""
    is_scalar: bool = False
    """Whether only texts, numbers, true, false and null can satisfy it."""

    @property
    def in_place(self) -> "list[Subschema]":
        """Return all that is asked of the same value."""
        return [*self.conjuncts, *(one for group in self.alternatives for one in group), *self.conditions]
