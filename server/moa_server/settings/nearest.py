"""Finds the name that was meant."""

from collections.abc import Iterable
from difflib import get_close_matches

_MOST_LISTED = 12


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """Return the sentence for a name that is not among the known ones."""
    names = sorted(known)
    return f"there is no {kind} {name!r}; {_meant(name, names)}"


def _meant(name: str, names: list[str]) -> str:
    if not names:
        return "none is known here"
    near = get_close_matches(name.lower(), {known.lower(): known for known in names}, n=1, cutoff=0.5)
    found = next((known for known in names if near and known.lower() == near[0]), None)
    if found is not None:
        return f"did you mean {found!r}?"
    listed = ", ".join(names[:_MOST_LISTED]) + (", …" if len(names) > _MOST_LISTED else "")
    return f"known are {listed}"
