"""Reads the error objects of endpoints, in all the shapes in which they complain."""

import re
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from moa_server.providers.retry_hints import delay_in_details_s

_LONGEST_WORDS: Final = 2000
"""Of an error object's message."""
_MOST_PARAMS: Final = 16
_IDENTIFIER: Final = re.compile(r"[a-z0-9][a-z0-9_.:/\[\]-]{0,63}")


def identifier(word: str) -> str:
    """Return a word of an endpoint in lower case, if it may be told on; else nothing, since it may quote a prompt."""
    lowered = word[:_LONGEST_WORDS].lower()
    return lowered if _IDENTIFIER.fullmatch(lowered) else ""


@dataclass(frozen=True, slots=True)
class Complaint:
    """An error object. Its words are for telling errors apart and never leave this room."""

    status: int | None = None
    """When its code is a status."""
    code: str = ""
    kind: str = ""
    words: str = ""
    """Its message in lower case, cut to a sane length."""
    params: tuple[str, ...] = ()
    """The parameters that it names beside its message, as paths."""
    retry_after_s: float | None = None
    """How long to wait, when its details say so."""
    daily: bool = False
    """Whether what is used up is a quota of the day: its own hint may be seconds, and waiting them out in vain."""

    def told(self) -> dict[str, str]:
        """Return what may be told on: the identifiers in it, since none of the words of a prompt is one."""
        named = {"code": "" if self.status else self.code, "type": self.kind, "param": next(iter(self.params), "")}
        return {key: word for key, word in named.items() if identifier(word)}


def read_complaint(body: bytes, *, says_so: bool = False) -> Complaint | None:
    """Return the error object of a body, in any of the shapes that endpoints use, or None when it holds none.

    With ``says_so`` an object has to say that it is one; else what has a message, a code or a type will do.
    """
    value = _object_of(body)
    is_error = value.get("error") or value.get("detail") or "error" in (value.get("type"), value.get("object"))
    if says_so and not is_error:
        return None
    inner = value.get("error") or value.get("detail") or value
    if isinstance(inner, str):
        return Complaint(None, _word(value.get("code")), _word(value.get("type")), inner[:_LONGEST_WORDS].lower())
    if found := _validation(inner) or _validation(value.get("message")):
        return found
    if not isinstance(inner, dict) or not {"message", "code", "type", "msg"} & inner.keys():
        return None
    code = _word(inner.get("code"))
    is_status = len(code) == 3 and code.isdecimal() and code[0] in "45"  # noqa: PLR2004
    return Complaint(
        int(code) if is_status else None,
        code,
        f"{_word(inner.get('type'))} {_word(inner.get('status'))}".strip(),
        str(inner.get("message") or inner.get("msg") or "")[:_LONGEST_WORDS].lower(),
        tuple(filter(None, [_word(inner.get("param"))])),
        delay_in_details_s(inner.get("details")),
        _is_daily(inner.get("details")),
    )


def _object_of(body: bytes) -> dict[str, Any]:
    """Return the JSON object that a body is, or the first of a list of them; an empty one when it is anything else."""
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    if isinstance(value, list) and value:
        value = value[0]
    return value if isinstance(value, dict) else {}


def _validation(value: object) -> Complaint | None:
    """Return the complaint in pydantic's own form, a list of what is wrong and where, which some endpoints pass on."""
    entries = value.get("detail") if isinstance(value, dict) else value
    if not isinstance(entries, list) or not all(isinstance(entry, dict) and "loc" in entry for entry in entries):
        return None
    kinds = [_word(entry.get("type")) for entry in entries]
    alike = [entry for entry, kind in zip(entries, kinds, strict=True) if kind == kinds[0]]
    params = tuple(_place(entry["loc"]) for entry in alike[:_MOST_PARAMS])
    return Complaint(code=kinds[0], words=_word(alike[0].get("msg")), params=params) if alike else None


def _place(loc: object) -> str:
    """Return where in a request something is wrong, as a path."""
    steps = [_word(step) for step in loc] if isinstance(loc, list) else []
    return ".".join(steps[1:] if steps[:1] == ["body"] else steps)


def _is_daily(details: object) -> bool:
    """Tell whether a quota that is violated is one of the day, in the details of an error in Google's form."""
    for detail in details if isinstance(details, list) else ():
        violations = detail.get("violations") if isinstance(detail, dict) else None
        for violation in violations if isinstance(violations, list) else ():
            quota = str(violation.get("quotaId", "")) if isinstance(violation, dict) else ""
            if "PerDay" in quota or "Daily" in quota:
                return True
    return False


def _word(value: object) -> str:
    return str(value)[:200].lower() if isinstance(value, str | int) else ""
