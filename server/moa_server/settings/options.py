"""Reads a strategy's own options, whatever their type is."""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any, get_type_hints

from pydantic import Field, ValidationError, create_model
from pydantic.fields import FieldInfo

from moa_server.domain.strategy import Strategy
from moa_server.settings.complaints import complaints
from moa_server.settings.docstrings import under_fields
from moa_server.settings.findings import Findings
from moa_server.settings.problem import Place
from moa_server.settings.section import Section


def section_of(strategy: Strategy[Any]) -> type[Section]:
    """Return the section that a strategy's options make."""
    hints = get_type_hints(strategy.options, include_extras=True)
    texts = under_fields(strategy.options)
    own: dict[str, Any] = {
        field.name: (hints[field.name], _field(field, texts.get(field.name)))
        for field in dataclasses.fields(strategy.options)
    }
    said = f"What the strategy {strategy.name} can be told."
    section: type[Section] = create_model(f"Options of {strategy.name}", __base__=Section, __doc__=said, **own)
    return section


def options(
    strategy: Strategy[Any], said: Mapping[str, Any], place: Place, findings: Findings
) -> tuple[dict[str, Any], Any] | None:
    """Return the options as plain data and as the strategy reads them; None when they are wrong."""
    section = section_of(strategy)
    try:
        plain = section.model_validate_json(json.dumps(said)).model_dump()
    except ValidationError as error:
        findings.problems += complaints(section, error, place)
        return None
    return findings.tried(place, lambda: (plain, strategy.read(plain)))


def _field(field: dataclasses.Field[Any], text: str | None) -> FieldInfo:
    made: FieldInfo
    if field.default_factory is not dataclasses.MISSING:
        made = Field(default_factory=field.default_factory, description=text)
    elif field.default is not dataclasses.MISSING:
        made = Field(field.default, description=text)
    else:
        made = Field(description=text)
    return made
