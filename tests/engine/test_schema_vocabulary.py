"""Which schemas answers can be held to, and which are refused by name."""

import enum
import json
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from pydantic import BaseModel, ConfigDict, Field

from moa_server.domain.errors import AnswerMismatch, InvalidRequest, SchemaTooCostly
from moa_server.engine.runs.response_schema import check_schema, structured

SCALARS = {"type": "array", "uniqueItems": True, "items": {"type": ["string", "integer"]}}


def nested(levels: int, keyword: str = "items") -> dict[str, Any]:
    schema: dict[str, Any] = {}
    for _ in range(levels):
        schema = {keyword: [schema] if keyword in {"anyOf", "allOf", "oneOf"} else schema}
    return schema


DOUBLING = {
    "$ref": "#/$defs/s0",
    "$defs": {f"s{n}": {"allOf": [{"$ref": f"#/$defs/s{n + 1}"}] * 2} for n in range(40)} | {"s40": {}},
}
TOO_COSTLY: dict[str, tuple[Any, dict[str, str]]] = {
    "unique objects": (
        {"type": "array", "uniqueItems": True, "items": {"type": "object"}},
        {"limit": "vocabulary", "needed": "uniqueItems"},
    ),
    "unique items of any kind": ({"uniqueItems": True}, {"limit": "vocabulary", "needed": "uniqueItems"}),
    "unique items beyond the first": (
        {"uniqueItems": True, "prefixItems": [{"type": "string"}]},
        {"limit": "vocabulary", "needed": "uniqueItems"},
    ),
    "unevaluated properties": (
        {"anyOf": [{"unevaluatedProperties": False}]},
        {"limit": "vocabulary", "needed": "unevaluatedProperties"},
    ),
    "unevaluated items": ({"unevaluatedItems": False}, {"limit": "vocabulary", "needed": "unevaluatedItems"}),
    "dynamic references": (
        {"items": {"$dynamicRef": "#a"}},
        {"limit": "vocabulary", "needed": "$dynamicRef"},
    ),
    "nodes": ({"properties": {f"p{n}": {} for n in range(2000)}}, {"limit": "nodes", "allowed": "2000"}),
    "depth": (nested(90), {"limit": "depth", "needed": "33", "allowed": "32"}),
    "depth of alternatives": (nested(40, "anyOf"), {"limit": "depth", "needed": "33", "allowed": "32"}),
    "depth of a value": ({"const": nested(40)}, {"limit": "depth", "needed": "33", "allowed": "32"}),
    "branching through references": (DOUBLING, {"limit": "branching", "allowed": "1024"}),
    "a circle": ({"$ref": "#"}, {"limit": "branching", "needed": "endless"}),
    "a circle of alternatives": ({"anyOf": [{"type": "null"}, {"not": {"$ref": "#"}}]}, {"limit": "branching"}),
    "an expression": ({"pattern": ".{999}.{999}"}, {"limit": "pattern"}),
    "a long expression": ({"pattern": "a" * 1001}, {"limit": "pattern"}),
    "expressions together": ({"allOf": [{"pattern": f".{{900}}{n}"} for n in range(9)]}, {"limit": "pattern"}),
}


@pytest.mark.parametrize(("schema", "told"), TOO_COSTLY.values(), ids=TOO_COSTLY)
def test_a_schema_that_costs_too_much_is_refused_by_name(schema: Any, told: dict[str, str]) -> None:  # noqa: ANN401
    with pytest.raises(SchemaTooCostly) as refused:
        check_schema(json.dumps(schema))
    assert told.items() <= refused.value.metadata.items()
    assert refused.value.metadata.keys() == {"field", "limit", "needed", "allowed"}
    assert [one.field for one in refused.value.violations] == ["query.overrides.response_schema"]


