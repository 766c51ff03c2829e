"""A schema is sent as its endpoint takes it: closed, strict where it may be, or told in words; and it is counted."""

import json
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moa_server.domain import tokens
from moa_server.domain.conversation import Conversation, Message, Role
from moa_server.domain.model import ModelSpec, Prompt
from moa_server.providers import PRESETS, Transport
from moa_server.providers.closed_schema import closed
from moa_server.providers.schema_instruction import instructed
from moa_server.providers.strict_schema import rooted
from tests.engine.stories import many
from tests.providers.asker import HELLO, Asker
from tests.providers.schema_rules import (
    FROM_PYDANTIC,
    Cat,
    Closed,
    Counts,
    Dog,
    Item,
    Limited,
    Names,
    Open,
    Pet,
    Report,
    Tree,
    refused_by_anthropic,
    refused_by_openai,
    schema_of,
    subschemas,
)
from tests.upstream import Speech, Upstream

SPEC = ModelSpec("m", "openai")
WAYS: dict[str, tuple[str, dict[str, Any]]] = {
    "strict": ("openai", {"strict_limits": True}),
    "strict without limits": ("openai", {}),
    "never strict": ("openai", {"strict_schema": False}),
    "some JSON": ("openai", {"schema": "json_object"}),
    "nothing": ("openai", {"schema": "none"}),
    "closed": ("anthropic", {}),
    "not at all": ("anthropic", {"schema": False}),
}
"""How an endpoint may take schemas, each as a dialect and its settings."""


def held_to(body: Mapping[str, Any]) -> Any:  # noqa: ANN401 - any JSON
    """Return the schema that the endpoint itself holds its model to, or None."""
    format_of_answer = body.get("response_format") or {}
    return ((body.get("output_config") or {}).get("format") or format_of_answer.get("json_schema") or {}).get("schema")


async def sent(
    upstream: Upstream, http: Transport, way: str, schema: str, messages: Conversation = HELLO.messages
) -> dict[str, Any]:
    """Return the request's body."""
    dialect, settings = WAYS[way]
    upstream.script("m", Speech("{}"))
    await Asker(dialect, upstream.endpoint, http).ask(Prompt(messages, response_schema=schema), dialect=settings)
    body = upstream.calls[-1].body
    assert isinstance(body, dict)
    return body


def texts(body: Any) -> str:  # noqa: ANN401 - any part of a request
    """Return all that is said in turns and system texts."""
    if isinstance(body, dict):
        return "\n".join(texts(body.get(key)) for key in ("system", "messages", "content", "text") if key in body)
    return "\n".join(map(texts, body)) if isinstance(body, list) else body if isinstance(body, str) else ""


@pytest.mark.parametrize("way", WAYS)
async def test_whatever_pydantic_writes_is_taken_and_the_model_is_told_or_held(
    upstream: Upstream, http: Transport, way: str
) -> None:
    for name, kind in FROM_PYDANTIC.items():
        schema = schema_of(kind)
        body = await sent(upstream, http, way, schema)
        if WAYS[way][1].get("strict_schema", True):  # else the endpoint takes any root
            assert refused_by_openai(body) == "", name
        assert refused_by_anthropic(body) == "", name
        is_told = schema in texts(body)
        assert is_told == (held_to(body) is None), name
        if is_told:
            assert "JSON" in texts(body).replace(schema, ""), name


@pytest.mark.parametrize("way", WAYS)
async def test_all_that_is_sent_of_a_schema_is_counted(upstream: Upstream, http: Transport, way: str) -> None:
    messages = (Message.of(Role.SYSTEM, "Be brief."), *HELLO.messages)
    for name, kind in FROM_PYDANTIC.items():
        schema = schema_of(kind)
        body = await sent(upstream, http, way, schema, messages)
        held = held_to(body)
        on_the_wire = "" if held is None else json.dumps(held, ensure_ascii=False)
        counted = Prompt(messages, response_schema=schema).tokens(SPEC)
        assert tokens.of_text(texts(body)) + tokens.of_text(on_the_wire) <= counted, name


@pytest.mark.parametrize(
    ("kind", "is_held"),
    [
        (Report, True),
        (Closed, True),
        (Pet, True),
        (Names, True),
        (Cat | Dog, True),
        (Counts, False),
        (Open, False),
        (Tree, False),
    ],
)
async def test_what_cannot_be_closed_or_repeats_itself_is_told_to_anthropic_and_held_by_nobody(
    upstream: Upstream,
    http: Transport,
    kind: Any,  # noqa: ANN401
    is_held: bool,  # noqa: FBT001
) -> None:
    assert (held_to(await sent(upstream, http, "closed", schema_of(kind))) is not None) == is_held


