"""The form in which OpenAI takes a JSON Schema, and who follows it: an object at its root, and strict where it can be.

By its guide to structured outputs, "Supported schemas", as of November 2026. Most of what is said there is asked of
strict schemas only, but every root has to be an object.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Literal

import msgspec

from moa_server.providers.dialect import EndpointOptions
from moa_server.providers.schema_words import (
    DEFINITIONS,
    FORMATS,
    LIMITS,
    REFERENCE,
    SHAPES,
    TYPES,
    is_plain,
    parsed,
    takes_objects,
    types_in,
    written,
)

_REMEMBERED: Final = 64
"""Schemas whose form is kept; a caller sends the same one again and again."""
_STRICT_WORDS: Final = frozenset(
    {"$defs", "additionalProperties", "anyOf", "const", "definitions", "description", "enum", "items", "properties",
     "required", "title", "type"}
)  # fmt: skip
_STRICT_LIMITS: Final = frozenset(
    {"exclusiveMaximum", "exclusiveMinimum", "format", "maxItems", "maximum", "minItems", "minimum", "multipleOf",
     "pattern"}
)  # fmt: skip
_MOST_PROPERTIES: Final = 5000
_MOST_LEVELS: Final = 10
_MOST_CHARACTERS: Final = 120_000
"""Of names and of values to choose from; here, of all."""
_MOST_VALUES: Final = 1000
_LONG_ENUM: Final = 250
_MOST_IN_LONG_ENUM: Final = 15_000
"""Characters of the values of an enum that has more than those."""
_NOT_REGULAR: Final = re.compile(r"\(\?|\\[1-9bBkpP]")
"""What not every expression can hold: look-around, references back, classes of their own."""


@dataclass(frozen=True, slots=True)
class RootedSchema:
    """A schema as it is sent."""

    text: str
    strict: bool = False
    """Whether it keeps to the rules of strict schemas."""


@dataclass(frozen=True, slots=True)
class SchemaOptions(EndpointOptions):
    """How an endpoint that speaks a dialect of OpenAI's is held to a JSON schema."""

    schema: Literal["json_schema", "json_object", "none"] = "json_schema"
    """How it is held to a JSON schema; where it is not, or ignores what it is sent, the instructions tell of it."""
    strict_schema: bool = True
    """Whether a schema that qualifies by OpenAI's rules is marked as strict, and its root has to be an object."""
    strict_limits: bool = False
    """Whether limits on values, such as minimum or pattern, may stand in a strict schema."""

    def named(self, schema: str) -> Mapping[str, Any] | None:
        """Return a schema as a request holds it, strict where it is wanted and can be; None where none can hold it."""
        if self.schema != "json_schema":
            return None
        form = rooted(schema, with_limits=self.strict_limits) if self.strict_schema else RootedSchema(schema)
        if form is None:
            return None
        return {"name": "answer", "strict": form.strict, "schema": msgspec.Raw(form.text.encode())}

    def wants_object(self, schema: str) -> bool:
        """Tell whether no more than an object is asked for: where no more can be, and one may satisfy the schema."""
        return self.schema == "json_object" and takes_objects(schema)


@lru_cache(maxsize=_REMEMBERED)
def rooted(schema: str, *, with_limits: bool = True) -> RootedSchema | None:
    """Return a schema with an object at its root, and whether it may be marked as strict; None if it has none.

    Without ``with_limits`` a schema that limits values, as by ``minimum``, may not.
    """
    whole = parsed(schema)
    if whole is None:
        return None
    try:
        moved = _rooted(whole)
        text = written(moved) if moved else schema
    except RecursionError:  # of a value that is given as an example
        return None
    if (moved or whole).get("type") != "object":
        return None
    words = _STRICT_WORDS | _STRICT_LIMITS if with_limits else _STRICT_WORDS
    return RootedSchema(text, len(text) <= _MOST_CHARACTERS and _Strictness(words).holds(moved or whole))


