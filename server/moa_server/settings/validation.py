"""Turns the file's plain data into values, tells every problem in the house's words, and goes on with what is sound."""

import json
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import is_dataclass
from typing import Any, Final, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from moa_server.settings.derived import SHAPES, keys_of, types_at
from moa_server.settings.problem import Place, Problem, nearest, unknown
from moa_server.settings.reader import AT_KEY, Surroundings, reader_of

_Made = TypeVar("_Made")
_Context = Mapping[str, Any]
_WITHOUT_MARKS = str.maketrans("", "", "<>'")

# The value itself is never told: it may be a secret in the wrong place.
_SENTENCES: Final[Mapping[str, Callable[[_Context], str]]] = {
    "missing": lambda _: "is missing; give it a value",
    "value_error": lambda context: str(context["error"]),
    AT_KEY: lambda context: str(context["sentence"]),
    "int_type": lambda _: "is not a whole number; write one, without quotes",
    "int_from_float": lambda _: "is not a whole number; write one, without decimals",
    "float_type": lambda _: "is not a number; write one, without quotes",
    "finite_number": lambda _: "is not a finite number; write one",
    "bool_type": lambda _: "is neither true nor false; write one of them",
    "string_type": lambda _: "is not a text; put it into quotes",
    "dict_type": lambda _: "is not a mapping; write keys with values",
    "model_type": lambda _: "is not a mapping; write keys with values",
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
    "union_tag_invalid": lambda context: (
        f"has the wrong form; it has to be one of {context['expected_tags'].translate(_WITHOUT_MARKS)}"
    ),
}


def read_section(
    kind: type[_Made], data: Mapping[str, Any], place: Place = (), around: Surroundings | None = None
) -> tuple[_Made | None, list[Problem]]:
    """Return what plain data says as a value of the dataclass, or all that is wrong with it."""
    try:
        # As JSON, since there pydantic takes a list for a tuple and yet no text for a number.
        return reader_of(kind).validate_json(json.dumps(data), context=around), []
    except ValidationError as error:
        return None, [
            _problem(kind, details, place) for details in error.errors(include_url=False, include_input=False)
        ]


def read_what_is_sound(
    kind: type[_Made], data: dict[str, Any], around: Surroundings
) -> tuple[_Made | None, list[Problem]]:
    """Return the value that the sound parts of a file make, and the problems of the others; None if too little is left.

    Of a mapping by names the entries that are wrong are left out, of anything else the whole key.
    """
    data = deepcopy(data)
    problems = list(_emptied(kind, data, ()))
    for _ in range(3):  # taking out what is wrong may leave a section empty, and that one is taken out next
        value, found = read_section(kind, data, (), around)
        if value is not None:
            return value, problems
        # What is only there because of what was taken out is not told.
        problems += [
            each for each in found if not any(known.place[: len(each.place)] == each.place for known in problems)
        ]
        for top, *below in (problem.place for problem in found if problem.place):
            entries = data.get(str(top))
            by_name = any(marked.origin is Mapping for marked in types_at(kind, (top,)))
            if below and by_name and isinstance(entries, dict):
                entries.pop(str(below[0]), None)
            else:
                data.pop(str(top), None)
    return None, problems


def _problem(kind: type[Any], details: ErrorDetails, under: Place) -> Problem:
    # pydantic adds the tag of a form, and that a key is meant rather than its value.
    place = tuple(step for step in details["loc"] if step not in SHAPES and step != "[key]")
    context = details.get("ctx", {})
    if details["type"] == "extra_forbidden" and place:
        return Problem((*under, *place), _unknown_key(kind, place))
    if details["type"] == AT_KEY:
        place = (*place, context["key"])
    say = _SENTENCES.get(details["type"])
    sentence = f"is refused ({details['msg']}); see the schema" if say is None else say(context)
    return Problem((*under, *place), sentence)


def _unknown_key(kind: type[Any], place: Place) -> str:
    *above, name = place
    sections = [marked.bare for marked in types_at(kind, tuple(above)) if is_dataclass(marked.bare)]
    known = {key.name for section in sections for key in keys_of(section)}
    choices = next((section.KINDS for section in sections if hasattr(section, "KINDS")), None)
    # Where a key says which kind is chosen, that was meant, unless another key is all but spelt out.
    if choices is not None and nearest(str(name), known, alike=0.7) is None:
        return unknown(str(above[-1]), str(name), choices)
    return unknown("key", str(name), known)


def _emptied(kind: type[Any], data: dict[str, Any], place: Place) -> Iterator[Problem]:
    """Take out keys without a value: whether none or the default is meant, nobody can tell."""
    for key, value in list(data.items()):
        if value is None:
            del data[key]
            yield Problem((*place, key), "has no value; give it one or remove the key")
        # What strategies and providers read themselves is left to them: null may mean something there.
        elif isinstance(value, dict) and not any(
            marked.bare == Mapping[str, Any] for marked in types_at(kind, (*place, key))
        ):
            yield from _emptied(kind, value, (*place, key))
