"""Searches with an operator's pattern so that no text can make it take long.

Python's expressions go back over what they have read: ``(a+)+b`` doubles its work with every character. So a repeat of
something that itself varies is refused, as are patterns with too many ways through them, and only the end of a text
is searched, a line at a time.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import comb

_MOST_PATTERN = 200
_MOST_CHARACTERS = 300
_MOST_LINE = 100
_MOST_LOOSE = 3
_MOST_WAYS = comb(_MOST_LINE + _MOST_LOOSE, _MOST_LOOSE + 1)
"""To go through a line, from every place in it: as many as three repeats without an end have, some 30 ms of work."""
_TIGHT = 20
"""Ways of a repeat up to which it has fewer by itself than as one more repeat without an end."""
_TOKEN = re.compile(
    r"\\(?P<reference>[1-9]|g<|k<)|\\.|\[\^?\]?(?:\\.|[^\]\\])*\]"
    r"|(?P<named>\(\?P=)|(?P<open>\((?:\?(?:[:=!>]|<[=!]|P<\w+>|[a-zA-Z-]+:))?)|(?P<close>\))|(?P<alternative>\|)"
    r"|(?P<endless>[*+]|\{\d+,\})|(?P<varying>\?|\{(?P<least>\d*),(?P<most>\d+)\})|(?P<fixed>\{\d+\})|.",
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
    scan = _Scan()
    for found in _TOKEN.finditer(pattern):
        scan.take(found)
    if scan.nested:
        yield "pattern repeats a group whose own length varies, which a text could make endless; repeat one character"
    if scan.backward:
        yield "pattern refers back to a group, which a text could make slow; write out what is meant"
    # Repeats without an end share the line's characters: with so many of them there are so many places to part it.
    if comb(_MOST_LINE + scan.loose, scan.loose + 1) * scan.ways * scan.open[0].branches > _MOST_WAYS:
        yield "pattern has too many repeats and alternatives; at most three without an end, or fewer and bounded ones"


@dataclass(slots=True)
class _Group:
    """What has been seen of a group."""

    varies: bool = False
    branches: int = 1


@dataclass(slots=True)
class _Scan:
    """What has been seen of a pattern."""

    open: list[_Group] = field(default_factory=lambda: [_Group()])
    """The pattern itself, and the groups that are open in it."""
    closed: bool = False
    """Whether the last thing was a group whose length varies."""
    ways: int = 1
    """In how many ways its alternatives and its short repeats can be gone through, at the most."""
    loose: int = 0
    """Repeats without an end, or with one that is far."""
    nested: bool = False
    backward: bool = False

    def take(self, found: re.Match[str]) -> None:
        """Note the next token."""
        group, was_varying = self.open[-1], self.closed
        self.closed = False
        if found["open"]:
            self.open.append(_Group())
        elif found["close"] and len(self.open) > 1:
            done = self.open.pop()
            self.ways *= done.branches
            self.closed = done.varies
            self.open[-1].varies |= done.varies
        elif found["alternative"]:
            group.branches += 1
            group.varies = True
        elif found["endless"] or found["varying"]:
            group.varies = True
            # A group that may be left out is gone through once at the most, which multiplies nothing.
            self.nested |= was_varying and found.group() != "?"
            ways = _ways_of(found)
            if ways > _TIGHT:
                self.loose += 1
            else:
                self.ways *= ways
        elif found["fixed"]:
            self.nested |= was_varying
        elif found["reference"] or found["named"]:
            self.backward = True


def _ways_of(repeat: re.Match[str]) -> int:
    """Return in how many ways a repeat can end on one line."""
    if repeat["endless"]:
        return _MOST_LINE
    return 2 if repeat["most"] is None else int(repeat["most"]) - int(repeat["least"] or 0) + 1