@pytest.mark.parametrize(
    ("kind", "way", "strict"),
    [
        (Closed, "strict", True),
        (Closed, "strict without limits", True),
        (Closed, "never strict", False),
        (Limited, "strict", True),
        (Limited, "strict without limits", False),
        (Report, "strict", False),
        (Counts, "strict", False),
        (Tree, "strict", False),
    ],
)
async def test_only_what_qualifies_is_marked_as_strict(
    upstream: Upstream,
    http: Transport,
    kind: Any,  # noqa: ANN401
    way: str,
    strict: bool,  # noqa: FBT001
) -> None:
    body = await sent(upstream, http, way, schema_of(kind))
    assert body["response_format"]["json_schema"]["strict"] is strict


async def test_a_recursive_model_is_its_own_root_at_openai(upstream: Upstream, http: Transport) -> None:
    body = await sent(upstream, http, "strict", schema_of(Tree))
    schema = held_to(body)
    assert (schema["type"], schema["properties"]["children"]["items"]) == ("object", {"$ref": "#"})
    document = {"value": 1, "children": [{"value": 2, "children": []}]}
    jsonschema.validate(document, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"value": 1, "children": [{}]}, schema)


async def test_an_endpoint_that_sees_to_json_alone_is_not_asked_for_an_object_where_none_fits(
    upstream: Upstream, http: Transport
) -> None:
    assert "response_format" not in await sent(upstream, http, "some JSON", schema_of(list[Item]))
    for kind in (Report, Cat | Dog, Tree):
        assert (await sent(upstream, http, "some JSON", schema_of(kind)))["response_format"] == {"type": "json_object"}


async def test_limits_stand_in_the_descriptions_that_anthropic_reads(upstream: Upstream, http: Transport) -> None:
    form = held_to(await sent(upstream, http, "closed", schema_of(Report)))
    count = form["$defs"]["Item"]["properties"]["count"]
    assert count == {"title": "Count", "type": "integer", "description": "default: 1, maximum: 99, minimum: 1"}
    assert form["$defs"]["Item"]["properties"]["price"]["description"] == "In dollars"
    title = form["properties"]["title"]
    assert title["description"] == r"maxLength: 80, minLength: 1, pattern: ^[A-Z]\w+$"
    assert form["properties"]["written"]["format"] == "date-time"


def test_the_instruction_ends_the_first_system_message_or_is_it() -> None:
    user, system = Message.of(Role.USER, "Hi"), Message.of(Role.SYSTEM, "Be brief.")
    (first, second) = instructed((user,), "{}")
    assert (first.role, second, first.text.endswith("\n{}")) == (Role.SYSTEM, user, True)
    (first, second) = instructed((system, user), "{}")
    assert first.text.startswith("Be brief.\n\nAnswer with")
    assert second is user


def test_no_preset_but_openais_own_puts_limits_into_a_strict_schema() -> None:
    assert [name for name, preset in PRESETS.items() if preset.settings.get("strict_limits")] == []
    assert [name for name, preset in PRESETS.items() if preset.at_home.get("strict_limits")] == ["openai"]


# --- any schema -------------------------------------------------------------------------------------------------------

NAMES = st.sampled_from(["a", "b", "length", "größe", "$ref", "type", 'qu"ote'])
SCALARS = st.none() | st.booleans() | st.integers(-3, 3) | st.text(max_size=3)
NOTES = st.fixed_dictionaries({}, optional={"title": st.text(max_size=5), "description": st.text(max_size=9)})


