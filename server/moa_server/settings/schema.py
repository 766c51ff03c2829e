"""Writes the configuration's JSON Schema, by which editors complete and check it."""

from typing import Any

from moa_server.domain.model import ModelSpec
from moa_server.settings.file import MixtureSection, file_section
from moa_server.settings.reader import reader_of
from moa_server.settings.settings import Choices

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema(choices: Choices) -> dict[str, Any]:
    """Return the schema, with the options of each strategy and of each provider's dialect."""
    schema = reader_of(file_section(tuple(choices.journals.items()))).json_schema()
    parts = schema["$defs"]
    model, mixture = parts[ModelSpec.__name__], parts[MixtureSection.__name__]
    model["properties"]["provider"]["enum"] = sorted(choices.providers)
    mixture["properties"]["strategy"]["enum"] = sorted(choices.strategies)
    dialects: dict[type[Any], list[str]] = {}
    for name, provider in sorted(choices.providers.items()):
        dialects.setdefault(provider.options, []).append(name)
    model["allOf"] = [
        _where({"provider": {"enum": names}}, "dialect", _added(parts, options.__name__, options))
        for options, names in dialects.items()
    ]
    mixture["allOf"] = [
        _where({"strategy": {"const": name}}, "options", _added(parts, f"Options_{name}", strategy.options))
        for name, strategy in sorted(choices.strategies.items())
    ]
    return {"$schema": _DIALECT, **schema}


def _added(parts: dict[str, Any], name: str, options: type[Any]) -> dict[str, Any]:
    """Add the schema of options to the parts, and return a reference to it."""
    schema = reader_of(options).json_schema(ref_template="#/$defs/{model}")
    parts.update(schema.pop("$defs", {}))
    parts[name] = schema
    return {"$ref": f"#/$defs/{name}"}


def _where(said: dict[str, Any], key: str, schema: dict[str, Any]) -> dict[str, Any]:
    """Return that a key has a schema where another one says something."""
    return {"if": {"properties": said, "required": list(said)}, "then": {"properties": {key: schema}}}