def _rooted(whole: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return a schema that is nothing but a reference, with what it refers to in its place; None for any other.

    It is moved, not copied: what refers to it, as a recursive model does, refers to the root from then on.
    """
    reference = REFERENCE.fullmatch(str(whole.get("$ref")))
    if reference is None or whole.keys() & (SHAPES - {"$ref"} | LIMITS):
        return None
    place, name = reference.groups()
    definitions = whole.get(place)
    if not isinstance(definitions, dict):
        return None
    target = definitions.get(name)
    if not isinstance(target, dict) or not target.keys().isdisjoint({*DEFINITIONS, "$ref", "$id"}):
        return None
    others = {other: one for other, one in definitions.items() if other != name}
    moved = {**target, **{key: whole[key] for key in DEFINITIONS if key in whole and key != place}}
    redirected: dict[str, Any] = _redirected({**moved, place: others} if others else moved, reference.group())
    return redirected


def _redirected(value: Any, reference: str) -> Any:  # noqa: ANN401 - any JSON
    if isinstance(value, list):
        return [_redirected(one, reference) for one in value]
    if not isinstance(value, dict):
        return value
    moved = {key: _redirected(one, reference) for key, one in value.items()}
    # A property may be called so too, but then it is no text.
    if isinstance(said := moved.get("$ref"), str) and (said == reference or said.startswith(reference + "/")):
        moved["$ref"] = "#" + said.removeprefix(reference)
    return moved


class _Strictness:
    """Holds one schema to the rules of strict ones."""

    def __init__(self, words: frozenset[str]) -> None:
        self._words = words
        self._properties = 0
        self._values = 0

    def holds(self, root: dict[str, Any]) -> bool:
        if "anyOf" in root:
            return False
        parts: list[tuple[Any, int]] = [({key: said for key, said in root.items() if key != "$schema"}, 0)]
        while parts:
            node, level = parts.pop()
            if not isinstance(node, dict) or level > _MOST_LEVELS or not self._takes(node):
                return False
            parts += [(part, level + is_object) for part, is_object in _parts(node)]
        return self._properties <= _MOST_PROPERTIES and self._values <= _MOST_VALUES

    def _takes(self, node: dict[str, Any]) -> bool:
        if "$ref" in node:  # which stands alone
            return node.keys() == {"$ref"} and str(node["$ref"]).startswith("#")
        types = types_in(node)
        return (
            node.keys() <= self._words
            and set(types) <= TYPES
            and bool(types or "anyOf" in node)
            and ("array" not in types or isinstance(node.get("items"), dict))
            and str(node.get("format", "date")) in FORMATS
            and not _NOT_REGULAR.search(str(node.get("pattern", "")))
            and ("object" not in types or self._is_closed(node))
            and self._chooses(node.get("enum", [node["const"]] if "const" in node else []))
        )

    def _is_closed(self, node: dict[str, Any]) -> bool:
        properties = node.get("properties")
        if not isinstance(properties, dict) or node.get("additionalProperties") is not False:
            return False
        self._properties += len(properties)
        return set(node.get("required", ())) == set(properties)

    def _chooses(self, values: Any) -> bool:  # noqa: ANN401 - any JSON
        if not isinstance(values, list) or not all(map(is_plain, values)):
            return False
        self._values += len(values)
        return len(values) <= _LONG_ENUM or sum(len(str(value)) for value in values) <= _MOST_IN_LONG_ENUM


def _parts(node: Mapping[str, Any]) -> Iterator[tuple[Any, bool]]:
    """Yield the subschemas right within one, and whether each is a property, which is one level deeper."""
    for key in (*DEFINITIONS, "properties"):
        named = node.get(key)
        yield from ((one, key == "properties") for one in (named.values() if isinstance(named, dict) else ()))
    if "items" in node:
        yield node["items"], False
    alternatives = node.get("anyOf", [])
    yield from ((one, False) for one in (alternatives if isinstance(alternatives, list) else [None]))
