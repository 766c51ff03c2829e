"""Derives a section of the file from a frozen dataclass: its keys, how they are read and described, and the way back.

A field is a key. What its type does not say stands at the field, in the words of `moa_server.domain.quantities`.
"""

import ast
import dataclasses
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, is_dataclass, replace
from functools import cache, partial
from itertools import pairwise
from pathlib import Path
from textwrap import dedent
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Self, TypeVar, Union, get_args, get_origin, get_type_hints

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    TypeAdapter,
    ValidationInfo,
    create_model,
)
from pydantic_core import PydanticCustomError

from moa_server.domain.model import Secret
from moa_server.domain.quantities import Called, Form, Length, Mark, NameOf, Range, Words
from moa_server.settings.problem import Place
from moa_server.settings.secret import SecretReference, only_a_reference, referred
from moa_server.settings.units import FORMS

_Made = TypeVar("_Made")
_Mark = TypeVar("_Mark")

Kind = Any
"""A frozen dataclass, the class itself."""
Readable = Any
"""What pydantic takes for the type of a value."""
# They are given what is made here, which mypy would look for among the types that it knows.
_annotated: Any = Annotated
_any_of: Any = Union
_list_of: Any = tuple
_mapping_of: Any = dict

AT_KEY = "at_key"
"""The type of an error that belongs to a key of the section it is told of."""
TEXT, NUMBER, LIST, MAPPING = SHAPES = ("<text>", "<number>", "<list>", "<mapping>")
"""The tags by which the forms of one key are told apart."""
_ATTRIBUTE = "key_"
"""Stands before a key where it is an attribute of a model, since a key may be called ``schema`` or ``model_config``."""


def _once(derive: Callable[[Kind], _Made]) -> Callable[[Kind], _Made]:
    """Derive the same of a dataclass once; of a plain ``cache``, mypy takes no class for the key."""
    return cache(derive)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a value of the file may refer to."""

    folder: Path
    """Where the file is."""
    names: Mapping[str, Sequence[str]]
    """All the names there are, by what is named; those of refused entries too."""


@dataclass(frozen=True, slots=True)
class MarkedType:
    """A type, parted from what is said beside it, and from None, which a field is when its key is left out."""

    bare: Any
    marks: tuple[Any, ...] = ()

    @classmethod
    def of(cls, annotation: Any) -> Self:  # noqa: ANN401 - of any type
        """Take an annotation apart."""
        if get_origin(annotation) is Annotated:
            inner = cls.of(annotation.__origin__)
            return cls(inner.bare, (*inner.marks, *annotation.__metadata__))
        if get_origin(annotation) in {Union, UnionType} and NoneType in get_args(annotation):
            return cls.of(_any_of[tuple(part for part in get_args(annotation) if part is not NoneType)])
        return cls(annotation)

    def mark(self, kind: type[_Mark]) -> _Mark | None:
        """Return what is said of one kind."""
        return next((mark for mark in self.marks if isinstance(mark, kind)), None)

    @property
    def origin(self) -> Any:  # noqa: ANN401 - such as tuple, of tuple[str, ...]
        return Union if get_origin(self.bare) is UnionType else get_origin(self.bare)

    @property
    def parts(self) -> tuple["MarkedType", ...]:
        """The types in it, in their order."""
        return tuple(MarkedType.of(part) for part in get_args(self.bare) if part is not ...)

    @property
    def forms(self) -> tuple["MarkedType", ...]:
        """The types of which its value can be."""
        return self.parts if self.origin is Union else (self,)

    @property
    def shape(self) -> str:
        """What its value looks like in the file."""
        return MAPPING if is_dataclass(self.bare) else {tuple: LIST, int: NUMBER}.get(self.origin or self.bare, TEXT)


@dataclass(frozen=True, slots=True)
class SectionKey:
    """A key of a section."""

    name: str
    path: tuple[str, ...]
    """The fields that lead to its value."""
    type: MarkedType
    default: Any
    """`MISSING` when it has to be given."""
    text: str
    """What it means."""

    def value_in(self, value: Any) -> Any:  # noqa: ANN401 - whatever the field holds
        """Return what it stands for in a value of the dataclass."""
        for name in self.path:
            value = getattr(value, name)
        return value


@dataclass(frozen=True, slots=True)
class Leaf:
    """A value that is no mapping, and where it stands."""

    place: Place
    type: MarkedType
    value: Any


class Section(BaseModel):
    """A mapping with known keys."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


