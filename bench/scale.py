"""How much of everything is measured."""

from enum import Enum
from typing import TypeVar

T = TypeVar("T")


class Scale(Enum):
    """The length of the measurements."""

    QUICK = "quick"
    """To see that they work."""
    USUAL = "usual"
    LONG = "long"

    def of(self, quick: T, usual: T, long: T) -> T:
        """Return the one of three that fits."""
        return {Scale.QUICK: quick, Scale.USUAL: usual, Scale.LONG: long}[self]
