"""Packs an error into what a call ends with: its code, one ErrorInfo, the fields, and when to ask again."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from grpc import StatusCode

from moa_server.domain.errors import MoaError, ModelError, Overloaded, RunError, Violation
from moa_server.service.codes import code_of

DOMAIN: Final = "moa.v1"
DETAILS_KEY: Final = "grpc-status-details-bin"
PUSHBACK_KEY: Final = "grpc-retry-pushback-ms"
MOST_BYTES: Final = 4096 - 256
"""Of a packed status. Above about 8 KiB of metadata, details are lost at random; other trailers need room too."""

_MOST_SENTENCE = 256
_MOST_VALUE = 160
_MOST_PAIRS = 24
_MOST_VIOLATIONS = 16
_CUT = "…"


@dataclass(frozen=True, slots=True)
class Ending:
    """How a call ends badly."""

    code: StatusCode
    sentence: str
    reason: str
    trailers: tuple[tuple[str, str | bytes], ...] = field(repr=False)


def ending_of(error: MoaError, extra: Message | None = None) -> Ending:
    """Return how a call ends with an error; ``extra`` is a further detail, left out where it does not fit."""
    code, sentence = code_of(type(error)), cut(error.detail, _MOST_SENTENCE)
    packed = Status(code=code.value[0], message=sentence)
    info = ErrorInfo(reason=error.reason(), domain=DOMAIN)
    packed.details.add().Pack(info)
    if error.retry_after_s is not None:
        packed.details.add().Pack(_retry_info(error.retry_after_s))
    _fill(packed, info, error.metadata)
    if error.violations:
        packed.details.add().Pack(_bad_request(error.violations, MOST_BYTES - packed.ByteSize()))
    if extra is not None:
        _add_if_it_fits(packed, extra)
    details: tuple[str, str | bytes] = (DETAILS_KEY, packed.SerializeToString())
    return Ending(code, sentence, error.reason(), (details, *_pushback(error)))


def cut(text: str, most: int) -> str:
    """Return a text whose UTF-8 is at most ``most`` bytes, visibly cut where it was longer."""
    raw = text.encode(errors="replace")
    if len(raw) <= most:
        return raw.decode()
    return raw[: most - len(_CUT.encode())].decode(errors="ignore") + _CUT


def _retry_info(seconds: float) -> RetryInfo:
    info = RetryInfo()
    info.retry_delay.FromMilliseconds(max(0, round(seconds * 1000)))
    return info


def _fill(packed: Status, info: ErrorInfo, metadata: Mapping[str, str]) -> None:
    """Put as many facts into the ErrorInfo as fit into half of the room, the first ones first."""
    room = MOST_BYTES // 2 - packed.ByteSize()
    for number, (key, value) in enumerate(metadata.items()):
        key, value = cut(key, _MOST_VALUE), cut(value, _MOST_VALUE)  # noqa: PLW2901 - nothing of the whole is kept
        room -= len(key.encode()) + len(value.encode()) + 8
        if room < 0 or number == _MOST_PAIRS:
            info.metadata["more"] = str(len(metadata) - number)
            break
        info.metadata[key] = value
    packed.details[0].Pack(info)


def _bad_request(violations: tuple[Violation, ...], room: int) -> BadRequest:
    request = BadRequest()
    room -= 128  # for the envelope and the last entry, which says how many more there are
    for number, violation in enumerate(violations):
        path, sentence = cut(violation.field, _MOST_VALUE), cut(violation.description, _MOST_SENTENCE)
        room -= len(path.encode()) + len(sentence.encode()) + 12
        if room < 0 or number == _MOST_VIOLATIONS:
            request.field_violations.add(field=_CUT, description=f"{len(violations) - number} more")
            break
        request.field_violations.add(field=path, description=sentence)
    return request


def _add_if_it_fits(packed: Status, extra: Message) -> None:
    if packed.ByteSize() + extra.ByteSize() + 96 <= MOST_BYTES:
        packed.details.add().Pack(extra)


def _pushback(error: MoaError) -> tuple[tuple[str, str | bytes], ...]:
    """Tell gRPC's own retries what to do: wait as long as is said, or never repeat what would start another run."""
    if isinstance(error, Overloaded) and error.retry_after_s is not None:
        return ((PUSHBACK_KEY, str(max(1, round(error.retry_after_s * 1000)))),)  # 0 hangs the core
    if isinstance(error, RunError | ModelError):
        return ((PUSHBACK_KEY, "-1"),)
    return ()
