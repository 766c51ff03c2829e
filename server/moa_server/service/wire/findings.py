"""Gathers everything that is wrong with a request, so that a caller hears of all of it at once."""

import math
from typing import Final

from moa_server.domain.errors import InvalidRequest, Violation

_MOST_KEPT: Final = 64


class Findings:
    """What is wrong with a request, field by field."""

    def __init__(self) -> None:
        self._violations: list[Violation] = []

    def add(self, field: str, description: str) -> None:
        """Note that a field breaks a rule. Beyond a number nobody would read, nothing more is noted."""
        if len(self._violations) < _MOST_KEPT:
            self._violations.append(Violation(field, description))

    def check(self, holds: bool, field: str, description: str) -> bool:  # noqa: FBT001 - reads as a sentence
        """Note that a field breaks a rule unless the rule holds, and return whether it does."""
        if not holds:
            self.add(field, description)
        return holds

    def check_range(self, value: float | None, field: str, least: float, most: float) -> None:
        """Note a number that is given and out of its range, or no number at all."""
        if value is not None:
            fits = math.isfinite(value) and least <= value <= most
            self.check(fits, field, f"is {value:g}; it must be from {least:g} to {most:g}")

    def raise_any(self) -> None:
        """Refuse the request if anything is wrong with it.

        Raises:
            InvalidRequest: something is.
        """
        if not self._violations:
            return
        first = self._violations[0]
        more = len(self._violations) - 1
        raise InvalidRequest(
            f"{first.field} {first.description}" + (f", and {more} more" if more else ""),
            metadata={"field": first.field},
            violations=tuple(self._violations),
        )
