"""Turns what goes wrong with an endpoint into the errors of the domain: one table for each side of it."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

import httpx
import msgspec
import structlog

from moa_server.domain.errors import (
    ModelCredentialsRefused,
    ModelError,
    ModelProtocolBroken,
    ModelQuotaExhausted,
    ModelRefused,
    ModelRejectedRequest,
    ModelStreamCut,
    ModelThrottled,
    ModelTimeout,
    ModelUnavailable,
    ModelUnknown,
    ModelUnreachable,
    ModelWindowExceeded,
)
from moa_server.domain.model import ModelSpec
from moa_server.providers.complaint import Complaint, read_complaint
from moa_server.providers.retry_hints import retry_after_s, should_retry

_log = structlog.stdlib.get_logger()

_SHOWN = 500
"""Of a rejected answer's body, in the log."""

Table = Sequence[tuple[type[Exception], type[ModelError], str]]
"""A foreign exception, ours, and our sentence; the first that fits counts."""

BEFORE_ANSWER: Final[Table] = (
    (httpx.ConnectTimeout, ModelUnreachable, "could not be connected to in time"),
    (httpx.ConnectError, ModelUnreachable, "could not be connected to"),
    (httpx.UnsupportedProtocol, ModelUnreachable, "has an endpoint that is no URL of HTTP"),
    (httpx.RemoteProtocolError, ModelProtocolBroken, "answered in something that is no HTTP"),
    (httpx.TransportError, ModelUnavailable, "closed the connection before it answered"),
)
WITHIN_ANSWER: Final[Table] = (
    (httpx.RemoteProtocolError, ModelProtocolBroken, "sent something that is no HTTP"),
    (httpx.TransportError, ModelStreamCut, "closed the connection before it had finished"),
    (msgspec.DecodeError, ModelProtocolBroken, "sent an event that its dialect does not allow"),
    (UnicodeDecodeError, ModelProtocolBroken, "sent an event that is not UTF-8"),
)

_STATUSES: Final[Mapping[int, type[ModelError]]] = {
    401: ModelCredentialsRefused,
    402: ModelQuotaExhausted,
    403: ModelCredentialsRefused,
    404: ModelUnknown,
    408: ModelTimeout,
    409: ModelUnavailable,
    413: ModelWindowExceeded,
    425: ModelUnavailable,
    429: ModelThrottled,
    504: ModelTimeout,
    524: ModelTimeout,
}

_CODES: Final[Mapping[str, type[ModelError]]] = {
    "api_error": ModelUnavailable,
    "authentication_error": ModelCredentialsRefused,
    "billing_error": ModelQuotaExhausted,
    "billing_hard_limit_reached": ModelQuotaExhausted,
    "content_filter": ModelRefused,
    "content_policy_violation": ModelRefused,
    "context_length_exceeded": ModelWindowExceeded,
    "exceed_context_size_error": ModelWindowExceeded,
    "insufficient_quota": ModelQuotaExhausted,
    "internal_error": ModelUnavailable,
    "internal_server_error": ModelUnavailable,
    "internalservererror": ModelUnavailable,
    "invalid_api_key": ModelCredentialsRefused,
    "invalid_request_error": ModelRejectedRequest,
    "model_not_found": ModelUnknown,
    "not_found_error": ModelUnknown,
    "overloaded": ModelUnavailable,
    "overloaded_error": ModelUnavailable,
    "permission_error": ModelCredentialsRefused,
    "rate_limit_error": ModelThrottled,
    "rate_limit_exceeded": ModelThrottled,
    "request_too_large": ModelWindowExceeded,
    "server_error": ModelUnavailable,
    "string_above_max_length": ModelWindowExceeded,
    "timeout_error": ModelTimeout,
}
"""Codes and types of error objects."""

_OVERLOADED: Final = frozenset({"overloaded", "overloaded_error"})
"""Codes and types of those that have too much to do, where no status says it."""
_OVERLOADED_STATUS: Final = 529

