"""Turns plain data into sections, with every problem found, and goes on with what is sound."""

import json
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

from pydantic import ValidationError

from moa_server.settings.complaints import complaints
from moa_server.settings.file_section import FileSection
from moa_server.settings.problem import Place, Problem

_FREE = {"options", "dialect"}
"""What strategies and providers read themselves; null may mean something to them."""
_NAMED = {"models", "agents", "mixtures"}


def validated(data: dict[str, Any]) -> tuple[FileSection | None, list[Problem]]:
    """Return the sections that are sound, and the problems of the others; None when too little is left."""
    data = deepcopy(data)
    problems = list(_emptied(data, ()))
    for _ in range(3):  # taking out what is wrong may leave a section empty, and that one is taken out next
        try:
            return FileSection.model_validate_json(json.dumps(data)), problems
        except ValidationError as error:
            found = complaints(FileSection, error)
        problems += [problem for problem in found if not _follows(problem, problems)]
        for problem in found:
            _take_out(data, problem.place)
    return None, problems


def _emptied(data: dict[str, Any], place: Place) -> Iterator[Problem]:
    """Take out keys without a value: whether none or the default is meant, nobody can tell."""
    for key, value in list(data.items()):
        if value is None:
            del data[key]
            yield Problem((*place, key), "has no value; give it one or remove the key")
        elif isinstance(value, dict) and key not in _FREE:
            yield from _emptied(value, (*place, key))


def _take_out(data: dict[str, Any], place: Place) -> None:
    if not place:
        return
    top, *below = place
    entries = data.get(str(top))
    if top in _NAMED and below and isinstance(entries, dict):
        entries.pop(str(below[0]), None)
    else:
        data.pop(str(top), None)


def _follows(problem: Problem, earlier: list[Problem]) -> bool:
    """Tell whether a problem is only there because of what was taken out."""
    return any(known.place[: len(problem.place)] == problem.place for known in earlier)
