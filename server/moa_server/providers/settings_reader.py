"""Reads a provider's own settings of a model from plain data, and says what is wrong with them."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import msgspec

from moa_server.providers.presets import PRESETS, options_of


def read_settings(provider: str, settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a model's settings under ``dialect``, checked together with those that its provider's preset adds.

    Raises:
        ValueError: a setting is unknown, or is not of its kind; the message says what would be right.
    """
    kind = options_of(provider)
    known = [field.name for field in fields(kind)]
    for name in settings:
        if name not in known:
            raise ValueError(f"{name} is no setting of this provider; it has {', '.join(known)}")
    try:
        msgspec.convert({**PRESETS[provider].settings, **settings}, kind)
    except msgspec.ValidationError as error:
        raise ValueError(_said(str(error))) from None
    return settings


def _said(message: str) -> str:
    """Return msgspec's ``what - at `$.place``` as ``place: what``."""
    what, _, where = message.partition(" - at ")
    place = where.strip("`").removeprefix("$").removeprefix(".")
    return f"{place}: {what[:1].lower()}{what[1:]}" if place else what
