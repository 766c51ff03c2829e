"""Reads what an endpoint says went wrong, in any of the shapes that endpoints use."""

from dataclasses import dataclass
from typing import Final

import msgspec

_LONGEST_WORDS: Final = 2000


@dataclass(frozen=True, slots=True)
class Complaint:
    """An error object. Its words are for telling errors apart and never leave this room."""

    status: int | None = None
    """When its code is a status."""
    code: str = ""
    kind: str = ""
    words: str = ""
    """Its message in lower case, cut to a sane length."""


def read_complaint(body: bytes) -> Complaint | None:
    """Return the error object of a body, or None when it holds none."""
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return complaint_of(value)


def complaint_of(value: object) -> Complaint | None:
    """Return what a parsed error says, or None when it is none."""
    if isinstance(value, list) and value:
        value = value[0]
    if not isinstance(value, dict):
        return None
    inner = value.get("error") or value.get("detail") or value
    if isinstance(inner, str):
        return Complaint(kind=_word(value.get("type")), words=inner[:_LONGEST_WORDS].lower())
    if not isinstance(inner, dict) or not {"message", "code", "type", "msg"} & inner.keys():
        return None
    code = inner.get("code")
    return Complaint(
        _status(code),
        _word(code),
        f"{_word(inner.get('type'))} {_word(inner.get('status'))}".strip(),
        str(inner.get("message") or inner.get("msg") or "")[:_LONGEST_WORDS].lower(),
    )


def _status(code: object) -> int | None:
    text = str(code)
    return int(text) if len(text) == 3 and text.isdecimal() and text[0] in "45" else None  # noqa: PLR2004


def _word(value: object) -> str:
    return str(value)[:200].lower() if isinstance(value, str | int) else ""
