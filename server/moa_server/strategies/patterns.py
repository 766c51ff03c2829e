"""Searches with an operator's pattern so that no text can make it take long.

Python's expressions go back over what they have read: ``(a+)+b`` doubles its work with every character. So a repeat of
something that itself varies is refused, as are more than a few repeats without an end, and only the end of a text is
searched, a line at a time.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_MOST_PATTERN = 200
_MOST_CHARACTERS = 500
_MOST_LINE = 120
_MOST_ENDLESS = 3
_TOKEN = re.compile(
    r"\\(?P<reference>[1-9]|g<|k<)|\\.|\[\^?\]?(?:\\.|[^\]\\])*\]"
    r"|(?P<named>\(\?P=)|(?P<open>\((?:\?(?:[:=!>]|<[=!]|P<\w+>|[a-zA-Z-]+:))?)|(?P<close>\))|(?P<alternative>\|)"
    r"|(?P<endless>[*+]|\{\d+,\})|(?P<varying>\?|\{\d*,\d+\})|(?P<fixed>\{\d+\})|.",
    re.DOTALL,
)


def last_match(pattern: str, text: str) -> str | None:
    """Return the last thing a pattern finds at the end of a text: its first group, or all of it."""
    compiled = re.compile(pattern)
    for line in reversed(text[-_MOST_CHARACTERS:].splitlines()):
        found = list(compiled.finditer(line[-_MOST_LINE:]))
        if found:
            last = found[-1]
            choice = (last.group(1) if compiled.groups else last.group(0)) or ""
            return choice.strip() or None
    return None


def problems(pattern: str) -> Iterator[str]:
    """Tell why a pattern cannot be used."""
    if not pattern or len(pattern) > _MOST_PATTERN:
        yield f"pattern has {len(pattern)} characters; it takes 1 to {_MOST_PATTERN}"
        return
    try:
        compiled = re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        yield f"pattern is not a regular expression: {error}"
        return
    if compiled.flags & re.VERBOSE:
        yield "pattern has the flag x, which lets blanks hide what it repeats; leave it out"
    yield from _dangers(pattern)


@dataclass(slots=True)
class _Scan:
    """What has been seen of a pattern."""

    open: list[bool] = field(default_factory=lambda: [False])
    """For each group that is open, whether its length varies."""
    closed: bool = False
    """Whether the last thing was a group whose length varies."""
    endless: int = 0
    nested: bool = False
    backward: bool = False

    def take(self, found: re.Match[str]) -> None:
        kind = found.lastgroup
        was_varying, self.closed = self.closed, False
        match kind:
            case "open":
                self.open.append(False)
            case "close":
                self.closed = self.open.pop() if len(self.open) > 1 else True
                self.open[-1] |= self.closed
            case "alternative":
                self.open[-1] = True
            case "endless" | "varying":
                self.nested |= was_varying and found.group() != "?"
                self.endless += kind == "endless"
                self.open[-1] = True
            case "fixed":
                self.nested |= was_varying
            case "reference" | "named":
                self.backward = True


def _dangers(pattern: str) -> Iterator[str]:
    scan = _Scan()
    for found in _TOKEN.finditer(pattern):
        scan.take(found)
    if scan.nested:
        yield "pattern repeats a group whose own length varies, which a text could make endless; repeat one character"
    if scan.backward:
        yield "pattern refers back to a group, which a text could make slow; write out what is meant"
    if scan.endless > _MOST_ENDLESS:
        yield f"pattern has {scan.endless} repeats without an end; at most {_MOST_ENDLESS}, write {{0,20}} for others"
