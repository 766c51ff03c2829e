"""Makes of a caller's JSON Schema what answers are held to, or says by name why it cannot be used.

The vocabulary is that of draft 2020-12, less what has no bound: see docs/decisions/schemas.md. Words that it does not
know, ``format`` among them, say something to the endpoint and nothing here.
"""

from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import unquote

import orjson

from moa_server.engine.schemas import applicators
from moa_server.engine.schemas.keyword_reader import KeywordReader
from moa_server.engine.schemas.linear_pattern import LinearPattern, PatternTooLarge, linear_pattern
from moa_server.engine.schemas.schema_limits import (
    MOST_BRANCHING,
    MOST_NODES,
    MOST_PATTERN,
    hold_depth,
    refuse,
    too_costly,
)
from moa_server.engine.schemas.subschema import Subschema

_COUNTED_UP_TO: Final = 1_000_000
_UNBOUNDED: Final = {
    "unevaluatedItems": "write items or additionalProperties in its place",
    "unevaluatedProperties": "write additionalProperties in its place",
    "$dynamicRef": "write $ref in its place",
    "$dynamicAnchor": "write $anchor in its place",
    "$recursiveRef": "write $ref in its place",
    "$recursiveAnchor": "write $anchor in its place",
}


def compiled(text: str) -> Subschema:
    """Return a schema as it is carried out.

    Raises:
        InvalidRequest: it is no JSON Schema that can be used.
        SchemaTooCostly: to hold an answer to it has no bound, or too high a one.
    """
    try:
        whole = orjson.loads(text)
    except ValueError:
        refuse("#", "is not JSON")
    if not isinstance(whole, dict):
        refuse("#", "is no JSON object")
    return _Compilation(whole).root()