def noted(schemas: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.builds(lambda one, notes: {**notes, **one}, schemas, NOTES)


def objects(parts: st.SearchStrategy[Any], *, strict: bool) -> st.SearchStrategy[Any]:
    def made(properties: dict[str, Any], left_out: set[str], said: bool) -> dict[str, Any]:  # noqa: FBT001
        required = [name for name in properties if strict or name not in left_out]
        closing = {"additionalProperties": False} if strict or said else {}
        return {"type": "object", "properties": properties, "required": required, **closing}

    names = st.dictionaries(NAMES, parts, min_size=1, max_size=3)
    return st.builds(made, names, st.sets(NAMES), st.booleans())


def schemas(*, strict: bool = False, limits: bool = False) -> st.SearchStrategy[Any]:
    """Return schemas of which a closed form can be made; strict ones, or with limits."""
    plain = [{"type": name} for name in ("boolean", "null", "string", "integer", "number")]
    limited = [
        {"type": "integer", "minimum": -1, "maximum": 1},
        {"type": "number", "multipleOf": 1e-7, "exclusiveMinimum": 0.5},
        {"type": "string", "maxLength": 2, "pattern": r'^"\w\d\\$', "default": "\n"},
        {"type": "string", "minLength": 1, "format": "iri"},
        {"type": "array", "items": {"type": "string"}, "minItems": 2, "uniqueItems": True},
    ]
    choices = st.lists(st.text(max_size=3), min_size=1, max_size=3, unique=True)
    leaves = st.sampled_from(plain + (limited if limits else [])) | choices.map(lambda s: {"type": "string", "enum": s})
    if not strict:
        leaves |= SCALARS.map(lambda value: {"const": value}) | st.just({"type": ["integer", "null"]})
    return st.recursive(
        noted(leaves),
        lambda parts: noted(
            objects(parts, strict=strict)
            | parts.map(lambda one: {"type": "array", "items": one})
            | st.lists(parts, min_size=1, max_size=3).map(lambda several: {"anyOf": several})
        ),
        max_leaves=6,
    )


def rooted_schemas(*, strict: bool = False, limits: bool = False) -> st.SearchStrategy[Any]:
    return objects(schemas(strict=strict, limits=limits), strict=strict)


def values(draw: st.DrawFn, schema: Mapping[str, Any]) -> Any:  # noqa: ANN401 - any JSON
    """Draw a value that satisfies a schema without limits, with no property that it does not name."""
    if "const" in schema or "enum" in schema:
        return draw(st.sampled_from([schema["const"]] if "const" in schema else schema["enum"]))
    if "anyOf" in schema:
        return values(draw, draw(st.sampled_from(schema["anyOf"])))
    kind = schema["type"] if isinstance(schema["type"], str) else draw(st.sampled_from(schema["type"]))
    if kind == "object":
        names = [name for name in schema["properties"] if name in schema.get("required", ()) or draw(st.booleans())]
        return {name: values(draw, schema["properties"][name]) for name in names}
    if kind == "array":
        return [values(draw, schema["items"]) for _ in range(draw(st.integers(0, 2)))]
    simple = {
        "null": st.none(),
        "boolean": st.booleans(),
        "integer": st.integers(),
        "number": st.floats(allow_nan=False, allow_infinity=False),
        "string": st.text(max_size=4),
    }
    return draw(simple[kind])


@st.composite
def schemas_with_values(draw: st.DrawFn) -> tuple[dict[str, Any], Any]:
    """Draw a schema, and a value that may or may not satisfy it."""
    schema = draw(rooted_schemas())
    value = values(draw, schema)
    if draw(st.booleans()) and isinstance(value, dict):
        value[draw(NAMES)] = draw(SCALARS)
    return schema, value


def fits(value: Any, schema: Any) -> bool:  # noqa: ANN401 - any JSON
    return jsonschema.Draft202012Validator(schema).is_valid(value)


def few(schema: Mapping[str, Any]) -> bool:
    """Tell whether a schema has no more unions and optional properties than Anthropic takes."""
    nodes = list(subschemas(schema))
    unions = sum("anyOf" in node or isinstance(node.get("type"), list) for node in nodes)
    return unions <= 16 and sum(len(node.get("properties", ())) - len(node.get("required", ())) for node in nodes) <= 24


@many(80)
@given(schemas_with_values())
def test_what_satisfies_the_closed_form_satisfies_the_schema(drawn: tuple[dict[str, Any], Any]) -> None:
    schema, value = drawn
    form = closed(json.dumps(schema))
    assert form is not None
    if fits(value, json.loads(form)):
        assert fits(value, schema)


@st.composite
def schemas_with_fitting_values(draw: st.DrawFn) -> tuple[dict[str, Any], Any]:
    schema = draw(rooted_schemas())
    return schema, values(draw, schema)


@many(80)
@given(schemas_with_fitting_values())
def test_what_satisfies_the_schema_with_what_it_names_satisfies_the_closed_form(
    drawn: tuple[dict[str, Any], Any],
) -> None:
    schema, value = drawn
    assert fits(value, schema)
    form = closed(json.dumps(schema))
    assert form is not None
    assert fits(value, json.loads(form))


@many(80)
@given(rooted_schemas(limits=True))
def test_every_closed_form_is_taken_and_is_within_what_is_counted(schema: dict[str, Any]) -> None:
    before, text = deepcopy(schema), json.dumps(schema, ensure_ascii=False, separators=(",", ":"))
    form = closed(text)
    assert (form is not None) == few(schema)
    if form is not None:
        made = json.loads(form)
        jsonschema.Draft202012Validator.check_schema(made)
        assert refused_by_anthropic({"output_config": {"format": {"schema": made}}}) == ""
        assert tokens.of_text(form) <= tokens.of_schema(text) - tokens.TOKENS_PER_SCHEMA
    assert schema == before


@many(80)
@given(rooted_schemas(strict=True) | rooted_schemas(limits=True))
def test_what_is_marked_as_strict_is_what_it_was_and_is_taken(schema: dict[str, Any]) -> None:
    text = json.dumps(schema)
    form = rooted(text)
    assert form is not None
    assert form.text == text
    body = {"response_format": {"type": "json_schema", "json_schema": {"schema": schema, "strict": form.strict}}}
    assert refused_by_openai(body) == ""


@many(60)
@given(rooted_schemas(strict=True))
def test_every_schema_that_keeps_to_the_rules_is_strict(schema: dict[str, Any]) -> None:
    form = rooted(json.dumps(schema))
    assert form is not None
    assert form.strict


def deep(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(levels):
        schema = {"type": "object", "properties": {"a": schema}, "required": ["a"], "additionalProperties": False}
    return schema


def of_values(count: int, length: int) -> dict[str, Any]:
    values = [f"{number}".zfill(length) for number in range(count)]
    one = {"type": "string", "enum": values}
    return {"type": "object", "properties": {"a": one}, "required": ["a"], "additionalProperties": False}


@pytest.mark.parametrize(
    ("schema", "strict"),
    [
        (deep(10), True),
        (deep(11), False),
        (of_values(1000, 4), True),
        (of_values(1001, 4), False),
        (of_values(250, 400), True),
        (of_values(251, 400), False),
        ({**deep(1), "$schema": "https://json-schema.org/draft/2020-12/schema"}, True),
        ({**deep(1), "anyOf": [deep(1)]}, False),
        ({**deep(1), "required": []}, False),
        ({**deep(1), "properties": {"a": True}}, False),
        ({**deep(1), "properties": {"a": {"type": "string", "pattern": "^(?=a)"}}}, False),
        ({**deep(1), "properties": {"a": {"type": "string", "format": "uri"}}}, False),
        ({**deep(1), "properties": {"a": {"type": "string", "format": ["date"]}}}, False),
        ({**deep(1), "properties": {"a": {"type": "array"}}}, False),
        ({**deep(1), "properties": {"a": {"enum": ["x"]}}}, False),
        ({**deep(1), "properties": {"a": {"type": "string", "enum": [[1]]}}}, False),
        ({**deep(1), "properties": {"a": {"$ref": "#", "description": "again"}}}, False),
        ({**deep(1), "properties": {"a": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}}}, True),
    ],
)
def test_the_limits_of_strict_schemas(schema: dict[str, Any], strict: bool) -> None:  # noqa: FBT001
    form = rooted(json.dumps(schema))
    assert form is not None
    assert form.strict is strict


@pytest.mark.parametrize(
    "part",
    [
        {"type": "object"},
        {"type": "object", "additionalProperties": {"type": "integer"}},
        {"type": "object", "properties": {"x": {"type": "null"}}, "additionalProperties": True},
        {"type": "object", "properties": {"x": {"type": "null"}}, "patternProperties": {"^y": {"type": "null"}}},
        {"type": "object", "properties": {"x": {"type": "null"}}, "required": ["y"]},
        {"type": "object", "properties": {"x": {"type": "null"}}, "anyOf": [{"required": ["x"]}]},
        {"allOf": [{"type": "string"}, {"maxLength": 3}]},
        {"allOf": [{"type": "string"}], "maxLength": 3},
        {"not": {"type": "string"}},
        {"type": "array"},
        {"type": "array", "items": True},
        {"type": "array", "prefixItems": [{"type": "string"}]},
        {"enum": [{"a": 1}]},
        {"const": [1]},
        {"title": "Anything"},
        {"$ref": "#"},
        {"$ref": "#/properties/b"},
        {"$ref": "#/$defs/round"},
        {"type": "string", "$anchor": "here"},
        {"type": "text"},
    ],
    ids=json.dumps,
)
def test_what_a_closed_form_cannot_say_makes_none(part: dict[str, Any]) -> None:
    definitions = {"round": {"type": "array", "items": {"$ref": "#/$defs/round"}}} if "round" in str(part) else {}
    whole = {"type": "object", "properties": {"a": part, "b": {"type": "null"}}, "$defs": definitions}
    assert closed(json.dumps(whole)) is None


class Characters:
    """A tokenizer for which every character is a token."""

    def count(self, text: str) -> int:
        return len(text)


def test_a_form_that_comes_to_more_than_is_counted_is_not_sent() -> None:
    limited = {"type": "object", "properties": {name: {"type": "integer", "minimum": 0} for name in "abcdefgh"}}
    text = json.dumps(limited, separators=(",", ":"))
    assert closed(text) is not None
    assert closed(text, Characters()) is None


@pytest.mark.parametrize("text", ["", "[]", "7", "{", '{"type": "object", "x": ' + "[" * 5_000 + "]" * 5_000 + "}"])
def test_what_is_no_schema_has_no_form(text: str) -> None:
    assert closed(text) is None
    assert rooted(text) is None
