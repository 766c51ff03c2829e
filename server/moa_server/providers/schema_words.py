"""The words of JSON Schema, sorted by what they ask of a value, and how a schema is read and written.

A form in which a schema is sent may ask for less than the schema does, but never for something else: every answer is
held to the caller's own schema by the engine, whatever was sent.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

LIMITS: Final = frozenset(
    {"exclusiveMaximum", "exclusiveMinimum", "format", "maxItems", "maxLength", "maxProperties", "maximum", "minItems",
     "minLength", "minProperties", "minimum", "multipleOf", "pattern", "uniqueItems"}
)  # fmt: skip
"""What narrows a shape down, and can be said in words."""
SHAPES: Final = frozenset(
    {"$anchor", "$dynamicAnchor", "$dynamicRef", "$id", "$ref", "additionalProperties", "allOf", "anyOf", "const",
     "contains", "dependentRequired", "dependentSchemas", "dependencies", "else", "enum", "if", "items", "maxContains",
     "minContains", "not", "oneOf", "patternProperties", "prefixItems", "properties", "propertyNames", "required",
     "then", "type", "unevaluatedItems", "unevaluatedProperties"}
)  # fmt: skip
"""What makes a shape, or says what is meant by another word. All other words ask nothing."""
DEFINITIONS: Final = ("$defs", "definitions")
REFERENCE: Final = re.compile(r"#/(\$defs|definitions)/([^/%~]+)")
FORMATS: Final = frozenset({"date", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "time", "uuid"})
"""Formats that every house knows which knows any."""
_MOST_ALTERNATIVES: Final = 64
"""Of a root, that are looked at."""
TYPES: Final = frozenset({"array", "boolean", "integer", "null", "number", "object", "string"})


def parsed(schema: str) -> dict[str, Any] | None:
    """Return a schema as an object; None if it is none."""
    try:
        whole = json.loads(schema)
    except (ValueError, RecursionError):
        return None
    return whole if isinstance(whole, dict) else None


def written(schema: Mapping[str, Any]) -> str:
    """Return a schema as it is sent."""
    return json.dumps(schema, ensure_ascii=False, separators=(",", ":"))


def types_in(node: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the types that a subschema names."""
    said = node.get("type", ())
    return (said,) if isinstance(said, str) else tuple(map(str, said)) if isinstance(said, list) else ()


def takes_objects(schema: str) -> bool:
    """Tell whether an object may satisfy a schema, as far as its root and the alternatives there say."""
    whole = parsed(schema) or {}
    left, seen = [whole], 0
    while left and seen < _MOST_ALTERNATIVES:
        node, seen = left.pop(), seen + 1
        reference = REFERENCE.fullmatch(str(node.get("$ref")))
        others = [
            node.get("anyOf"),
            node.get("oneOf"),
            [whole.get(reference[1], {}).get(reference[2])] if reference else (),
        ]
        alternatives = [one for some in others if isinstance(some, Sequence) for one in some if isinstance(one, dict)]
        types = types_in(node)
        if "object" in types or not (types or alternatives or node.keys() & {"const", "enum"}):
            return True
        left += alternatives
    return False


def is_plain(value: object) -> bool:
    """Tell whether a value is neither array nor object."""
    return isinstance(value, str | int | float | bool) or value is None