class _Compilation:
    """One schema, as far as it has been compiled. Nothing in it calls itself, however deep a schema is nested."""

    def __init__(self, whole: dict[str, Any]) -> None:
        self._whole = whole
        self._known: dict[int, Subschema] = {}
        """By the identity of the object they were read from, so that what is referred to twice is there once."""
        self._nodes: list[Subschema] = []
        self._open: list[tuple[Subschema, dict[str, Any], int]] = []
        self._references: list[tuple[Subschema, str]] = []
        self._unique: list[Subschema] = []
        self._patterns: dict[str, LinearPattern | None] = {}
        self._pattern_size = 0
        self._anchors = dict(_anchors(whole))

    def root(self) -> Subschema:
        root = self._subschema(self._whole, "#", 1)
        while self._open or self._references:
            while self._open:
                self._fill(*self._open.pop())
            # Only now, so that what is both referred to and within another stands at its own depth.
            for node, reference in self._references:
                target = self._subschema(self._target(node.place, reference), reference, 1)
                node.conjuncts.append(target)
                node.applicators.insert(0, applicators.all_of([target]))
            self._references.clear()
        self._weigh()
        for node in self._unique:
            if not node.parts or not all(part.is_scalar for part in node.parts):
                hint = "only items that are texts, numbers, booleans or null can be unique; say so in items"
                too_costly(node.place, "vocabulary", "uniqueItems", "scalar items", hint)
        return root

    def _subschema(self, raw: Any, place: str, depth: int) -> Subschema:  # noqa: ANN401 - any JSON
        known = self._known.get(id(raw)) if isinstance(raw, dict) else None
        if known is not None:
            return known
        if not isinstance(raw, dict | bool):
            refuse(place, "is no schema, which is an object, true or false")
        if len(self._nodes) >= MOST_NODES:
            too_costly(place, "nodes", f"more than {MOST_NODES}", MOST_NODES, f"it has more than {MOST_NODES} schemas")
        hold_depth(place, depth)
        node = Subschema(place)
        self._nodes.append(node)
        if isinstance(raw, dict):
            self._known[id(raw)] = node
            self._open.append((node, raw, depth))
        elif not raw:
            node.is_scalar = True
            node.assertions.append(("false", applicators.nothing("is not allowed")))
        return node

    def _fill(self, node: Subschema, raw: dict[str, Any], depth: int) -> None:
        """Read what a subschema says."""
        for name, hint in _UNBOUNDED.items():
            if name in raw:
                too_costly(node.place, "vocabulary", name, "none", f"{name} has no bound; {hint}")
        if raw is not self._whole and "$id" in raw:
            refuse(node.place, "has an $id of its own; only the whole schema may")
        if "$ref" in raw:
            if not isinstance(raw["$ref"], str):
                refuse(f"{node.place}/$ref", "must be a text")
            self._references.append((node, raw["$ref"]))
        reader = KeywordReader(node, raw, depth, self._subschema, self._pattern)
        reader.at_once()
        reader.of_the_value()
        reader.of_objects()
        reader.of_arrays()
        if raw.get("uniqueItems", False) is not False:
            self._unique.append(node)
            node.applicators.append(applicators.unique)  # after items, which keeps all but scalars out

    def _pattern(self, expression: Any, place: str) -> LinearPattern | None:  # noqa: ANN401 - as the schema has it
        if not isinstance(expression, str):
            refuse(place, "must be a text")
        if expression not in self._patterns:
            try:
                found = linear_pattern(expression)
            except PatternTooLarge:
                too_costly(place, "pattern", f"more than {MOST_PATTERN}", MOST_PATTERN, "an expression is too large")
            self._patterns[expression] = found
            self._pattern_size += found.size if found else 1
            if self._pattern_size > MOST_PATTERN:
                why = "its expressions are too large together"
                too_costly(place, "pattern", self._pattern_size, MOST_PATTERN, why)
        return self._patterns[expression]

    def _target(self, place: str, reference: str) -> Any:  # noqa: ANN401 - any JSON
        """Return what a reference stands for."""
        if not reference.startswith("#"):
            refuse(f"{place}/$ref", "refers to another document; a schema may refer to itself only")
        pointer = unquote(reference[1:])
        if pointer and not pointer.startswith("/"):
            found = self._anchors.get(pointer)
            return found if found is not None else refuse(f"{place}/$ref", "refers to nothing")
        target: Any = self._whole
        for step in pointer.split("/")[1:]:
            name = step.replace("~1", "/").replace("~0", "~")
            if (
                isinstance(target, list)
                and name.isascii()
                and name.isdigit()
                and len(name) <= len(str(len(target)))
                and int(name) < len(target)
            ):
                target = target[int(name)]
            elif isinstance(target, dict) and name in target:
                target = target[name]
            else:
                refuse(f"{place}/$ref", "refers to nothing")
        return target

    def _weigh(self) -> None:
        """Count the ways through what is asked of one value, and see which subschemas only scalars satisfy."""
        asked_by: dict[int, list[Subschema]] = {}
        waiting = {}
        for node in self._nodes:
            waiting[id(node)] = len(node.in_place)
            for other in node.in_place:
                asked_by.setdefault(id(other), []).append(node)
        ways: dict[int, int] = {}
        ready = [node for node in self._nodes if not node.in_place]
        while ready:
            node = ready.pop()
            count = ways[id(node)] = min(1 + sum(ways[id(other)] for other in node.in_place), _COUNTED_UP_TO)
            if count > MOST_BRANCHING:
                why = f"one value is held to more than {MOST_BRANCHING} schemas, by all ways that lead to them"
                too_costly(node.place, "branching", count, MOST_BRANCHING, why)
            node.is_scalar |= any(one.is_scalar for one in node.conjuncts) or any(
                group and all(one.is_scalar for one in group) for group in node.alternatives
            )
            for other in asked_by.get(id(node), ()):
                waiting[id(other)] -= 1
                if not waiting[id(other)]:
                    ready.append(other)
        if len(ways) < len(self._nodes):
            circle = next(node for node in self._nodes if id(node) not in ways)
            why = "it goes round in circles without going on to a part of the value"
            too_costly(circle.place, "branching", "endless", MOST_BRANCHING, why)


def _anchors(whole: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    left: list[Any] = [whole]
    while left:
        one = left.pop()
        if isinstance(one, dict):
            if isinstance(anchor := one.get("$anchor"), str):
                yield anchor, one
            left += one.values()
        elif isinstance(one, list):
            left += one
