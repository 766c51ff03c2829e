"""What it costs to hold an answer to a schema, counted in steps, and that the outcome is what the standard says."""

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from moa_server.domain.errors import AnswerMismatch, MoaError
from moa_server.engine.runs.response_schema import structured
from moa_server.engine.schemas.compiler import compiled
from moa_server.engine.schemas.schema_check import MOST_STEPS, SLICE, SchemaCheck, TooManySteps
from moa_server.engine.schemas.subschema import Misfit


def checked(schema: Any, value: Any, most: int = MOST_STEPS) -> tuple[SchemaCheck, Misfit | None]:  # noqa: ANN401
    check = SchemaCheck(most)
    return check, asyncio.run(check.misfit(compiled(json.dumps(schema)), value))


def steps(schema: Any, value: Any) -> int:  # noqa: ANN401
    return checked(schema, value)[0].steps


def chain(length: int, **more: Any) -> dict[str, Any]:  # noqa: ANN401
    value: dict[str, Any] = {}
    for _ in range(length):
        value = {"next": value, **more}
    return value


TWICE = {"$defs": {"n": {"anyOf": [{"properties": {"next": {"$ref": "#/$defs/n"}}, "required": ["x"]}] * 3}}}
"""A schema whose alternatives each look at the whole of what follows before they fail."""

LATE = {"properties": {"next": {"$ref": "#/$defs/n"}}, "not": {"required": ["never"]}, "if": {"$ref": "#/$defs/m"}}
GROWING: dict[str, tuple[Any, Any]] = {
    "items": ({"items": {"type": "integer"}}, lambda size: [1] * size),
    "unique items": ({"uniqueItems": True, "items": {"type": "integer"}}, lambda size: [*range(size)]),
    "properties": ({"additionalProperties": {"type": "integer"}}, lambda size: {str(n): 1 for n in range(size)}),
    "names": (
        {"patternProperties": {"^a+$": {}}, "additionalProperties": False},
        lambda size: {"a" * n: 1 for n in range(1, size // 10)},
    ),
    "an expression": ({"pattern": "^(a+)+$"}, lambda size: "a" * size * 100 + "!"),
    "nested alternatives": (
        {"$ref": "#/$defs/n", "$defs": {"n": {"anyOf": [{"allOf": [LATE, {"required": ["x"]}]}, LATE]}, "m": {}}},
        lambda size: chain(size // 5),
    ),
    "an enum of objects": (
        {"items": {"enum": [chain(8, x=n) for n in range(9)]}},
        lambda size: [chain(8, x=8)] * size,
    ),
    "required names": ({"items": {"required": ["x"] * 400}}, lambda size: [{"x": 1}] * size),
}


@pytest.mark.parametrize(("schema", "value"), GROWING.values(), ids=GROWING)
def test_twice_the_answer_is_twice_the_work(schema: Any, value: Any) -> None:  # noqa: ANN401
    once, twice = steps(schema, value(1000)), steps(schema, value(2000))
    assert 10 < once < twice <= 2.2 * once


def test_alternatives_that_are_nested_do_not_multiply() -> None:
    levels = 100
    steps_of = {
        f"s{level}": {"anyOf": [{"properties": {"next": {"$ref": f"#/$defs/s{level + 1}"}}, "required": ["x"]}] * 3}
        for level in range(levels)
    }
    check, misfit = checked({"$ref": "#/$defs/s0", "$defs": {**steps_of, f"s{levels}": {}}}, chain(levels))
    assert misfit is not None
    assert check.steps < levels * 30


def test_a_recursive_schema_looks_at_each_part_once_for_each_alternative() -> None:
    check, misfit = checked({"$ref": "#/$defs/n", **TWICE}, chain(300))
    assert misfit is not None
    assert check.steps < 300 * 20


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"items": {"type": "integer"}}, [1] * 5000),
        ({"uniqueItems": True, "items": {"type": "integer"}}, [*range(100_000)]),
        ({"items": {"pattern": ".{400}$"}}, ["a\n" * 500] * 100),
    ],
    ids=["items", "unique", "expressions"],
)
def test_a_check_ends_when_its_steps_are_used_up(schema: Any, value: Any) -> None:  # noqa: ANN401
    with pytest.raises(TooManySteps):
        checked(schema, value, 2_000)


