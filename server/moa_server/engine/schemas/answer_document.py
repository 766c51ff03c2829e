"""Reads the one JSON document of an answer, whether it stands bare or in a fence."""

import re
from dataclasses import dataclass
from typing import Any, Final

import orjson

from moa_server.engine.schemas.subschema import Misfit

MOST_CHARACTERS: Final = 4 * 1024 * 1024
"""Of an answer that is read."""
MOST_CONTAINERS: Final = 100_000
"""Arrays and objects of an answer, by its brackets: what takes longest to read, and cannot be interrupted."""
_FENCE: Final = re.compile(r"^[ ]{0,3}(?:```|~~~)[^\n`]*$", re.MULTILINE)
_NO_NUMBERS: Final = ("NaN", "Infinity")


@dataclass(frozen=True, slots=True)
class Document:
    """What an answer holds."""

    text: str
    """As JSON, without what stood around it."""
    value: Any


def document_in(answer: str) -> Document | Misfit:
    """Return the document that an answer is, or else that its one fenced block is; or why it has none."""
    if len(answer) > MOST_CHARACTERS:
        return Misfit("json", f"has more than {MOST_CHARACTERS} characters")
    if answer.count("[") + answer.count("{") > MOST_CONTAINERS:
        return Misfit("json", f"has more than {MOST_CONTAINERS} arrays and objects")
    inner = _fenced(answer)
    text = answer if inner is None else inner
    try:
        return Document(text, orjson.loads(text))
    except orjson.JSONDecodeError as error:
        return Misfit("json", _complaint(text, error))


def _fenced(answer: str) -> str | None:
    """Return what stands in the only fence of an answer; a document in JSON has no line that is one."""
    fences = []
    for fence in _FENCE.finditer(answer):
        fences.append(fence)
        if len(fences) > 2:  # noqa: PLR2004 - one opens and one closes
            return None
    if len(fences) < 2:  # noqa: PLR2004 - as above
        return None
    opening, closing = fences
    return answer[opening.end() : closing.start()].strip()


def _complaint(text: str, error: orjson.JSONDecodeError) -> str:
    for name in _NO_NUMBERS:
        if text.startswith(name, error.pos):
            return f"is not JSON: {name} is no number, at line {error.lineno}, column {error.colno}"
    what = "nothing" if not text.strip() else error.msg
    return f"is not JSON: {what}, at line {error.lineno}, column {error.colno}"
