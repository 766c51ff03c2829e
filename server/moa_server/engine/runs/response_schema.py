"""Holds a structured answer to its schema."""

import json
import sys
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from itertools import count
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError, best_match
from jsonschema.validators import extend

from moa_server.domain.conversation import Conversation, Message, Role
from moa_server.domain.errors import AnswerMismatch, InvalidRequest, Violation

_LONGEST_COMPLAINT = 200
_FIELD = "query.overrides.response_schema"
_SUBJECT_TO_FOREIGN_EXPRESSIONS = "patternProperties"

_MOST_REFERENCES = 10_000
"""References of a schema followed for one answer: some that are nested double the work with every level."""
_DEEPEST = 600
"""Frames of the stack under a reference: where the stack ends inside its lookup, that panics and cannot be caught."""
_followed: ContextVar[Iterator[int]] = ContextVar("followed")


class _TooManyReferences(Exception):
    """To hold an answer to its schema would take too long."""


def _follow(keyword: str) -> Callable[..., Iterator[ValidationError]]:
    follow = Draft202012Validator.VALIDATORS[keyword]

    def counted(*terms: Any) -> Iterator[ValidationError]:  # noqa: ANN401 - as the library calls it
        if next(_followed.get()) >= _MOST_REFERENCES or _is_deep():
            raise _TooManyReferences
        yield from follow(*terms)

    return counted


def _is_deep() -> bool:
    try:
        sys._getframe(_DEEPEST)  # noqa: SLF001 - documented, and the one way to ask without walking the stack
    except ValueError:
        return False
    return True


_Validator = extend(  # type: ignore[no-untyped-call]
    Draft202012Validator,
    {"pattern": lambda *_: None, "$ref": _follow("$ref"), "$dynamicRef": _follow("$dynamicRef")},
)
"""A caller's regular expression can keep Python's engine busy for ever: those are for the endpoint to hold to."""


def check_schema(schema: str) -> None:
    """Make sure that a schema can be held to.

    Raises:
        InvalidRequest: it is not a JSON Schema.
    """
    try:
        Draft202012Validator.check_schema(_harmless(json.loads(schema)))
    except (TypeError, ValueError, SchemaError, RecursionError) as error:
        complaint = error.message if isinstance(error, SchemaError) else "is no JSON Schema of draft 2020-12"
        raise InvalidRequest(
            "the response schema cannot be used",
            metadata={"field": _FIELD},
            violations=(Violation(_FIELD, complaint[:_LONGEST_COMPLAINT]),),
        ) from error


def mismatch(text: str, schema: str) -> AnswerMismatch | None:
    """Return how an answer fails its schema, or None if it does not."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return AnswerMismatch("the answer is not JSON", metadata={"path": "$"})
    _followed.set(count())
    try:
        found: ValidationError | None = best_match(_Validator(json.loads(schema)).iter_errors(document))
    except (_TooManyReferences, RecursionError):
        return AnswerMismatch("the answer takes too long to be held to its schema", metadata={"path": "$"})
    if found is None:
        return None
    return AnswerMismatch(
        f"the answer does not satisfy its schema at {found.json_path}", metadata={"path": found.json_path}
    )


def repair_request(asked: Conversation, text: str, complaint: AnswerMismatch, schema: str) -> Conversation:
    """Return the conversation in which an agent is asked to put its answer right."""
    request = (
        f"Your answer cannot be used: {complaint.detail}. Give the same answer again as one JSON document that "
        f"satisfies this JSON Schema, and nothing beside it:\n{schema}"
    )
    return (*asked, Message.of(Role.ASSISTANT, text), Message.of(Role.USER, request))


def _harmless(schema: Any) -> Any:  # noqa: ANN401 - any JSON
    """Refuse what would have the server fetch something, or search with a caller's expression."""
    if not isinstance(schema, dict):
        raise TypeError("a schema is an object")
    for node in _objects(schema):
        if any(not str(node.get(key, "#")).startswith("#") for key in ("$ref", "$dynamicRef")):
            raise ValueError("a schema may refer to itself only")
        if _SUBJECT_TO_FOREIGN_EXPRESSIONS in node:
            raise ValueError(f"{_SUBJECT_TO_FOREIGN_EXPRESSIONS} is not checked here")
    return schema


def _objects(node: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401 - any JSON
    if isinstance(node, dict):
        yield node
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from _objects(child)
