"""The keywords of a schema that hand a value, or its parts, on to subschemas, and those whose cost hangs on the value.

Each walk is a generator: it yields what is to be held to what and receives how that fails, or it yields a cost.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from moa_server.engine.schemas.assertions import key_of
from moa_server.engine.schemas.linear_pattern import LinearPattern
from moa_server.engine.schemas.subschema import Applicator, Misfit, Subschema, Walk

_AT_ONCE: Final = 4096
"""Items that are looked at between two costs."""
_ITEMS_A_STEP: Final = 8
_LEAST_TELLING: Final = frozenset({"const", "enum"})
"""Keywords by which alternatives are told apart: that one fails says less than that another one did."""


def properties(named: Mapping[str, Subschema]) -> Applicator:
    """Hold properties to what is said of their names."""

    def walk(value: Any) -> Walk:  # noqa: ANN401 - any JSON
        if type(value) is not dict:
            return None
        for name, subschema in named.items():
            if name in value and (misfit := (yield subschema, value[name])) is not None:
                return misfit.under(name)
        return None

    return walk


def matching_properties(patterns: Sequence[tuple[LinearPattern, Subschema]]) -> Applicator:
    """Hold properties to what is said of names like theirs."""

    def walk(value: Any) -> Walk:  # noqa: ANN401 - any JSON
        for name in value if type(value) is dict else ():
            for pattern, subschema in patterns:
                yield pattern.cost(name)
                if pattern.finds(name) and (misfit := (yield subschema, value[name])) is not None:
                    return misfit.under(name)
        return None

    return walk


def other_properties(
    named: Sequence[str], patterns: Sequence[LinearPattern], subschema: Subschema, *, is_open: bool
) -> Applicator:
    """Hold properties of all other names to one subschema, or allow none."""
    known = frozenset(named)

    def walk(value: Any) -> Walk:  # noqa: ANN401 - any JSON
        for name in value if type(value) is dict else ():
            if name in known:
                continue
            yield 1 + sum(pattern.cost(name) for pattern in patterns)
            if any(pattern.finds(name) for pattern in patterns):
                continue
            if not is_open:
                return Misfit("additionalProperties", "has a property that is not allowed")
            if (misfit := (yield subschema, value[name])) is not None:
                return misfit.under(name)
        return None

    return walk


def property_names(subschema: Subschema) -> Applicator:
    """Hold the names of properties to a subschema."""

    def walk(value: Any) -> Walk:  # noqa: ANN401 - any JSON
        for name in value if type(value) is dict else ():
            if (yield subschema, name) is not None:
                return Misfit("propertyNames", "has a property whose name is not allowed")
        return None

    return walk


def dependent(named: Mapping[str, Subschema]) -> Applicator:
    """Hold a value that has a property to a subschema."""

    def walk(value: Any) -> Walk:  # noqa: ANN401 - any JSON
        for name, subschema in named.items() if type(value) is dict else ():
            if name in value and (misfit := (yield subschema, value)) is not None:
                return misfit
        return None

    return walk


def items(first: Sequence[Subschema], rest: Subschema | None) -> Applicator:
    """Hold the first items to a subschema each, and all others to one."""

    def walk(value: Any) -> Walk:  # noqa: ANN401 - any JSON
        for place, item in enumerate(value if type(value) is list else ()):
            subschema = first[place] if place < len(first) else rest
            if subschema is None:
                return None
            if (misfit := (yield subschema, item)) is not None:
                return misfit.under(place)
        return None

    return walk


def contains(subschema: Subschema, least: int, most: int | None) -> Applicator:
    """Count the items that satisfy a subschema."""

    def walk(value: Any) -> Walk:  # noqa: ANN401 - any JSON
        found = 0
        for item in value if type(value) is list else ():
            if most is None and found >= least:
                return None
            found += (yield subschema, item) is None
            if most is not None and found > most:
                return Misfit("maxContains", f"has more than {most} items of a kind")
        if type(value) is list and found < least:
            return Misfit("contains", f"has fewer than {least} items of a kind")
        return None

    return walk


def unique(value: Any) -> Walk:  # noqa: ANN401 - any JSON
    """Allow no item twice; they are scalars, or fail for what else is said of them."""
    seen = set[Any]()
    whole = value if type(value) is list else []
    for start in range(0, len(whole), _AT_ONCE):
        some = whole[start : start + _AT_ONCE]
        yield 1 + len(some) // _ITEMS_A_STEP
        keys = [key_of(item) for item in some if type(item) not in (list, dict)]
        before = len(seen)
        seen.update(keys)
        if len(seen) < before + len(keys):
            return Misfit("uniqueItems", "has an item twice")
    return None


def matching(pattern: LinearPattern) -> Applicator:
    """Look for a pattern in a text."""

    def walk(value: Any) -> Walk:  # noqa: ANN401 - any JSON
        if type(value) is not str:
            return None
        yield pattern.cost(value)
        return None if pattern.finds(value) else Misfit("pattern", "does not match its pattern")

    return walk


def all_of(subschemas: Sequence[Subschema]) -> Applicator:
    """Hold a value to each of several subschemas."""

    def walk(value: Any) -> Walk:  # noqa: ANN401 - any JSON
        for subschema in subschemas:
            if (misfit := (yield subschema, value)) is not None:
                return misfit
        return None

    return walk


def any_of(subschemas: Sequence[Subschema]) -> Applicator:
    """Hold a value to one of several subschemas at the least."""
    return _alternatives("anyOf", subschemas, most=len(subschemas))


def one_of(subschemas: Sequence[Subschema]) -> Applicator:
    """Hold a value to one of several subschemas, and not to two."""
    return _alternatives("oneOf", subschemas, most=1)


def _alternatives(keyword: str, subschemas: Sequence[Subschema], most: int) -> Applicator:
    def walk(value: Any) -> Walk:  # noqa: ANN401 - any JSON
        nearest: Misfit | None = None
        found = 0
        for subschema in subschemas:
            misfit = yield subschema, value
            if misfit is None:
                found += 1
                if most > 1:
                    return None
                if found > most:
                    return Misfit(keyword, "fits more than one of its alternatives")
            # One that failed deep within was probably meant.
            elif misfit.depth and (nearest is None or _telling(misfit) > _telling(nearest)):
                nearest = misfit
        if found:
            return None
        return nearest or Misfit(keyword, f"fits none of {len(subschemas)} alternatives")

    return walk


def _telling(misfit: Misfit) -> tuple[bool, int]:
    """Rank how well a misfit of an alternative tells what is wrong."""
    return misfit.keyword not in _LEAST_TELLING, misfit.depth


def none_of(subschema: Subschema) -> Applicator:
    """Allow no value that satisfies a subschema."""

    def walk(value: Any) -> Walk:  # noqa: ANN401 - any JSON
        return Misfit("not", "is what it must not be") if (yield subschema, value) is None else None

    return walk


def conditional(condition: Subschema, then: Subschema | None, otherwise: Subschema | None) -> Applicator:
    """Hold a value to one subschema or another, by a third."""

    def walk(value: Any) -> Walk:  # noqa: ANN401 - any JSON
        chosen = then if (yield condition, value) is None else otherwise
        return None if chosen is None else (yield chosen, value)

    return walk


def nothing(why: str) -> Callable[[Any], str]:
    """Allow no value."""
    return lambda _value: why
