"""Reads JSON out of what a model wrote, whatever it wrote around it."""

import json
from collections.abc import Iterator
from typing import Any, NoReturn

_MOST_CHARACTERS = 50_000
_MOST_TRIES = 100


def last_object(text: str, *keys: str) -> dict[str, Any] | None:
    """Return the last JSON object in a text that has these keys, since models conclude at the end."""
    found = [one for one in objects(text) if all(key in one for key in keys)]
    return found[-1] if found else None


def objects(text: str) -> Iterator[dict[str, Any]]:
    """Yield the outermost JSON objects of a text, in order; a text that goes on for ever is read at its end."""
    text = text[-_MOST_CHARACTERS:]
    decoder = json.JSONDecoder(parse_constant=_no_number)
    place = text.find("{")
    for _ in range(_MOST_TRIES):
        if place < 0:
            return
        try:
            found, end = decoder.raw_decode(text, place)
        except (ValueError, RecursionError):
            end = place + 1
        else:
            yield found
        place = text.find("{", end)


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")
