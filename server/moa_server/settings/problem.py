"""What is wrong with a configuration: every problem by the path to its key, all of them at once."""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass

_PLAIN = re.compile(r"[A-Za-z0-9_-]+")

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