_WORDS: Final[Sequence[tuple[str, type[ModelError]]]] = (
    ("context length", ModelWindowExceeded),
    ("context window", ModelWindowExceeded),
    ("context size", ModelWindowExceeded),
    ("prompt is too long", ModelWindowExceeded),
    ("too many tokens", ModelWindowExceeded),
    ("maximum number of tokens", ModelWindowExceeded),
    ("max_total_tokens", ModelWindowExceeded),
    ("too large for model", ModelWindowExceeded),
    ("longer than the maximum model length", ModelWindowExceeded),
    ("longer than the model's context", ModelWindowExceeded),
    ("api key not valid", ModelCredentialsRefused),
    ("credit balance is too low", ModelQuotaExhausted),
)
"""What is said by endpoints that have one code for all bad requests."""

_MAY_REFINE: Final[Mapping[type[ModelError], frozenset[type[ModelError]]]] = {
    ModelThrottled: frozenset({ModelQuotaExhausted}),
    ModelRejectedRequest: frozenset(
        {ModelWindowExceeded, ModelRefused, ModelCredentialsRefused, ModelQuotaExhausted, ModelUnknown}
    ),
    ModelCredentialsRefused: frozenset({ModelQuotaExhausted}),
    ModelUnavailable: frozenset({ModelWindowExceeded}),
}
"""What an error object may make of a status; what it may not, the status knows better."""


_FOREIGN: Final = tuple({row[0] for row in (*BEFORE_ANSWER, *WITHIN_ANSWER)})


@contextmanager
def translated(spec: ModelSpec, table: Table) -> Iterator[None]:
    """Raise the errors of the domain in place of foreign ones."""
    try:
        yield
    except _FOREIGN as error:
        row = next((row for row in table if isinstance(error, row[0])), None)
        if row is None:
            raise
        _, kind, sentence = row
        raise kind(f"{spec.name} {sentence}") from error


def rejection(spec: ModelSpec, status: int, headers: Mapping[str, str], body: bytes) -> ModelError:
    """Return the error for an answer that is not 200. Only the status is told on, not the endpoint's words."""
    _log.debug("upstream.rejected", model=spec.name, status=status, body=body[:_SHOWN].decode(errors="replace"))
    kind = _kind_of_status(status, read_complaint(body))
    error = kind(
        f"{spec.name} answered with status {status}",
        metadata={"status": str(status)},
        retry_after_s=retry_after_s(headers),
    )
    if (again := should_retry(headers)) is not None:
        error.permanent = not again
    return error


def reported(spec: ModelSpec, complaint: Complaint) -> ModelError:
    """Return the error for an error object in the place of an answer, or inside one.

    It bears the status that the endpoint would have answered with, so that an overload is known as one either way.
    """
    _log.debug("upstream.reported", model=spec.name, code=complaint.code, kind=complaint.kind)
    status = _status_of(complaint)
    kind = _kind_of_status(status, complaint) if status else _refined(complaint)
    metadata = {"status": str(status)} if status else None
    return (kind or ModelUnavailable)(f"{spec.name} reported an error in its stream", metadata=metadata)


def _status_of(complaint: Complaint) -> int | None:
    is_overloaded = _OVERLOADED & {complaint.code, *complaint.kind.split()}
    return complaint.status or (_OVERLOADED_STATUS if is_overloaded else None)


def _kind_of_status(status: int, complaint: Complaint | None) -> type[ModelError]:
    kind = _STATUSES.get(status) or _kind_of_class(status)
    finer = _refined(complaint) if complaint else None
    return finer if finer and finer in _MAY_REFINE.get(kind, ()) else kind


def _kind_of_class(status: int) -> type[ModelError]:
    if status >= httpx.codes.INTERNAL_SERVER_ERROR:
        return ModelUnavailable
    if status >= httpx.codes.BAD_REQUEST:
        return ModelRejectedRequest
    return ModelProtocolBroken  # redirects, which are not followed, and what is no answer to a question


def _refined(complaint: Complaint) -> type[ModelError] | None:
    by_words = next((kind for words, kind in _WORDS if words in complaint.words), None)
    by_code = _CODES.get(complaint.code)
    by_kind = next((_CODES[word] for word in complaint.kind.split() if word in _CODES), None)
    if by_code in (None, ModelRejectedRequest) and by_words:
        return by_words
    return by_code if by_code not in (None, ModelRejectedRequest) else by_kind
