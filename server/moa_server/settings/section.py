"""What all sections of the file have in common."""

from types import NoneType
from typing import Annotated, Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler
from pydantic_core import CoreSchema

_Value = TypeVar("_Value")


class Section(BaseModel):
    """A mapping with known keys; the text under a field is what editors show for it."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


class _Given:
    """Reads a value as its own type: None is what a field is when its key is left out, and cannot be written."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:  # noqa: ANN401
        (given,) = (part for part in get_args(source) if part is not NoneType)
        return handler.generate_schema(given)


Maybe = Annotated[_Value | None, _Given()]
"""A key that may be left out."""
Name = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._:/@+-]*$")]
"""What models, agents, mixtures and callers are called."""
Names = tuple[Name, ...]

TEXT, NUMBER, LIST, MAPPING = "<text>", "<number>", "<list>", "<mapping>"
_SHAPES = {str: TEXT, int: NUMBER, list: LIST, tuple: LIST, dict: MAPPING}


def shape(value: Any) -> str | None:  # noqa: ANN401 - whatever stands in the file
    """Return the tag by which a choice of shapes is told apart."""
    return MAPPING if isinstance(value, Section) else _SHAPES.get(type(value))
