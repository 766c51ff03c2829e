"""Finds what a proposal votes for: a number, a letter, a field, whatever a pattern finds, or its whole text."""

import json
import re
import unicodedata
from collections.abc import Callable, Iterator
from decimal import Decimal
from functools import partial
from typing import Any, Literal, Protocol

from moa_server.strategies.parts import patterns
from moa_server.strategies.parts.json_text import objects

Extractor = Callable[[str], str | None]
"""Returns a choice in its canonical form, or None where a text makes none."""

_NUMBER = re.compile(r"(?<![\w.,])-?\d{1,30}(?:,\d{3}){0,9}(?:\.\d{1,30})?", re.ASCII)
_MOST_CHARACTERS = 20_000
_MOST_MARKS = 30
"""Over one letter, as Unicode's own form for streams has it."""
_EDGES = " \t\n.,;:!?\"'`*_()[]{}“”«»\u2018\u2019\u3002\uff01\uff1f\uff0c"
Extract = Literal["last_number", "choice_letter", "json_field", "regex", "normalised_text"]


class BallotOptions(Protocol):
    """What strategies that vote say about ballots."""

    @property
    def extract(self) -> Extract | Literal[""]: ...
    @property
    def pattern(self) -> str: ...
    @property
    def field(self) -> str: ...
    @property
    def letters(self) -> str: ...


def extractor(options: BallotOptions) -> Extractor:
    """Return how ballots are read."""
    match options.extract:
        case "last_number":
            return last_number
        case "choice_letter":
            return partial(choice_letter, letters=options.letters)
        case "json_field":
            return partial(json_field, path=options.field)
        case "regex":
            return partial(patterns.last_match, options.pattern)
        case "normalised_text" | "":
            return normalised_text


def last_number(text: str) -> str | None:
    """Return the last number, so that 1,234.50 and 1234.5 are one choice."""
    found = _NUMBER.findall(text[-_MOST_CHARACTERS:])
    if not found:
        return None
    # Not `normalize`, which rounds to the 28 digits of the context: other numbers would become one choice.
    plain = format(Decimal(found[-1].replace(",", "")), "f")
    short = plain.rstrip("0").rstrip(".") if "." in plain else plain
    return "0" if short in ("-0", "") else short


def choice_letter(text: str, letters: str) -> str | None:
    """Return the letter that a text chooses: after the word answer, else bracketed, else the last that stands alone."""
    text = text[-_MOST_CHARACTERS:]
    bare = text.strip(_EDGES)
    # A letter alone is meant, also in lower case; within a sentence a small a is more often a word.
    if len(bare) == 1:
        return bare.upper() if bare.upper() in letters else None
    one = f"[{re.escape(letters)}]"
    tries = (
        rf"(?i:answer|choice)[^\w\n]{{0,5}}(?:(?i:is|would be)[^\w\n]{{1,5}})?({one})(?![\w'’])",
        rf"\(({one})\)|\{{({one})\}}|\*\*({one})\b",
        rf"(?<![\w'’])({one})(?![\w'’])",
    )
    for pattern in tries:
        found = re.findall(pattern, text)
        if found:
            return "".join(found[-1])
    return None


def json_field(text: str, path: str) -> str | None:
    """Return a field of the last JSON object that has it; ``a.b`` is the field b of the field a."""
    choice = None
    for one in objects(text):
        value: Any = one
        for name in path.split("."):
            value = value.get(name) if isinstance(value, dict) else None
        choice = choice if value is None else value
    if choice is None:
        return None
    return choice if isinstance(choice, str) else json.dumps(choice, sort_keys=True, ensure_ascii=False)


def normalised_text(text: str) -> str | None:
    """Return a text without regard to case, blanks, and marks around it; a long one as far as that goes in a moment."""
    composed = unicodedata.normalize("NFKC", _with_few_marks(text)) if len(text) <= _MOST_CHARACTERS else text
    return " ".join(composed.casefold().split()).strip(_EDGES) or None


def _with_few_marks(text: str) -> str:
    """Return a text in which no letter has more marks than any script needs: to order them takes their square."""
    marks = "".join(one for one in set(text) if not one.isascii() and _is_mark(one))
    if not marks:
        return text
    return re.sub(rf"([{re.escape(marks)}]{{{_MOST_MARKS}}})[{re.escape(marks)}]+", r"\1", text)


def _is_mark(character: str) -> bool:
    """Whether a character stands over another one, as it is or as what it is made of."""
    return unicodedata.combining(unicodedata.normalize("NFKD", character)[0]) > 0


def problems(options: BallotOptions) -> Iterator[str]:
    """Tell what is wrong with how ballots are to be read."""
    if options.extract == "regex":
        yield from patterns.problems(options.pattern)
    if options.extract == "json_field" and not all(options.field.split(".")):
        yield f"field is {options.field!r}; name the JSON field that holds the choice"
    if options.extract == "choice_letter" and not (options.letters.isalpha() and options.letters.isupper()):
        yield f"letters is {options.letters!r}; name the capital letters that can be chosen"
