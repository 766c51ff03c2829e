"""Makes what models and servers wrote safe to show on a terminal."""

import unicodedata

_HARMLESS = frozenset("\n\t")
# They turn the direction of what follows, so that a line no longer reads as it is.
_DIRECTION = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c")


def safe(text: str) -> str:
    """Show control characters, terminal escape sequences among them, as what they are instead of obeying them."""
    return "".join(char if _shown(char) else _escaped(char) for char in text)


def one_line(text: str) -> str:
    """Show a text on a single line."""
    return " ".join(safe(text).split())


def _shown(char: str) -> bool:
    if char in _HARMLESS:
        return True
    return unicodedata.category(char) not in {"Cc", "Cs"} and char not in _DIRECTION


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode()
