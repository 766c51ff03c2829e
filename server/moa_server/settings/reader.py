"""Reads a section with pydantic, and makes of it the dataclass that it is derived from."""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, is_dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args

import pydantic
from pydantic import AfterValidator, Field, ValidationInfo
from pydantic_core import PydanticCustomError

from moa_server.domain.model import Secret
from moa_server.domain.quantities import Form, Length, Mark, NameOf, Range, Words
from moa_server.settings.derived import (
    LIST,
    MAPPING,
    TEXT,
    Kind,
    MarkedType,
    SectionKey,
    at_key,
    fields_of,
    in_the_file,
    keys_of,
    once,
    reference_in,
    shape_of,
)
from moa_server.settings.secret import SecretReference, only_a_reference, referred
from moa_server.settings.units import FORMS

Readable = Any
"""What pydantic takes for the type of a value."""
# As values, since mypy would look for what is made here among the types that it knows.
_annotated: Any = Annotated
_any_of: Any = Union
_list_of: Any = tuple
_mapping_of: Any = dict

AT_KEY = "at_key"
"""The type of an error that belongs to a key of the section it is told of."""
_ATTRIBUTE = "key_"
"""Stands before a key where it is an attribute of a model, since a key may be called ``schema`` or ``model_config``."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a value of the file may refer to."""

    folder: Path
    """Where the file is."""
    names: Mapping[str, Sequence[str]]
    """All the names there are, by what is named; those of refused entries too."""


class Section(pydantic.BaseModel):
    """A mapping with known keys."""

    model_config = pydantic.ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


@once
def reader_of(kind: Kind) -> pydantic.TypeAdapter[Any]:
    """Return what reads plain data as a value of the dataclass, and has its JSON Schema."""
    return pydantic.TypeAdapter(_read_section(kind))


@once
def _read_section(kind: Kind) -> Readable:
    """Return what reads a section and makes the dataclass of it."""
    keys: dict[str, Any] = {}
    for key in keys_of(kind):
        # What pydantic takes for the default only lets the key be left out: the dataclass has its own.
        default = ... if key.default is MISSING else None
        about = Field(default, alias=key.name, description=key.text, json_schema_extra=partial(_show_default, key))
        keys[_ATTRIBUTE + key.name] = (_read(key.type), about)
    section = pydantic.create_model(kind.__name__, __base__=Section, __doc__=inspect.getdoc(kind), **keys)
    whole = _annotated[section, AfterValidator(partial(_made, kind))]
    # A key that came here from a value within stands for that one, not for the whole.
    alone = next((key for key in keys_of(kind) if Mark.ALONE in key.type.marks and len(key.path) == 1), None)
    if alone is None:
        return whole
    short = _annotated[_read(alone.type), AfterValidator(lambda value: kind(**{alone.path[-1]: value}))]
    return _told_apart({alone.type.shape: short, MAPPING: whole})


def _read(marked: MarkedType) -> Readable:  # noqa: PLR0911 - one return a kind of type
    if marked.bare is Secret:
        kind = reference_in(marked)
        only = pydantic.BeforeValidator(partial(only_a_reference, kind))
        return _annotated[_read_section(kind), only, AfterValidator(_referred)]
    if marked.bare is Path:
        return _annotated[str, Field(min_length=1, max_length=4096), AfterValidator(_beside_the_file)]
    if is_dataclass(marked.bare):
        return _read_section(marked.bare)
    if marked.origin is Union:
        shapes = {form.shape: _read(form) for form in marked.forms}
        return _told_apart(shapes) if len(shapes) == len(marked.forms) else _any_of[tuple(map(_read, marked.forms))]
    if words := marked.mark(Words):
        return _annotated[Literal[words.true, words.false], AfterValidator(lambda word: word == words.true)]
    if marked.origin is Mapping:
        names, values = marked.parts
        mapping = _mapping_of[_read(names), _read(values)]
        return _annotated[_bounded(mapping, marked), AfterValidator(partial(_with_names, values.bare))]
    if marked.origin is tuple:
        inner = tuple(part if part is ... else _read(MarkedType.of(part)) for part in get_args(marked.bare))
        read = _bounded(_list_of[inner], marked)
        return _told_apart({TEXT: _every(marked.parts[0]), LIST: read}) if Mark.OR_ALL in marked.marks else read
    return _bounded(marked.bare, marked)


def _bounded(read: Readable, marked: MarkedType) -> Readable:
    """Return what reads only what the marks let pass."""
    for mark in marked.marks:
        if isinstance(mark, Range):
            read = _annotated[read, Field(ge=mark.least, gt=mark.above, le=mark.most, lt=mark.below)]
        elif isinstance(mark, Length):
            read = _annotated[read, Field(min_length=mark.least or None, max_length=mark.most)]
        elif isinstance(mark, Form):
            for part in FORMS[mark]:
                read = _annotated[read, part]
    return read


def _told_apart(forms: Mapping[str, Readable]) -> Readable:
    """Return what reads a key of several forms. They are told apart by their shape, so that one of them is judged."""
    tagged = tuple(_annotated[form, pydantic.Tag(tag)] for tag, form in forms.items())
    return _annotated[_any_of[tagged], pydantic.Discriminator(shape_of)]


def _every(name: MarkedType) -> Readable:
    """Return what reads ``all`` as every name there is."""

    def names(_: str, info: ValidationInfo) -> tuple[str, ...]:
        kind = name.mark(NameOf)
        return tuple(info.context.names[kind.kind]) if info.context and kind else ()

    return _annotated[Literal["all"], AfterValidator(names)]


def _show_default(key: SectionKey, schema: dict[str, Any]) -> None:
    """Show in the JSON Schema the default that the dataclass has, unless it could not be written."""
    schema.pop("default", None)
    length = key.type.mark(Length)
    least = 1 if key.type.mark(Form) else length.least if length else 0
    if key.default is not MISSING and key.default is not None and (key.default != "" or not least):
        schema["default"] = in_the_file(key.type, key.default)


def _made(kind: Kind, said: Section) -> Any:  # noqa: ANN401 - a value of the dataclass
    """Make the dataclass of what a section says; what it does not say has the default of its field."""
    values: dict[str, Any] = {}
    inner: dict[str, dict[str, Any]] = {}
    for key in keys_of(kind):
        if _ATTRIBUTE + key.name in said.model_fields_set:
            *above, last = key.path
            part = inner.setdefault(above[0], {}) if above else values
            part[last] = getattr(said, _ATTRIBUTE + key.name)
    try:
        for field, marked in fields_of(kind):
            if field.name in inner:
                values[field.name] = marked.bare(**inner[field.name])
            elif Mark.OWN_NAME in marked.marks:
                values[field.name] = ""  # the mapping that it stands in tells it
        return kind(**values)
    except ValueError as error:
        key_name, sentence = at_key(kind, str(error))
        if key_name is None:
            raise
        raise PydanticCustomError(AT_KEY, "{sentence}", {"key": key_name, "sentence": sentence}) from None


def _with_names(kind: Kind, values: dict[str, Any]) -> dict[str, Any]:
    """Tell each value the key that it stands under, where it has a field for it."""
    known = fields_of(kind) if is_dataclass(kind) else ()
    own = next((field.name for field, marked in known if Mark.OWN_NAME in marked.marks), None)
    return values if own is None else {key: replace(value, **{own: key}) for key, value in values.items()}


def _referred(reference: SecretReference, info: ValidationInfo) -> Secret:
    return referred(reference, info.context.folder if info.context else Path())


def _beside_the_file(path: str, info: ValidationInfo) -> Path:
    return (info.context.folder if info.context else Path()) / path
