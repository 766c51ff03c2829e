"""Regular expressions that take a time in proportion to the text, whatever the two are.

A caller's expression meets a model's text, and Python's own would go back over what it has read: ``(a+)+b`` doubles its
work with every character. RE2 reads a text once.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import re2

MOST_CHARACTERS: Final = 1000
"""Of an expression."""
_MEMORY: Final = 256 * 1024
"""Bytes that one expression may take, and so the longest that it takes to compile."""
_WORK_A_STEP: Final = 700
"""Instructions that RE2 carries out in the time of one step of a check, where it is slowest."""
_WIDEST: Final = 4
"""Bytes of a character."""
_TOO_LARGE: Final = "pattern too large"


class PatternTooLarge(Exception):
    """An expression takes more memory than it may."""


@dataclass(frozen=True, slots=True)
class LinearPattern:
    """An expression, ready to be looked for."""

    compiled: Any
    size: int
    """Instructions of its programme: each may look at each byte of a text once."""

    def cost(self, text: str) -> int:
        """Return in steps of a check how long it may take to look for it."""
        size = len(text) if text.isascii() else _WIDEST * len(text)
        return 4 + self.size * size // _WORK_A_STEP

    def finds(self, text: str) -> bool:
        """Whether a text has it somewhere."""
        return self.compiled.search(text) is not None


@cache
def _options() -> Any:  # noqa: ANN401 - the library has no types
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _MEMORY
    options.never_capture = True
    return options


def linear_pattern(expression: str) -> LinearPattern | None:
    """Return an expression, or None where it has what cannot be looked for so, such as look-around.

    Raises:
        PatternTooLarge: it takes too much memory.
    """
    if len(expression) > MOST_CHARACTERS:
        raise PatternTooLarge
    try:
        compiled = re2.compile(expression, _options())
    except re2.error as error:
        if _TOO_LARGE in str(error):
            raise PatternTooLarge from error
        return None
    return LinearPattern(compiled, compiled.programsize)
