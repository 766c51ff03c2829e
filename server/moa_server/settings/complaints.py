"""Says in the house's words what pydantic found."""

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from moa_server.settings.known_keys import known_keys
from moa_server.settings.nearest import unknown
from moa_server.settings.problem import Place, Problem
from moa_server.settings.section import LIST, MAPPING, NUMBER, TEXT, Section

_Context = Mapping[str, Any]
_ADDED = {TEXT, NUMBER, LIST, MAPPING, "[key]"}
"""What pydantic adds to a place: the tags of choices, and that a key is meant."""

# The value itself is never told: it may be a secret in the wrong place.
_SENTENCES: dict[str, Callable[[_Context], str]] = {
    "missing": lambda _: "is missing; give it a value",
    "value_error": lambda context: str(context["error"]),
    "int_type": lambda _: "is not a whole number; write one, without quotes",
    "int_from_float": lambda _: "is not a whole number; write one, without decimals",
    "float_type": lambda _: "is not a number; write one, without quotes",
    "finite_number": lambda _: "is not a finite number; write one",
    "bool_type": lambda _: "is neither true nor false; write one of them",
    "string_type": lambda _: "is not a text; put it into quotes",
    "dict_type": lambda _: "is not a mapping; write keys with values",
    "model_type": lambda _: "is not a mapping; write keys with values",
    "model_attributes_type": lambda _: "is not a mapping; write keys with values",
    "tuple_type": lambda _: "is not a list; write [a, b]",
    "list_type": lambda _: "is not a list; write [a, b]",
    "enum": lambda context: f"is not one of the choices; write {context['expected']}",
    "literal_error": lambda context: f"is not one of the choices; write {context['expected']}",
    "greater_than": lambda context: f"is too small; it has to be more than {context['gt']}",
    "greater_than_equal": lambda context: f"is too small; it has to be at least {context['ge']}",
    "less_than": lambda context: f"is too large; it has to be less than {context['lt']}",
    "less_than_equal": lambda context: f"is too large; it has to be at most {context['le']}",
    "string_too_short": lambda _: "is empty; give it a value",
    "string_too_long": lambda context: f"is too long; it may have {context['max_length']} characters",
    "string_pattern_mismatch": lambda _: (
        "is not a name; write letters, digits, spaces and ._:/@+-, a letter or digit first"
    ),
    "too_short": lambda context: f"has too few entries; it needs at least {context['min_length']}",
    "too_long": lambda context: f"has too many entries; it may have {context['max_length']}",
    "union_tag_not_found": lambda _: "has the wrong form; see the examples of this key",
    "union_tag_invalid": lambda context: f"has the wrong form; it has to be one of {context['expected_tags']}",
}


def complaints(root: type[Section], error: ValidationError, under: Place = ()) -> list[Problem]:
    """Return every problem of a validation."""
    return [_problem(root, details, under) for details in error.errors(include_url=False, include_input=False)]


def _problem(root: type[Section], details: ErrorDetails, under: Place) -> Problem:
    place = tuple(key for key in details["loc"] if key not in _ADDED)
    if details["type"] == "extra_forbidden" and place:
        return Problem((*under, *place), unknown("key", str(place[-1]), known_keys(root, place[:-1])))
    say = _SENTENCES.get(details["type"])
    if say is None:
        return Problem((*under, *place), f"is refused ({details['msg']}); see the schema")
    return Problem((*under, *place), say(details.get("ctx", {})))
