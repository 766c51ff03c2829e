"""What OpenAI and Anthropic refuse of a schema, as their documents say, and schemas as pydantic writes them."""

import enum
import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AnyUrl, BaseModel, ConfigDict, Field, RootModel, TypeAdapter

KEYWORDS_OF_ANTHROPIC = {
    "$defs", "$ref", "additionalProperties", "allOf", "anyOf", "const", "definitions", "description", "enum", "format",
    "items", "minItems", "properties", "required", "title", "type",
}  # fmt: skip
UNSUPPORTED_BY_OPENAI = {
    "allOf", "default", "dependentRequired", "dependentSchemas", "else", "if", "maxLength", "minLength", "not", "oneOf",
    "patternProperties", "prefixItems", "propertyNames", "then", "unevaluatedProperties", "uniqueItems",
}  # fmt: skip


def subschemas(node: Any) -> Iterator[Mapping[str, Any]]:  # noqa: ANN401 - any JSON
    """Yield a schema and all in it, whatever is under its keywords."""
    assert isinstance(node, dict), f"{node!r} is no subschema that an endpoint takes"
    yield node
    for place in ("properties", "$defs", "definitions", "patternProperties"):
        for one in node.get(place, {}).values():
            yield from subschemas(one)
    for place in ("anyOf", "oneOf", "allOf", "prefixItems"):
        for one in node.get(place, ()):
            yield from subschemas(one)
    for place in ("items", "additionalProperties"):
        if isinstance(node.get(place), dict):
            yield from subschemas(node[place])


def refused_by_openai(body: Mapping[str, Any]) -> str:
    """Return why a request's response format is refused; nothing if it is taken."""
    held = body.get("response_format") or {}
    if held.get("type") == "json_object":
        return "" if "JSON" in json.dumps(body["messages"]) else "'messages' must contain the word 'json'"
    if held.get("type") != "json_schema":
        return ""
    root, strict = held["json_schema"]["schema"], held["json_schema"]["strict"]
    if root.get("type") != "object":
        return f"schema must be a JSON Schema of 'type: \"object\"', got 'type: {root.get('type')}'"
    return next((why for node in subschemas(root) for why in _strict_faults(node)), "") if strict else ""


def _strict_faults(node: Mapping[str, Any]) -> Iterator[str]:
    if "$ref" in node and len(node) > 1:
        yield f"$ref cannot have keywords {set(node) - {'$ref'}}"
    if found := UNSUPPORTED_BY_OPENAI & node.keys():
        yield f"{found} is not permitted"
    if "properties" in node or node.get("type") == "object":
        if node.get("additionalProperties") is not False:
            yield "'additionalProperties' is required to be supplied and to be false"
        if set(node.get("required", ())) != set(node.get("properties", {})):
            yield "'required' is required to be supplied and to include every key in properties"
    if not {"$ref", "anyOf", "type"} & node.keys():
        yield "schema must have a 'type' key"
    if node.get("format") in {"uri", "binary", "path"}:
        yield f"{node['format']!r} is not a valid format"


def refused_by_anthropic(body: Mapping[str, Any]) -> str:
    """Return why a request's output format is refused; nothing if it is taken."""
    form = (body.get("output_config") or {}).get("format")
    if form is None:
        return ""
    unions = 0
    for node in subschemas(form["schema"]):
        if extra := node.keys() - KEYWORDS_OF_ANTHROPIC:
            return f"{extra} is not supported"
        types = node.get("type", ())
        unions += "anyOf" in node or isinstance(types, list)
        if "object" in types and node.get("additionalProperties") is not False:
            return "For 'object' type, 'additionalProperties' must be explicitly set to false"
        if node.get("minItems", 0) not in (0, 1):
            return "For 'array' type, 'minItems' values other than 0 or 1 are not supported"
        if not {"$ref", "anyOf", "const", "enum", "type"} & node.keys():
            return "Schema type is missing"
    return "Schemas contains too many parameters with union types" if unions > 16 else ""


class Grade(enum.Enum):
    GOOD = "good"
    BAD = "bad"


class Item(BaseModel):
    """A thing."""

    name: str
    price: float | None = Field(None, description="In dollars")
    count: Annotated[int, Field(ge=1, le=99)] = 1


class Report(BaseModel):
    """Optional fields, defaults, definitions, choices, a list of models, limits, dates."""

    title: Annotated[str, Field(min_length=1, max_length=80, pattern=r"^[A-Z]\w+$")]
    kind: Literal["short", "long"]
    grade: Grade = Grade.GOOD
    items: list[Item] = Field(default_factory=list, max_length=5)
    best: Item | None = None
    written: datetime
    source: AnyUrl | None = None
    tags: set[str] = Field(default_factory=set)


class Closed(BaseModel):
    """All that a strict schema asks for."""

    model_config = ConfigDict(extra="forbid")
    total: float
    parts: list["ClosedPart"]
    grade: Grade


class ClosedPart(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str
    note: str | None


class Limited(BaseModel):
    model_config = ConfigDict(extra="forbid")
    age: Annotated[int, Field(ge=0, le=120)]


class Counts(BaseModel):
    words: dict[str, int]


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")
    name: str


class Tree(BaseModel):
    value: int
    children: list["Tree"] = []


class Cat(BaseModel):
    kind: Literal["cat"] = "cat"
    lives: int


class Dog(BaseModel):
    kind: Literal["dog"] = "dog"
    bark: bool


class Pet(BaseModel):
    pet: Annotated[Cat | Dog, Field(discriminator="kind")]


class Anything(BaseModel):
    value: Any
    pair: tuple[int, str]


class Names(RootModel[list[str]]):
    pass


def schema_of(kind: Any) -> str:  # noqa: ANN401 - any type that pydantic knows
    """Return the schema as a caller sends it."""
    return json.dumps(TypeAdapter(kind).json_schema())


FROM_PYDANTIC = {
    "optional, defaults, definitions, choices": Report,
    "closed": Closed,
    "limits": Limited,
    "a dict": Counts,
    "open on purpose": Open,
    "recursive": Tree,
    "a tagged union": Pet,
    "anything, and a tuple": Anything,
    "a list of texts": Names,
    "a list of models": list[Item],
    "a union of models": Cat | Dog,
    "a number": int,
}
