"""Reads a provider's own settings of a model from plain data, and says what is wrong with them."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

import msgspec

Options = TypeVar("Options")


def read_options(kind: type[Options], settings: Mapping[str, Any]) -> Options:
    """Return settings as a dialect's options.

    Raises:
        ValueError: a setting is unknown, or is not of its kind; the message says what would be right.
    """
    known = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    for name in settings:
        if name not in known:
            raise ValueError(f"{name} is no setting of this provider; it has {', '.join(known)}")
    try:
        return msgspec.convert(dict(settings), kind)
    except msgspec.ValidationError as error:
        raise ValueError(_said(str(error))) from None


def _said(message: str) -> str:
    """Return msgspec's ``what - at `$.place``` as ``place: what``."""
    what, _, where = message.partition(" - at ")
    place = where.strip("`").removeprefix("$").removeprefix(".")
    return f"{place}: {what[:1].lower()}{what[1:]}" if place else what
