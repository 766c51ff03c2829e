"""Asks models for JSON, and reads it out of what they wrote, whatever they wrote around it."""

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

_MOST_CHARACTERS = 50_000
_MOST_TRIES = 100
"""Braces that are tried, since each may be read to the end of the text before it turns out to open nothing."""
_MOST_DIGITS = 300
"""Of a whole number: with more it is beyond all that can be computed with."""


def object_schema(**properties: Mapping[str, Any]) -> str:
    """Return the JSON Schema of an object that has these properties, each of them, and no other."""
    required = [*properties]
    return json.dumps({"type": "object", "properties": properties, "required": required, "additionalProperties": False})


def last_object(text: str, *keys: str) -> dict[str, Any] | None:
    """Return the last JSON object in a text that has these keys, since models conclude at the end."""
    found = [one for one in objects(text) if all(key in one for key in keys)]
    return found[-1] if found else None


def objects(text: str) -> Iterator[dict[str, Any]]:
    """Yield the outermost JSON objects of a text, in order; a text that goes on for ever is read at its end."""
    text = text[-_MOST_CHARACTERS:]
    # NaN and Infinity, which Python reads, are no JSON: a score of either would win every comparison, or none. So would
    # 1e999 and a number of 400 digits, which breaks those who compute with it besides.
    decoder = json.JSONDecoder(parse_constant=_no_number, parse_float=_finite, parse_int=_whole)
    place = text.find("{")
    for _ in range(_MOST_TRIES):
        if place < 0:
            return
        try:
            found, end = decoder.raw_decode(text, place)
        except (ValueError, RecursionError):  # the latter where brackets are nested by the thousand
            end = place + 1
        else:
            yield found
        place = text.find("{", end)


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    return number if math.isfinite(number) else _no_number(digits)


def _whole(digits: str) -> int:
    return int(digits) if len(digits) <= _MOST_DIGITS else _no_number("so long a number")