@_once
def keys_of(kind: Kind) -> tuple[SectionKey, ...]:
    """Return the keys of the section that a dataclass makes."""
    texts = _texts_under_fields(kind)
    found: list[SectionKey] = []
    for field, marked in _fields(kind):
        if Mark.FLAT in marked.marks:
            found += [replace(key, path=(field.name, *key.path)) for key in keys_of(marked.bare)]
        elif not {Mark.OWN_NAME, Mark.INTERNAL} & set(marked.marks):
            called, own = marked.mark(Called), field.name
            name = called.key if called else own.removesuffix("_s") if Form.SECONDS in marked.marks else own
            default = field.default if field.default_factory is MISSING else field.default_factory()
            text = texts.get(own) or (inspect.getdoc(marked.bare) or "" if is_dataclass(marked.bare) else "")
            found.append(SectionKey(name, (own,), marked, default, text))
    return tuple(found)


@_once
def reader_of(kind: Kind) -> TypeAdapter[Any]:
    """Return what reads plain data as a value of the dataclass, and has its JSON Schema."""
    return TypeAdapter(_read_section(kind))


def leaves(marked: MarkedType, value: Any, place: Place = ()) -> Iterator[Leaf]:  # noqa: ANN401 - any part of the file
    """Yield what is in a value that was read: every scalar, and every list before what is in it."""
    if value is None:
        return
    if len(marked.forms) > 1:
        marked = next(form for form in marked.forms if form.shape == _shape(value))
    if is_dataclass(marked.bare):
        for key in keys_of(marked.bare):
            yield from leaves(key.type, key.value_in(value), (*place, key.name))
    elif marked.origin is Mapping:
        for name, part in value.items():
            yield from leaves(marked.parts[1], part, (*place, name))
    else:
        yield Leaf(place, marked, value)
        for index, part in enumerate(value if marked.origin is tuple else ()):
            yield from leaves(marked.parts[0], part, (*place, index))


def types_at(kind: Kind, place: Place) -> list[MarkedType]:
    """Return the types that a value at a place of the section may have; none where there is no such place."""
    found = [MarkedType(kind)]
    for step in place:
        inner = [part for marked in found for part in _inside(marked, step)]
        found = [form for marked in inner for form in marked.forms]
    return found


def at_key(kind: Kind, sentence: str) -> tuple[str | None, str]:
    """Return the key that a sentence about a value is about, if it begins with its field: ``field: what is wrong``."""
    field, colon, rest = sentence.partition(": ")
    name = next((key.name for key in keys_of(kind) if key.path[-1] == field), None)
    return (name, rest) if colon and name is not None else (None, sentence)


def in_the_file(marked: MarkedType, value: Any) -> Any:  # noqa: ANN401 - plain data of any shape
    """Return a value as it is written, without what is left out."""
    if is_dataclass(marked.bare):
        values = ((key, key.value_in(value)) for key in keys_of(marked.bare))
        return {key.name: in_the_file(key.type, part) for key, part in values if part is not None}
    if words := marked.mark(Words):
        return words.true if value else words.false
    return [in_the_file(marked.parts[0], part) for part in value] if marked.origin is tuple else value


def _inside(marked: MarkedType, step: str | int) -> tuple[MarkedType, ...]:
    """Return the types of what is one step below."""
    if marked.bare is Secret:
        return _inside(MarkedType(SecretReference), step)
    if is_dataclass(marked.bare):
        return tuple(key.type for key in keys_of(marked.bare) if key.name == step)
    return marked.parts[-1:] if marked.origin in {Mapping, tuple} else ()


