"""Reads when an endpoint wants to be asked again, in all the forms in which endpoints say it."""

import re
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Final

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_SECONDS = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,9})?)s", re.ASCII)
"""A duration as protobuf's JSON writes it."""
_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_EPOCH_S = 1e9
"""A number of seconds above it is a moment, not a length of time."""
_EPOCH_MS = 1e12
_LONGEST_S = 86400.0
"""A delay told in an error's details; whoever says more is not believed more."""
_RETRY_INFO: Final = "type.googleapis.com/google.rpc.RetryInfo"


def retry_after_s(status: int, headers: Mapping[str, str], now: Callable[[], float] = time.time) -> float | None:
    """Return how long to wait, or None when nothing readable is said. ``headers`` takes lower-case names.

    Endpoints tell of their limits with every answer, so a reset is a hint only where a limit is what refused.
    """
    readers = (
        (_milliseconds, _retry_after, _reset)
        if status == HTTPStatus.TOO_MANY_REQUESTS
        else (_milliseconds, _retry_after)
    )
    for read in readers:
        with suppress(ValueError, OverflowError, TypeError):
            wait = read(headers, now)
            if wait is not None and wait == wait and wait != float("inf"):  # noqa: PLR0124 - nan
                return max(0.0, wait)
    return None


def delay_in_details_s(details: object) -> float | None:
    """Return how long to wait by the details of an error in Google's form, or None when nothing readable is said."""
    for detail in details if isinstance(details, list) else ():
        if isinstance(detail, dict) and detail.get("@type") == _RETRY_INFO:
            found = _SECONDS.fullmatch(str(detail.get("retryDelay", "")))
            return min(float(found[1]), _LONGEST_S) if found else None
    return None


def should_retry(headers: Mapping[str, str]) -> bool | None:
    """Return what the endpoint says of trying again, or None."""
    return {"true": True, "false": False}.get(headers.get("x-should-retry", "").strip().lower())


def _milliseconds(headers: Mapping[str, str], _: Callable[[], float]) -> float | None:
    text = headers.get("retry-after-ms")
    return None if text is None else float(text) / 1000


def _retry_after(headers: Mapping[str, str], now: Callable[[], float]) -> float | None:
    text = headers.get("retry-after")
    if text is None:
        return None
    with suppress(ValueError):
        return float(text)
    moment = parsedate_to_datetime(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - now()


def _reset(headers: Mapping[str, str], now: Callable[[], float]) -> float | None:
    """Return the longest wait for a limit that is used up, or else for one of whose remainder nothing is told."""
    used_up: list[float] = []
    untold: list[float] = []
    for name, text in headers.items():
        if "ratelimit" not in name or "-reset" not in name:
            continue
        with suppress(ValueError):
            remaining = headers.get(name.replace("-reset", "-remaining"))
            if remaining is None:
                untold.append(_length(text, now))
            elif float(remaining) <= 0:
                used_up.append(_length(text, now))
    return max(used_up or untold, default=None)


def _length(text: str, now: Callable[[], float]) -> float:
    """Return the seconds of ``6m0s``, ``20ms``, ``1.5``, a moment since the epoch, or a date of RFC 3339."""
    text = text.strip()
    parts = _DURATION.findall(text)
    if parts and "".join(number + unit for number, unit in parts) == text:
        return sum(float(number) * _UNITS[unit] for number, unit in parts)
    with suppress(ValueError):
        number = float(text)
        if number < _EPOCH_S:
            return number
        return (number / 1000 if number >= _EPOCH_MS else number) - now()
    return datetime.fromisoformat(text).timestamp() - now()