UNUSABLE: dict[str, tuple[str, str]] = {
    "no JSON": ("not json", "# is not JSON"),
    "an array": ("[]", "# is no JSON object"),
    "nested without end": ("[" * 100_000, "# is not JSON"),
    "no type": ('{"properties": {"a": {"type": 7}}}', "#/properties/a/type must name"),
    "an unknown type": ('{"type": "decimal"}', "#/type must name"),
    "another document": ('{"$ref": "http://example.com/schema"}', "#/$ref refers to another document"),
    "a file": ('{"properties": {"a": {"$ref": "file:///etc/passwd"}}}', "#/properties/a/$ref refers to another"),
    "nothing": ('{"items": {"$ref": "#/$defs/missing"}}', "#/items/$ref refers to nothing"),
    "a lost anchor": ('{"$ref": "#missing"}', "#/$ref refers to nothing"),
    "an id within": ('{"items": {"$id": "http://example.com/x"}}', "#/items has an $id of its own"),
    "an old tuple": ('{"items": [{}]}', "#/items is no schema"),
    "no alternatives": ('{"anyOf": []}', "#/anyOf must be an array"),
    "no object": ('{"properties": []}', "#/properties must be an object"),
    "a number of properties": ('{"properties": 7}', "#/properties must be an object"),
    "no dependent schemas": ('{"dependentSchemas": null}', "#/dependentSchemas must be an object"),
    "a step of nothing": ('{"multipleOf": 0}', "#/multipleOf must be a number above 0"),
    "half a count": ('{"maxItems": 1.5}', "#/maxItems must be a whole number"),
    "a bound that is none": ('{"minimum": "1"}', "#/minimum must be a number"),
    "a definition nobody uses": ('{"$defs": {"a": {"required": "b"}}}', "#/$defs/a/required must be an array"),
    "a number beyond all bounds": ('{"maximum": ' + "9" * 400 + "}", "# is not JSON"),
}


@pytest.mark.parametrize(("schema", "told"), UNUSABLE.values(), ids=UNUSABLE)
def test_a_schema_that_is_none_is_refused_with_the_place(schema: str, told: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        check_schema(schema)
    [violation] = refused.value.violations
    assert violation.field == "query.overrides.response_schema"
    assert violation.description.startswith(told)


async def fits(value: Any, schema: Any) -> bool:  # noqa: ANN401
    try:
        await structured(json.dumps(value), json.dumps(schema))
    except AnswerMismatch:
        return False
    return True


class Colour(enum.Enum):
    RED = "red"
    GREEN = "green"


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: Annotated[int, Field(ge=0, le=9)]


class Dog(BaseModel):
    kind: Literal["dog"]
    name: Annotated[str, Field(pattern="^[A-Z][a-z]+$", max_length=9)]


class Tree(BaseModel):
    """As callers write them: recursive, with alternatives told apart by a field."""

    model_config = ConfigDict(extra="forbid")
    price: Decimal
    exact: Annotated[Decimal, Field(max_digits=5, decimal_places=2)]
    number: UUID
    moment: datetime
    tags: set[str]
    colours: set[Colour] = set()
    kids: list["Tree"] = []
    pet: Annotated[Cat | Dog, Field(discriminator="kind")]
    counts: dict[str, int]
    keyed: dict[Annotated[str, Field(pattern="^x-")], int] = {}
    pair: tuple[int, str]
    maybe: Annotated[float, Field(multiple_of=0.1)] | None = None


LEAF: dict[str, Any] = {
    "price": "1.50",
    "exact": "2.25",
    "number": "6a6d3c4e-7b0a-4b6e-8c51-0a8a9d6a6a6a",
    "moment": "2026-11-25T12:00:00Z",
    "tags": ["a", "b"],
    "pet": {"kind": "dog", "name": "Rex"},
    "counts": {"a": 1},
    "pair": [1, "one"],
    "maybe": 0.3,
}


@pytest.mark.parametrize("mode", ["validation", "serialization"])
async def test_what_pydantic_writes_can_be_held_to(mode: Literal["validation", "serialization"]) -> None:
    schema = Tree.model_json_schema(mode=mode)
    full = LEAF | {"colours": ["red"], "keyed": {"x-a": 1}, "kids": [], "maybe": None}
    assert await fits(full | {"kids": [full | {"kids": [full]}]}, schema)
    wrong: dict[str, Any] = {
        "pet": {"kind": "dog", "name": "rex"},
        "tags": ["a", "a"],
        "colours": ["blue"],
        "counts": {"a": "1"},
        "pair": [1, 2],
        "keyed": {"y": "z"},
        "maybe": 0.35,
        "kids": [full | {"pet": {"kind": "cat", "lives": 10}}],
        "extra": 1,
    }
    known = {name: value for name, value in wrong.items() if name != "keyed"}  # which a pattern leaves open
    assert [name for name, value in known.items() if await fits(full | {name: value}, schema)] == []


async def test_a_mismatch_among_alternatives_names_the_one_that_was_meant() -> None:
    schema = json.dumps(Tree.model_json_schema())
    document = LEAF | {"kids": [LEAF | {"pet": {"kind": "cat", "lives": 10}}]}
    with pytest.raises(AnswerMismatch, match="above 9") as wrong:
        await structured(json.dumps(document), schema)
    assert wrong.value.metadata == {"path": "$.kids[0].pet.lives", "keyword": "maximum"}


async def test_what_endpoints_demand_of_strict_schemas_can_be_held_to() -> None:
    """As the SDKs of OpenAI and Anthropic send them: every object closed, every property required."""
    step = {
        "type": "object",
        "properties": {"explanation": {"type": "string"}, "output": {"anyOf": [{"type": "string"}, {"type": "null"}]}},
        "required": ["explanation", "output"],
        "additionalProperties": False,
    }
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$defs": {"step": step},
        "type": "object",
        "properties": {
            "steps": {"type": "array", "items": {"$ref": "#/$defs/step"}, "minItems": 1},
            "next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]},
            "when": {"type": "string", "format": "date-time", "description": "when"},
            "kind": {"type": "string", "enum": ["a", "b"]},
        },
        "required": ["steps", "next"],
        "additionalProperties": False,
    }
    one = {"steps": [{"explanation": "x", "output": None}], "next": None}
    assert await fits(one | {"next": one, "when": "soon", "kind": "a"}, schema)
    assert not await fits(one | {"next": one | {"kind": "c"}}, schema)
    assert not await fits(one | {"more": 1}, schema)


