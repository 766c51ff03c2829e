"""Durations, sizes and money, as people write them."""

import re
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema

_NUMBER = r"[0-9]{1,12}(\.[0-9]{1,9})?"
_DURATION = re.compile(rf"({_NUMBER}) ?(ms|s|m|h|d)", re.ASCII)
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE = re.compile(r"([0-9]{1,12}) ?(B|kB|KB|MB|GB|KiB|MiB|GiB)", re.ASCII)
_BYTES = {"B": 1, "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_NANO = 10**9
_MOST_DOLLARS = 1_000_000


def seconds(value: Any) -> float:  # noqa: ANN401 - whatever stands in the file
    """Return a duration in seconds."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    found = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError("is not a duration; write seconds such as 5, or a text such as 500ms, 5s or 2m")
    return float(Decimal(found[1]) * Decimal(str(_SECONDS[found[3]])))


def size(value: Any) -> int:  # noqa: ANN401 - whatever stands in the file
    """Return a size in bytes."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    found = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError("is not a size; write bytes such as 4096, or a text such as 64KiB or 1MiB")
    return int(found[1]) * _BYTES[found[2]]


def nanodollars(value: Any) -> int:  # noqa: ANN401 - whatever stands in the file
    """Return an amount of US dollars in billionths, exactly."""
    amount = _decimal(value)
    if amount is None or not 0 <= amount <= _MOST_DOLLARS:
        raise ValueError(f"is not an amount of US dollars from 0 to {_MOST_DOLLARS}; write a number such as 0.15")
    nano = amount * _NANO
    if nano != int(nano):
        raise ValueError("has more than nine decimals; round it to billionths of a US dollar")
    return int(nano)


def _decimal(value: Any) -> Decimal | None:  # noqa: ANN401 - whatever stands in the file
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        # The shortest text of a float is what stood in the file, so nothing is lost.
        amount = Decimal(str(value))
    except InvalidOperation:
        return None
    return amount if amount.is_finite() else None


def _schema(kind: str, pattern: str) -> WithJsonSchema:
    return WithJsonSchema({"anyOf": [{"type": kind, "minimum": 0}, {"type": "string", "pattern": f"^{pattern}$"}]})


Duration = Annotated[float, BeforeValidator(seconds), Field(ge=0, le=366 * 86400), _schema("number", _DURATION.pattern)]
"""Zero or more."""
Span = Annotated[Duration, Field(gt=0)]
"""More than nothing."""
Size = Annotated[int, BeforeValidator(size), Field(ge=1, le=2**40), _schema("integer", _SIZE.pattern)]
Dollars = Annotated[int, BeforeValidator(nanodollars), _schema("number", r"[0-9]{1,7}(\.[0-9]{1,9})?")]
"""US dollars, read as billionths of one."""
