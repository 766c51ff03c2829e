"""What a schema may cost, and how one is refused."""

from typing import Any, Final, NoReturn

from moa_server.domain.errors import InvalidRequest, SchemaTooCostly, Violation

FIELD: Final = "query.overrides.response_schema"
MOST_NODES: Final = 2000
"""Subschemas of a schema."""
MOST_DEPTH: Final = 32
"""Levels of subschemas and of the values that are compared, one within the other."""
MOST_BRANCHING: Final = 1024
"""Subschemas that one value may be held to, through references and alternatives, each as often as a way leads to it."""
MOST_PATTERN: Final = 10_000
"""Instructions of all expressions together."""
_LONGEST_PLACE: Final = 120


def refuse(place: str, why: str) -> NoReturn:
    """Refuse what is no schema, or none that can be used."""
    raise InvalidRequest(
        "the response schema cannot be used",
        metadata={"field": FIELD, "place": place[:_LONGEST_PLACE]},
        violations=(Violation(FIELD, f"{place[:_LONGEST_PLACE]} {why}"),),
    )


def too_costly(place: str, limit: str, needed: int | str, allowed: int | str, why: str) -> NoReturn:
    """Refuse what costs too much."""
    raise SchemaTooCostly(
        f"to hold an answer to the response schema costs too much: {why}",
        metadata={"field": FIELD, "limit": limit, "needed": str(needed), "allowed": str(allowed)},
        violations=(Violation(FIELD, f"{place[:_LONGEST_PLACE]}: {why}"),),
    )


def hold_depth(place: str, depth: int) -> None:
    """Refuse what is nested too deep."""
    if depth > MOST_DEPTH:
        why = f"it is nested more than {MOST_DEPTH} levels deep"
        too_costly(place, "depth", depth, MOST_DEPTH, why)


def hold_values(place: str, value: Any, depth: int) -> None:  # noqa: ANN401 - any JSON
    """Refuse a value that is nested too deep to be compared."""
    level = [value]
    while level := [
        part
        for one in level
        if isinstance(one, list | dict)
        for part in (one.values() if isinstance(one, dict) else one)
    ]:
        depth += 1
        hold_depth(place, depth)
