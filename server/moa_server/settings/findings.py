"""Collects problems while sections become domain values."""

from collections.abc import Callable, Iterable
from typing import TypeVar

from moa_server.settings.nearest import unknown
from moa_server.settings.problem import Place, Problem

_Made = TypeVar("_Made")


class Findings:
    """The problems found so far."""

    def __init__(self, problems: Iterable[Problem] = ()) -> None:
        self.problems = list(problems)

    def add(self, place: Place, sentence: str) -> None:
        self.problems.append(Problem(place, sentence))

    def named(self, place: Place, kind: str, name: str, known: Iterable[str]) -> bool:
        """Tell whether a name is known, and note it if it is not."""
        names = set(known)
        if name not in names:
            self.add(place, unknown(kind, name, names))
        return name in names

    def once(self, place: Place, names: Iterable[str]) -> None:
        """Note every name that is there a second time."""
        seen = set[str]()
        for index, name in enumerate(names):
            if name in seen:
                self.add((*place, index), f"names {name!r} again; keep one")
            seen.add(name)

    def tried(self, place: Place, make: Callable[[], _Made]) -> _Made | None:
        """Return what is made, or note the ValueError of making it as a problem of this place."""
        try:
            return make()
        except ValueError as error:
            self.add(place, str(error))
            return None