def test_a_search_that_cannot_be_interrupted_is_not_begun_on_too_long_a_text() -> None:
    with pytest.raises(TooManySteps):
        checked({"pattern": ".{900}$"}, "a" * 2_000_000)


async def test_an_answer_that_takes_too_long_is_a_mismatch() -> None:
    with pytest.raises(AnswerMismatch, match="takes too long") as wrong:
        await structured(json.dumps("a" * 100_000), json.dumps({"pattern": ".{900}$"}))
    assert wrong.value.metadata == {"path": "$", "keyword": "steps"}


@pytest.mark.parametrize("answer", ["[" + "[]," * 100_000 + "[]]", '"' + "a" * 5_000_000 + '"'])
async def test_an_answer_that_takes_long_to_read_is_not_read(answer: str) -> None:
    with pytest.raises(AnswerMismatch, match="has more than"):
        await structured(answer, "{}")


def test_others_have_their_turn_in_every_slice() -> None:
    check, misfit = checked({"items": {"type": "integer"}}, [1] * 50_000)
    assert misfit is None
    assert check.slices >= check.steps // SLICE


def test_how_deep_an_answer_is_nested_is_no_matter() -> None:
    schema = {"type": "object", "properties": {"next": {"$ref": "#"}}, "additionalProperties": False}
    assert checked(schema, chain(1000))[1] is None
    found = checked(schema, chain(1000, wrong=1))[1]
    assert found is not None
    assert found.path.startswith("$.next.next")
    assert len(found.path) < 250


NAMES = st.sampled_from(["a", "b", "c", "type"])
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.sampled_from([0.5, 1.0, -2.0])
    | st.sampled_from(["", "a", "ab", "b"])
)
DOCUMENTS = st.recursive(
    SCALARS, lambda one: st.lists(one, max_size=3) | st.dictionaries(NAMES, one, max_size=3), max_leaves=8
)
COUNTS = st.integers(0, 3)
LEAVES: Any = st.booleans() | st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["null", "boolean", "integer", "number", "string", "array", "object"])
        | st.just(["string", "object"]),
        "enum": st.lists(DOCUMENTS, max_size=3),
        "const": DOCUMENTS,
        "required": st.lists(NAMES, max_size=2),
        "dependentRequired": st.dictionaries(NAMES, st.lists(NAMES, max_size=2), max_size=2),
        "minimum": SCALARS.filter(lambda one: type(one) in (int, float)),
        "exclusiveMaximum": st.integers(-3, 3),
        "multipleOf": st.sampled_from([1, 2, 0.5]),
        "minLength": COUNTS,
        "maxLength": COUNTS,
        "minItems": COUNTS,
        "maxItems": COUNTS,
        "minProperties": COUNTS,
        "maxProperties": COUNTS,
        "pattern": st.sampled_from(["^a", "b$", "^$", "[^a]"]),
    },
)


def applied(one: Any) -> Any:  # noqa: ANN401
    some, named = st.lists(one, min_size=1, max_size=3), st.dictionaries(NAMES, one, max_size=2)
    return st.fixed_dictionaries(
        {},
        optional={
            "allOf": some,
            "anyOf": some,
            "oneOf": some,
            "not": one,
            "if": one,
            "then": one,
            "else": one,
            "dependentSchemas": named,
            "properties": named,
            "patternProperties": st.dictionaries(st.sampled_from(["^a", "b"]), one, max_size=2),
            "additionalProperties": one,
            "propertyNames": one,
            "prefixItems": some,
            "items": one,
            "contains": one,
            "minContains": COUNTS,
            "maxContains": COUNTS,
            "$ref": st.sampled_from(["#/$defs/a", "#/$defs/b"]),
        },
    )


PARTS = st.recursive(LEAVES, lambda one: applied(one) | LEAVES, max_leaves=6)
SCHEMAS = applied(PARTS)


@settings(max_examples=300, deadline=None)
@given(SCHEMAS, LEAVES, PARTS, DOCUMENTS)
def test_an_answer_fits_where_the_standard_says_so(whole: Any, a: Any, b: Any, document: Any) -> None:  # noqa: ANN401
    schema = {**whole, "$defs": {"a": a, "b": b}}
    try:
        misfit = checked(schema, document)[1]
    except MoaError:  # a circle
        return
    assert (misfit is None) == Draft202012Validator(schema).is_valid(document), (schema, document)
