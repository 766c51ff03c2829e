"""Derives a section of the file from a frozen dataclass: its keys, what each takes and means, and where values stand.

A field is a key. What its type does not say stands at the field, in the words of `moa_server.domain.quantities`.
"""

import ast
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass, replace
from functools import cache
from itertools import pairwise
from textwrap import dedent
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Self, TypeVar, Union, get_args, get_origin, get_type_hints

from moa_server.domain.model import Secret
from moa_server.domain.quantities import Called, Form, Mark, Words
from moa_server.settings.problem import Place
from moa_server.settings.secret import KeyReference, SecretReference

_Made = TypeVar("_Made")
_Mark = TypeVar("_Mark")

Kind = Any
"""A frozen dataclass, the class itself."""
# As values, since mypy would look for what is made here among the types that it knows.
_any_of: Any = Union
_one_of: Any = Literal

TRUTH, NUMBER, TEXT, LIST, MAPPING = SHAPES = ("<truth>", "<number>", "<text>", "<list>", "<mapping>")
"""What values look like in the file; by these the forms of one key are told apart."""
_SHAPES = {bool: TRUTH, int: NUMBER, float: NUMBER, str: TEXT, list: LIST, tuple: LIST, dict: MAPPING, Mapping: MAPPING}


def once(derive: Callable[[Kind], _Made]) -> Callable[[Kind], _Made]:
    """Derive the same of a dataclass once; of a plain ``cache``, mypy takes no class for the key."""
    return cache(derive)


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
        if get_origin(annotation) not in {Union, UnionType}:
            return cls(annotation)
        parts = tuple(part for part in get_args(annotation) if part is not NoneType)
        if all(get_origin(part) is Literal for part in parts):
            return cls(_one_of[tuple(choice for part in parts for choice in get_args(part))])
        return cls.of(parts[0]) if len(parts) == 1 else cls(_any_of[parts])

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
        return MAPPING if is_dataclass(self.bare) else _SHAPES.get(self.origin or self.bare, TEXT)


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


@once
def fields_of(kind: Kind) -> tuple[tuple[Field[Any], MarkedType], ...]:
    """Return the fields of a dataclass, each with its type."""
    hints = get_type_hints(kind, include_extras=True)
    return tuple((field, MarkedType.of(hints[field.name])) for field in fields(kind))


@once
def keys_of(kind: Kind) -> tuple[SectionKey, ...]:
    """Return the keys of the section that a dataclass makes."""
    texts = _texts_under_fields(kind)
    found: list[SectionKey] = []
    for field, marked in fields_of(kind):
        if Mark.FLAT in marked.marks:
            found += [replace(key, path=(field.name, *key.path)) for key in keys_of(marked.bare)]
        elif not {Mark.OWN_NAME, Mark.INTERNAL} & set(marked.marks):
            called, own = marked.mark(Called), field.name
            name = called.key if called else own.removesuffix("_s") if Form.SECONDS in marked.marks else own
            default = field.default if field.default_factory is MISSING else field.default_factory()
            text = texts.get(own) or (inspect.getdoc(marked.bare) or "" if is_dataclass(marked.bare) else "")
            found.append(SectionKey(name, (own,), marked, default, text))
    return tuple(found)


def leaves(marked: MarkedType, value: Any, place: Place = ()) -> Iterator[Leaf]:  # noqa: ANN401 - any part of the file
    """Yield what is in a value that was read: every scalar, and every list before what is in it."""
    if value is None:
        return
    if len(marked.forms) > 1:
        marked = next(form for form in marked.forms if form.shape == shape_of(value))
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
        inner: list[MarkedType] = []
        for marked in found:
            if is_dataclass(marked.bare):
                inner += [key.type for key in keys_of(marked.bare) if key.name == step]
            elif marked.origin in {Mapping, tuple}:
                inner.append(marked.parts[-1])
        found = [
            MarkedType(reference_in(form)) if form.bare is Secret else form for each in inner for form in each.forms
        ]
    return found


def reference_in(marked: MarkedType) -> type[SecretReference]:
    """Return what stands in the file in the place of a secret."""
    return KeyReference if Mark.PRINTED in marked.marks else SecretReference


def at_key(kind: Kind, sentence: str) -> tuple[str | None, str]:
    """Return the key that a sentence about a value is about, if it begins with its field: ``field: what is wrong``."""
    field, colon, rest = sentence.partition(": ")
    name = next((key.name for key in keys_of(kind) if key.path[-1] == field), None)
    return (name, rest) if colon and name is not None else (None, sentence)


def shape_of(value: Any) -> str | None:  # noqa: ANN401 - whatever stands in the file, or was made of it
    """Return what a value looks like, or looked like before it was read."""
    return MAPPING if is_dataclass(value) else _SHAPES.get(type(value))


def in_the_file(marked: MarkedType, value: Any) -> Any:  # noqa: ANN401 - plain data of any shape
    """Return a value as it is written, without what is left out."""
    if is_dataclass(marked.bare):
        values = ((key, key.value_in(value)) for key in keys_of(marked.bare))
        return {key.name: in_the_file(key.type, part) for key, part in values if part is not None}
    if words := marked.mark(Words):
        return words.true if value else words.false
    return [in_the_file(marked.parts[0], part) for part in value] if marked.origin is tuple else value


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
