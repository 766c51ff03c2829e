"""What is wrong with a configuration: every problem by the path to its key, all of them at once."""

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from difflib import get_close_matches

_PLAIN = re.compile(r"[A-Za-z0-9_-]+")
_MOST_LISTED = 12

Place = tuple[str | int, ...]
"""The keys and indexes that lead to a value, from the root of the file."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong."""

    place: Place
    sentence: str
    """What is wrong; what would be right."""

    def __str__(self) -> str:
        return f"{written(self.place)}: {self.sentence}"


class Problems:
    """The problems found so far, while the file becomes settings."""

    def __init__(self, found: Iterable[Problem] = ()) -> None:
        self.found = list(found)

    def add(self, place: Place, sentence: str) -> None:
        self.found.append(Problem(place, sentence))

    def under(self, place: Place) -> bool:
        """Tell whether something is wrong at a place or below it."""
        return any(problem.place[: len(place)] == place for problem in self.found)

    def tried(self, place: Place, check: Callable[[], object]) -> None:
        """Note the ValueError of a check as a problem of a place."""
        try:
            check()
        except ValueError as error:
            self.add(place, str(error))


class ConfigurationRefused(Exception):
    """The configuration cannot be served."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(dict.fromkeys(problems))
        super().__init__("\n".join(str(problem) for problem in self.problems))


def written(place: Place) -> str:
    """Return a place as people write it, such as ``mixtures.demo.layers[0][1]``."""
    text = ""
    for key in place:
        if isinstance(key, int):
            text += f"[{key}]"
        else:
            text += ("." if text else "") + (key if _PLAIN.fullmatch(key) else json.dumps(key, ensure_ascii=False))
    return text or "configuration"


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """Return the sentence for a name that is not among the known ones; it tells the nearest of them."""
    names = sorted(known)
    if not names:
        return f"there is no {kind} {name!r}; none is known here"
    near = nearest(name, names)
    if near is not None:
        return f"there is no {kind} {name!r}; did you mean {near!r}?"
    listed = ", ".join(names[:_MOST_LISTED]) + (", …" if len(names) > _MOST_LISTED else "")
    return f"there is no {kind} {name!r}; known are {listed}"


def nearest(name: str, known: Iterable[str], alike: float = 0.5) -> str | None:
    """Return the name that was probably meant, whatever its case."""
    by_lower = {each.lower(): each for each in sorted(known, reverse=True)}
    near = get_close_matches(name.lower(), by_lower, n=1, cutoff=alike)
    return by_lower[near[0]] if near else None
