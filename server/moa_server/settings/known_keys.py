"""Finds the keys that a place of the file may have."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args, get_origin

from moa_server.settings.problem import Place
from moa_server.settings.section import Section


def known_keys(root: type[Section], place: Place) -> frozenset[str]:
    """Return the keys of the section at a place; none where any key may stand."""
    kinds: list[Any] = [root]
    for key in place:
        kinds = [below for kind in kinds for below in _below(kind, key)]
    return frozenset(name for kind in kinds for part in _parts(kind) if _is_section(part) for name in part.model_fields)


def _below(kind: Any, key: str | int) -> Iterator[Any]:  # noqa: ANN401 - the annotation of a field
    for part in _parts(kind):
        origin = get_origin(part)
        if _is_section(part) and key in part.model_fields:
            yield part.model_fields[key].annotation
        elif isinstance(origin, type) and issubclass(origin, Mapping):
            yield get_args(part)[1]
        elif isinstance(origin, type) and issubclass(origin, Sequence):
            yield get_args(part)[0]


def _parts(kind: Any) -> Iterator[Any]:  # noqa: ANN401 - the annotation of a field
    """Yield what a union or an annotated type is made of."""
    inner = get_args(kind)
    origin = get_origin(kind)
    if _is_section(kind) or not inner or (isinstance(origin, type) and issubclass(origin, Mapping | Sequence)):
        yield kind
        return
    for part in inner:
        yield from _parts(part)


def _is_section(kind: Any) -> bool:  # noqa: ANN401 - the annotation of a field
    return isinstance(kind, type) and issubclass(kind, Section)
