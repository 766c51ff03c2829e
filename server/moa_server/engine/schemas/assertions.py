"""The keywords of a schema that judge a value at once, in a time that hangs on the schema alone.

Each function takes the keyword's argument and returns the assertion; ValueError says what is wrong with the argument.
"""

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any, Final

from moa_server.engine.schemas.subschema import Assertion

_NAMES: Final = {
    type(None): "null",
    bool: "a boolean",
    int: "a number",
    float: "a number",
    str: "a text",
    list: "an array",
    dict: "an object",
}
_TYPES: Final[Mapping[str, Callable[[Any], bool]]] = {
    "null": lambda value: value is None,
    "boolean": lambda value: type(value) is bool,
    "integer": lambda value: type(value) is int or (type(value) is float and value.is_integer()),
    "number": lambda value: type(value) in (int, float),
    "string": lambda value: type(value) is str,
    "array": lambda value: type(value) is list,
    "object": lambda value: type(value) is dict,
}
SCALARS: Final = frozenset(_TYPES) - {"array", "object"}


def size_of(value: Any) -> int:  # noqa: ANN401 - any JSON
    """Return how many values a value consists of, its names counted too; it is not nested without a limit."""
    if type(value) is dict:
        return 1 + sum(1 + size_of(item) for item in value.values())
    return 1 + sum(map(size_of, value)) if type(value) is list else 1


def are_equal(one: Any, other: Any) -> bool:  # noqa: ANN401 - any JSON
    """Whether two values are the same: 1 is 1.0, and true is no number. The work is bounded by the smaller."""
    if type(one) is dict:
        return (
            type(other) is dict
            and len(one) == len(other)
            and all(name in other and are_equal(item, other[name]) for name, item in one.items())
        )
    if type(one) is list:
        return type(other) is list and len(one) == len(other) and all(map(are_equal, one, other))
    return bool(key_of(one) == key_of(other))


def key_of(value: Any) -> Any:  # noqa: ANN401 - any JSON
    """Return what tells a scalar from others; Python takes true for 1."""
    return (value,) if type(value) is bool else value


def types_in(argument: Any) -> list[str]:  # noqa: ANN401 - as the schema has it
    """Return the types that the argument of ``type`` names."""
    named = [argument] if isinstance(argument, str) else argument
    if not isinstance(named, list) or not named or not all(isinstance(one, str) and one in _TYPES for one in named):
        raise ValueError(f"must name {', '.join(_TYPES)}, or several of them")
    return named


def _type(argument: Any) -> Assertion:  # noqa: ANN401 - as the schema has it
    named = types_in(argument)
    tests = [_TYPES[one] for one in named]
    wanted = " or ".join(named)
    return lambda value: None if any(test(value) for test in tests) else f"is {_NAMES[type(value)]}, not {wanted}"


def _enum(argument: Any) -> Assertion:  # noqa: ANN401 - as the schema has it
    if not isinstance(argument, list):
        raise ValueError("must be an array")  # noqa: TRY004 - the schema's type
    scalars = {key_of(one) for one in argument if not isinstance(one, list | dict)}
    others = [one for one in argument if isinstance(one, list | dict)]

    def test(value: Any) -> str | None:  # noqa: ANN401 - any JSON
        if type(value) is list or type(value) is dict:
            fits = any(are_equal(one, value) for one in others)
        else:
            fits = key_of(value) in scalars
        return None if fits else "is none of the values that are allowed"

    return test


def _const(argument: Any) -> Assertion:  # noqa: ANN401 - as the schema has it
    return lambda value: None if are_equal(argument, value) else "is not the one value that is allowed"


def _required(argument: Any) -> Assertion:  # noqa: ANN401 - as the schema has it
    names = names_in(argument)

    def test(value: Any) -> str | None:  # noqa: ANN401 - any JSON
        missing = next((name for name in names if name not in value), None) if type(value) is dict else None
        return None if missing is None else f"lacks {missing[:64]!r}"

    return test


def _dependent_required(argument: Any) -> Assertion:  # noqa: ANN401 - as the schema has it
    if not isinstance(argument, dict):
        raise ValueError("must be an object")  # noqa: TRY004 - the schema's type
    wanted = {name: names_in(others) for name, others in argument.items()}

    def test(value: Any) -> str | None:  # noqa: ANN401 - any JSON
        if type(value) is not dict:
            return None
        for name, others in wanted.items():
            if name in value and not all(other in value for other in others):
                return f"has {name[:64]!r} without what belongs to it"
        return None

    return test


def names_in(argument: Any) -> list[str]:  # noqa: ANN401 - as the schema has it
    """Return the names that an argument lists."""
    if not isinstance(argument, list) or not all(isinstance(name, str) for name in argument):
        raise ValueError("must be an array of names")
    return argument


def _multiple_of(argument: Any) -> Assertion:  # noqa: ANN401 - as the schema has it
    if type(argument) not in (int, float) or argument <= 0:
        raise ValueError("must be a number above 0")
    # As they are written, so that 0.3 is a multiple of 0.1.
    step = Fraction(str(argument))

    def test(value: Any) -> str | None:  # noqa: ANN401 - any JSON
        if type(value) not in (int, float):
            return None
        left = value % argument if type(value) is type(argument) is int else Fraction(str(value)) % step
        return f"is no multiple of {argument}" if left else None

    return test


def _bound(says: str, breaks: Callable[[Any, Any], bool]) -> Callable[[Any], Assertion]:
    def bound(argument: Any) -> Assertion:  # noqa: ANN401 - as the schema has it
        if type(argument) not in (int, float):
            raise ValueError("must be a number")
        why = f"is {says} {argument}"
        return lambda value: why if type(value) in (int, float) and breaks(value, argument) else None

    return bound


def _length(
    kind: type[str] | type[list[Any]] | type[dict[str, Any]], more: str, what: str, breaks: Callable[[int, int], bool]
) -> Callable[[Any], Assertion]:
    def length(argument: Any) -> Assertion:  # noqa: ANN401 - as the schema has it
        most = count_in(argument)
        why = f"has {more} than {most} {what}"
        return lambda value: why if isinstance(value, kind) and breaks(len(value), most) else None

    return length


def count_in(argument: Any) -> int:  # noqa: ANN401 - as the schema has it
    """Return an argument that counts."""
    if type(argument) not in (int, float) or argument < 0 or argument != int(argument):
        raise ValueError("must be a whole number, 0 or more")
    return int(argument)


ASSERTIONS: Final[Mapping[str, Callable[[Any], Assertion]]] = {
    "type": _type,
    "const": _const,
    "enum": _enum,
    "required": _required,
    "dependentRequired": _dependent_required,
    "minimum": _bound("below", lambda value, least: value < least),
    "exclusiveMinimum": _bound("not above", lambda value, least: value <= least),
    "maximum": _bound("above", lambda value, most: value > most),
    "exclusiveMaximum": _bound("not below", lambda value, most: value >= most),
    "multipleOf": _multiple_of,
    "minLength": _length(str, "fewer", "characters", lambda size, least: size < least),
    "maxLength": _length(str, "more", "characters", lambda size, most: size > most),
    "minItems": _length(list, "fewer", "items", lambda size, least: size < least),
    "maxItems": _length(list, "more", "items", lambda size, most: size > most),
    "minProperties": _length(dict, "fewer", "properties", lambda size, least: size < least),
    "maxProperties": _length(dict, "more", "properties", lambda size, most: size > most),
}
"""In the order in which they are held to: what tells alternatives apart comes first."""