@_once
def _read_section(kind: Kind) -> Readable:
    """Return what reads a section and makes the dataclass of it."""
    keys: dict[str, Any] = {}
    for key in keys_of(kind):
        # What pydantic takes for the default only lets the key be left out: the dataclass has its own.
        default = ... if key.default is MISSING else None
        about = Field(default, alias=key.name, description=key.text, json_schema_extra=partial(_show_default, key))
        keys[_ATTRIBUTE + key.name] = (_read(key.type), about)
    section = create_model(kind.__name__, __base__=Section, __doc__=inspect.getdoc(kind), **keys)
    whole = _annotated[section, AfterValidator(partial(_made, kind))]
    alone = next((key for key in keys_of(kind) if Mark.ALONE in key.type.marks), None)
    if alone is None:
        return whole
    short = _annotated[_read(alone.type), AfterValidator(lambda value: kind(**{alone.path[-1]: value}))]
    return _told_apart({alone.type.shape: short, MAPPING: whole})


def _read(marked: MarkedType) -> Readable:  # noqa: PLR0911 - one return a kind of type
    if marked.bare is Secret:
        return _annotated[_read_section(SecretReference), BeforeValidator(only_a_reference), AfterValidator(referred)]
    if marked.bare is Path:
        return _annotated[str, Field(min_length=1, max_length=4096), AfterValidator(_beside_the_file)]
    if is_dataclass(marked.bare):
        return _read_section(marked.bare)
    if marked.origin is Union:
        return _told_apart({form.shape: _read(form) for form in marked.forms})
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
    tagged = tuple(_annotated[form, Tag(tag)] for tag, form in forms.items())
    return _annotated[_any_of[tagged], Discriminator(_shape)]


def _every(name: MarkedType) -> Readable:
    """Return what reads ``all`` as every name there is."""

    def names(_: str, info: ValidationInfo) -> tuple[str, ...]:
        kind = name.mark(NameOf)
        return tuple(info.context.names[kind.kind]) if info.context and kind else ()

    return _annotated[Literal["all"], AfterValidator(names)]


def _shape(value: Any) -> str | None:  # noqa: ANN401 - whatever stands in the file, or was made of it
    if isinstance(value, dict) or is_dataclass(value):
        return MAPPING
    return {str: TEXT, int: NUMBER, list: LIST, tuple: LIST}.get(type(value))


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
    for field, marked in _fields(kind):
        if field.name in inner:
            values[field.name] = marked.bare(**inner[field.name])
        elif Mark.OWN_NAME in marked.marks:
            values[field.name] = ""  # the mapping that it stands in tells it
    try:
        return kind(**values)
    except ValueError as error:
        key_name, sentence = at_key(kind, str(error))
        if key_name is None:
            raise
        raise PydanticCustomError(AT_KEY, "{sentence}", {"key": key_name, "sentence": sentence}) from None


def _with_names(kind: Kind, values: dict[str, Any]) -> dict[str, Any]:
    """Tell each value the key that it stands under, where it has a field for it."""
    known = _fields(kind) if is_dataclass(kind) else ()
    own = next((field.name for field, marked in known if Mark.OWN_NAME in marked.marks), None)
    return values if own is None else {key: replace(value, **{own: key}) for key, value in values.items()}


@_once
def _fields(kind: Kind) -> tuple[tuple[dataclasses.Field[Any], MarkedType], ...]:
    hints = get_type_hints(kind, include_extras=True)
    return tuple((field, MarkedType.of(hints[field.name])) for field in dataclasses.fields(kind))


def _beside_the_file(path: str, info: ValidationInfo) -> Path:
    return (info.context.folder if info.context else Path()) / path


def _texts_under_fields(kind: Kind) -> dict[str, str]:
    """Return the text under each field of a class and of those it comes from, as far as their source is at hand."""
    texts: dict[str, str] = {}
    for each in reversed(kind.__mro__):
        try:
            tree = ast.parse(dedent(inspect.getsource(each)))
        except (OSError, TypeError):
            continue
        body = next((node.body for node in tree.body if isinstance(node, ast.ClassDef)), [])
        texts |= {
            field.target.id: inspect.cleandoc(text.value.value)
            for field, text in pairwise(body)
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
            if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant) and isinstance(text.value.value, str)
        }
    return texts
