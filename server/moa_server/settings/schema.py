"""Writes the configuration's JSON Schema, by which editors complete and check it."""

from typing import Any

from moa_server.domain.strategy import Strategy
from moa_server.settings.catalogue import Catalogue
from moa_server.settings.file_section import FileSection
from moa_server.settings.options import section_of

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema(catalogue: Catalogue) -> dict[str, Any]:
    """Return the schema, with the options of each strategy."""
    schema = _without_nulls(FileSection.model_json_schema())
    parts = schema["$defs"]
    parts["ModelSection"]["properties"]["provider"]["enum"] = sorted(catalogue.providers)
    mixture = parts["MixtureSection"]
    mixture["properties"]["strategy"]["enum"] = sorted(catalogue.strategies)
    mixture["allOf"] = [_with_options(strategy, parts) for _, strategy in sorted(catalogue.strategies.items())]
    return {"$schema": _DIALECT, **schema}


def _with_options(strategy: Strategy[Any], parts: dict[str, Any]) -> dict[str, Any]:
    options = _without_nulls(section_of(strategy).model_json_schema(ref_template="#/$defs/{model}"))
    parts.update(options.pop("$defs", {}))
    key = f"Options_{strategy.name}"
    parts[key] = options
    return {
        "if": {"properties": {"strategy": {"const": strategy.name}}, "required": ["strategy"]},
        "then": {"properties": {"options": {"$ref": f"#/$defs/{key}"}}},
    }


def _without_nulls(value: Any) -> Any:  # noqa: ANN401 - JSON of any shape
    """Leave out defaults that cannot be written: a key without a value is refused."""
    if isinstance(value, list):
        return [_without_nulls(part) for part in value]
    if isinstance(value, dict):
        kept = {key: part for key, part in value.items() if not (key == "default" and part is None)}
        return {key: _without_nulls(part) for key, part in kept.items()}
    return value