async def test_a_schema_may_refer_to_its_parts() -> None:
    part = {"$defs": {"n": {"$anchor": "number", "type": "number"}}, "items": {"$ref": "#number"}}
    assert await fits([1] * 500, part)
    assert not await fits([1] * 500 + ["x"], part)
    assert await fits({"a/b": 1}, {"properties": {"a/b": {"type": "integer"}, "c": {"$ref": "#/properties/a~1b"}}})


async def test_scalars_can_be_told_to_be_unique() -> None:
    assert await fits([1, "1", 2], SCALARS)
    assert not await fits([1, 1.0], SCALARS)
    assert await fits([1, True, 0, False], {"uniqueItems": True, "items": {"enum": [0, 1, True, False]}})


async def test_expressions_are_held_to_in_a_time_that_the_text_alone_decides() -> None:
    hostile = {"pattern": "^(a+)+$", "patternProperties": {"(x+x+)+y": {"type": "integer"}}}
    assert not await fits("a" * 200_000 + "!", hostile)
    assert await fits("a" * 200_000, hostile)
    assert not await fits({"x" * 1000 + "y": "no"}, hostile)


async def test_expressions_that_have_no_such_bound_are_left_to_the_endpoint() -> None:
    assert await fits("b", {"pattern": "^(?=a)"})
    assert await fits({"a": 1}, {"patternProperties": {"(?=b)": {}}, "additionalProperties": False})


@pytest.mark.parametrize("step", [0.01, 0.1, 3])
async def test_multiples_are_those_of_the_numbers_as_they_are_written(step: float) -> None:
    assert await fits(19.99 if step == 0.01 else 3 if step == 3 else 0.3, {"multipleOf": step})
    assert not await fits(19.995, {"multipleOf": step})
    assert await fits(1e308 if step != 3 else 3e307, {"multipleOf": step})
