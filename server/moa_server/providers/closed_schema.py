"""The form in which Anthropic takes a JSON Schema: every object closed, and limits told in descriptions.

By its page on structured outputs, "JSON Schema limitations", and what its SDK makes of a schema, as of November 2026.
"""

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Final

from moa_server.domain import tokens
from moa_server.providers.schema_words import (
    DEFINITIONS,
    FORMATS,
    LIMITS,
    SHAPES,
    TYPES,
    is_plain,
    parsed,
    types_in,
    written,
)

_REMEMBERED: Final = 64
"""Schemas whose form is kept; a caller sends the same one again and again."""
_TOLD: Final = LIMITS | {"default"}
"""What is moved into the description."""
_MOST_OPTIONAL: Final = 24
"""Properties that may be left out, wherever they are."""
_MOST_UNIONS: Final = 16
"""Subschemas of several types, wherever they are."""


class _Unsayable(Exception):
    """The form has no way to say it."""


@lru_cache(maxsize=_REMEMBERED)
def closed(schema: str) -> str | None:
    """Return a schema with every object closed, and its limits moved into descriptions; None if it cannot be said so.

    An object that nothing is said of beside what is named is closed. One that is open on purpose cannot be: closed, it
    would forbid what the caller wants.
    """
    whole = parsed(schema)
    if whole is None:
        return None
    try:
        form = _closed_root(whole)
        text = written(form)
    except (_Unsayable, RecursionError):
        return None
    # Numbers that are written out can make it longer than a plan has counted.
    most = tokens.of_schema(schema) - tokens.TOKENS_PER_SCHEMA
    return text if tokens.of_text(text) <= most else None


def _closed_root(whole: Mapping[str, Any]) -> dict[str, Any]:
    definitions: dict[str, dict[str, Any]] = {}
    form: dict[str, Any] = {}
    for place in DEFINITIONS:
        for name, one in _named(whole, place):
            made = _closed(one)
            definitions[f"#/{place}/{name}"] = form.setdefault(place, {})[name] = made
    form |= _closed({key: said for key, said in whole.items() if key not in DEFINITIONS})
    _check_extent(form, definitions)
    return form


def _closed(node: Any) -> dict[str, Any]:  # noqa: ANN401 - any JSON
    """Return one subschema as the form has it."""
    if not isinstance(node, dict) or any(place in node for place in DEFINITIONS):
        raise _Unsayable
    if isinstance(only := node.get("allOf"), list) and len(only) == 1 and isinstance(only[0], dict):
        beside = {key: said for key, said in node.items() if key != "allOf"}
        if beside.keys() & (SHAPES | LIMITS):
            raise _Unsayable
        node = beside | only[0]  # one that all have to satisfy, with something said of it beside
    shape = _shape(node)
    if shape == {"$ref"}:
        return {"$ref": node["$ref"]}  # it stands alone: what is said of it beside is lost
    form = {key: node[key] for key in ("title", "description") if isinstance(node.get(key), str)}
    limits = {key: said for key, said in node.items() if key in _TOLD and is_plain(said) and said is not None}
    match sorted(shape):
        case ["anyOf"] | ["oneOf"]:
            form["anyOf"] = [_closed(one) for one in node.get("anyOf", node.get("oneOf"))]
        case ["enum"] | ["const"] | ["enum", "type"] | ["const", "type"]:
            # The values tell their type, and one that is named beside them may contradict them.
            form |= {key: node[key] for key in ("enum", "const") if key in node}
            if not all(map(is_plain, form.get("enum", [form.get("const")]))):
                raise _Unsayable
        case _ if "type" in shape:
            form |= _closed_type(node, shape, limits)
        case _:
            raise _Unsayable
    said = ", ".join(f"{key}: {_in_words(limits[key])}" for key in sorted(limits))
    if said:
        form["description"] = f"{form['description']} ({said})" if "description" in form else said
    return form


def _closed_type(node: dict[str, Any], shape: frozenset[str], limits: dict[str, Any]) -> dict[str, Any]:
    """Return what is said of a type; what can be said of limits is taken out of them."""
    types, form = types_in(node), {"type": node["type"]}
    allowed = {"type"}
    if not types or not set(types) <= TYPES:
        raise _Unsayable
    if "object" in types:
        allowed |= {"properties", "required", "additionalProperties"}
        properties = dict(_named(node, "properties"))
        if node.get("additionalProperties", None if properties else True) not in (None, False):
            raise _Unsayable
        required = node.get("required", [])
        if not set(required) <= properties.keys():
            raise _Unsayable
        form["properties"] = {name: _closed(one) for name, one in properties.items()}
        if required:
            form["required"] = required
        form["additionalProperties"] = False
    if "array" in types:
        allowed.add("items")
        form["items"] = _closed(node.get("items"))
        if limits.get("minItems") in (0, 1):
            form["minItems"] = limits.pop("minItems")
    if "string" in types and limits.get("format") in FORMATS | {"uri"}:
        form["format"] = limits.pop("format")
    if not shape <= allowed:
        raise _Unsayable
    return form


def _check_extent(form: dict[str, Any], definitions: Mapping[str, dict[str, Any]]) -> None:
    """Refuse what refers to itself, and what has more optional properties or unions than are taken."""
    known: dict[str, tuple[int, int]] = {}
    under_way: set[str] = set()

    def of_reference(reference: str) -> tuple[int, int]:
        if reference not in known:
            if reference in under_way or reference not in definitions:
                raise _Unsayable
            under_way.add(reference)
            known[reference] = extent(definitions[reference])
        return known[reference]

    def extent(node: Mapping[str, Any]) -> tuple[int, int]:
        if "$ref" in node:
            return of_reference(node["$ref"])
        properties = node.get("properties", {})
        optional = len(properties.keys() - set(node.get("required", ())))
        unions = int("anyOf" in node or len(types_in(node)) > 1)
        for part in (*properties.values(), *node.get("anyOf", ()), *([node["items"]] if "items" in node else ())):
            more = extent(part)
            optional, unions = optional + more[0], unions + more[1]
        return optional, unions

    for reference in definitions:  # one that nothing refers to counts as well
        of_reference(reference)
    optional, unions = extent({key: said for key, said in form.items() if key not in DEFINITIONS})
    if optional > _MOST_OPTIONAL or unions > _MOST_UNIONS:
        raise _Unsayable


def _named(node: Mapping[str, Any], place: str) -> Iterator[tuple[str, Any]]:
    named = node.get(place, {})
    if not isinstance(named, dict):
        raise _Unsayable
    yield from named.items()


def _shape(node: Mapping[str, Any]) -> frozenset[str]:
    return SHAPES & node.keys()


def _in_words(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
