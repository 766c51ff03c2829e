"""Turns what goes wrong with an endpoint into the errors of the domain: exceptions, statuses and error objects."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

import httpx
import msgspec
import structlog

from moa_server.domain import errors
from moa_server.domain.model import ModelSpec
from moa_server.providers.complaint import Complaint, read_complaint
from moa_server.providers.retry_hints import retry_after_s, should_retry
from moa_server.providers.transport import StaleConnection, UnsentRequest

_log = structlog.stdlib.get_logger()

_SHOWN: Final = 500
"""Of a rejected answer's body, in the log; it is a text, which is hidden there unless the operator wants it."""

_EXCEPTIONS: Final[Sequence[tuple[type[Exception], bool, type[errors.ModelError], str]]] = (
    (httpx.ConnectTimeout, False, errors.ModelUnreachable, "could not be connected to in time"),
    (httpx.ConnectError, False, errors.ModelUnreachable, "could not be connected to"),
    (httpx.UnsupportedProtocol, False, errors.ModelUnreachable, "has an endpoint that is no URL of HTTP"),
    (httpx.TimeoutException, False, errors.ModelTimeout, "did not answer in time"),
    (httpx.RemoteProtocolError, False, errors.ModelProtocolBroken, "answered in something that is no HTTP"),
    (UnsentRequest, False, errors.ModelUnreachable, "had closed the connection before it was asked"),
    (StaleConnection, False, errors.ModelUnavailable, "closed the kept connection when it was asked"),
    (httpx.TransportError, False, errors.ModelUnavailable, "closed the connection before it answered"),
    (httpx.TimeoutException, True, errors.ModelTimeout, "fell silent before it had finished"),
    (httpx.RemoteProtocolError, True, errors.ModelProtocolBroken, "sent something that is no HTTP"),
    (httpx.TransportError, True, errors.ModelStreamCut, "closed the connection before it had finished"),
    (msgspec.DecodeError, True, errors.ModelProtocolBroken, "sent an event that its dialect does not allow"),
    (RecursionError, True, errors.ModelProtocolBroken, "sent an event that is nested without end"),
    (UnicodeDecodeError, True, errors.ModelProtocolBroken, "sent an event that is not UTF-8"),
)
"""What is raised, whether the headers of an answer had come, our error, and our sentence; the first that fits counts.

Any transport of httpx raises these, and no other room knows of them.
"""
_FOREIGN: Final = tuple({row[0] for row in _EXCEPTIONS})

_STATUSES: Final[Mapping[int, type[errors.ModelError]]] = {
    401: errors.ModelCredentialsRefused,
    402: errors.ModelQuotaExhausted,
    403: errors.ModelCredentialsRefused,
    404: errors.ModelUnknown,
    408: errors.ModelTimeout,
    409: errors.ModelUnavailable,
    413: errors.ModelWindowExceeded,
    425: errors.ModelUnavailable,
    429: errors.ModelThrottled,
    504: errors.ModelTimeout,
    524: errors.ModelTimeout,
}

_CODES: Final[Mapping[str, type[errors.ModelError]]] = {
    "api_error": errors.ModelUnavailable,
    "authentication_error": errors.ModelCredentialsRefused,
    "billing_error": errors.ModelQuotaExhausted,
    "billing_hard_limit_reached": errors.ModelQuotaExhausted,
    "bio_policy": errors.ModelRefused,
    "content_filter": errors.ModelRefused,
    "content_policy_violation": errors.ModelRefused,
    "context_length_exceeded": errors.ModelWindowExceeded,
    "exceed_context_size_error": errors.ModelWindowExceeded,
    "image_content_policy_violation": errors.ModelRefused,
    "insufficient_quota": errors.ModelQuotaExhausted,
    "internal_error": errors.ModelUnavailable,
    "internal_server_error": errors.ModelUnavailable,
    "internalservererror": errors.ModelUnavailable,
    "invalid_api_key": errors.ModelCredentialsRefused,
    "invalid_prompt": errors.ModelRefused,
    "invalid_request_error": errors.ModelRejectedRequest,
    "model_not_found": errors.ModelUnknown,
    "not_found_error": errors.ModelUnknown,
    "overloaded": errors.ModelUnavailable,
    "overloaded_error": errors.ModelUnavailable,
    "permission_error": errors.ModelCredentialsRefused,
    "rate_limit_error": errors.ModelThrottled,
    "rate_limit_exceeded": errors.ModelThrottled,
    "request_too_large": errors.ModelWindowExceeded,
    "server_error": errors.ModelUnavailable,
    "server_is_overloaded": errors.ModelUnavailable,
    "slow_down": errors.ModelUnavailable,
    "string_above_max_length": errors.ModelWindowExceeded,
    "timeout_error": errors.ModelTimeout,
}
"""Codes and types of error objects."""

_OVERLOADED: Final = frozenset({"overloaded", "overloaded_error", "server_is_overloaded", "slow_down"})
"""Codes and types of those that have too much to do, where no status says it."""
_OVERLOADED_STATUS: Final = 529

_WORDS: Final[Sequence[tuple[str, type[errors.ModelError]]]] = (
    ("context length", errors.ModelWindowExceeded),
    ("context window", errors.ModelWindowExceeded),
    ("context size", errors.ModelWindowExceeded),
    ("prompt is too long", errors.ModelWindowExceeded),
    ("too many tokens", errors.ModelWindowExceeded),
    ("maximum number of tokens", errors.ModelWindowExceeded),
    ("max_total_tokens", errors.ModelWindowExceeded),
    ("too large for model", errors.ModelWindowExceeded),
    ("longer than the maximum model length", errors.ModelWindowExceeded),
    ("longer than the model's context", errors.ModelWindowExceeded),
    ("api key not valid", errors.ModelCredentialsRefused),
    ("credit balance is too low", errors.ModelQuotaExhausted),
)
"""What is said by endpoints that have one code for all bad requests."""

_MAY_REFINE: Final[Mapping[type[errors.ModelError], frozenset[type[errors.ModelError]]]] = {
    errors.ModelThrottled: frozenset({errors.ModelQuotaExhausted}),
    errors.ModelRejectedRequest: frozenset(
        {
            errors.ModelWindowExceeded,
            errors.ModelRefused,
            errors.ModelCredentialsRefused,
            errors.ModelQuotaExhausted,
            errors.ModelUnknown,
        }
    ),
    errors.ModelCredentialsRefused: frozenset({errors.ModelQuotaExhausted}),
    errors.ModelUnavailable: frozenset({errors.ModelWindowExceeded}),
}
"""What an error object may make of a status; what it may not, the status knows better."""


@contextmanager
def translated(spec: ModelSpec, *, answering: bool) -> Iterator[None]:
    """Raise the errors of the domain in place of foreign ones; ``answering`` once the headers have come."""
    try:
        yield
    except _FOREIGN as error:
        for foreign, within, kind, sentence in _EXCEPTIONS:
            if within is answering and isinstance(error, foreign):
                failure = kind(f"{spec.name} {sentence}")
                failure.stale = isinstance(error, StaleConnection)
                raise failure from error
        raise


def rejection(spec: ModelSpec, status: int, headers: Mapping[str, str], body: bytes) -> errors.ModelError:
    """Return the error for an answer that is not 200. Its status and its identifiers are told on, not its words."""
    complaint = read_complaint(body)
    told = complaint.told() if complaint else {}
    _log.debug("upstream.rejected", model=spec.name, status=status, body=body[:_SHOWN].decode(errors="replace"))
    kind = _kind_of_status(status, complaint)
    hint_s = retry_after_s(status, headers)
    error = kind(
        f"{spec.name} answered with status {status}",
        metadata={"status": str(status)},
        retry_after_s=complaint.retry_after_s if hint_s is None and complaint is not None else hint_s,
    )
    error.told = told
    if (again := should_retry(headers)) is not None:
        error.permanent = not again
    return error


def reported(spec: ModelSpec, complaint: Complaint) -> errors.ModelError:
    """Return the error for an error object in the place of an answer, or inside one.

    It bears the status that the endpoint would have answered with, so that an overload is known as one either way.
    """
    _log.debug("upstream.reported", model=spec.name, **complaint.told())
    status = complaint.status
    if status is None and _OVERLOADED & {complaint.code, *complaint.kind.split()}:
        status = _OVERLOADED_STATUS
    kind = _kind_of_status(status, complaint) if status else _kind_of_complaint(complaint)
    metadata = {"status": str(status)} if status else None
    error = (kind or errors.ModelUnavailable)(
        f"{spec.name} reported an error in its stream", metadata=metadata, retry_after_s=complaint.retry_after_s
    )
    error.told = complaint.told()
    return error


def _kind_of_status(status: int, complaint: Complaint | None) -> type[errors.ModelError]:
    if status in _STATUSES:
        kind = _STATUSES[status]
    elif status >= httpx.codes.INTERNAL_SERVER_ERROR:
        kind = errors.ModelUnavailable
    elif status >= httpx.codes.BAD_REQUEST:
        kind = errors.ModelRejectedRequest
    else:  # redirects, which are not followed, and what is no answer to a question
        kind = errors.ModelProtocolBroken
    finer = _kind_of_complaint(complaint) if complaint else None
    return finer if finer and finer in _MAY_REFINE.get(kind, ()) else kind


def _kind_of_complaint(complaint: Complaint) -> type[errors.ModelError] | None:
    if complaint.daily:
        return errors.ModelQuotaExhausted
    by_words = next((kind for words, kind in _WORDS if words in complaint.words), None)
    by_code = _CODES.get(complaint.code)
    by_kind = next((_CODES[word] for word in complaint.kind.split() if word in _CODES), None)
    # A code for all bad requests says less than the words that come with it, and than its type.
    if by_code in (None, errors.ModelRejectedRequest) and by_words:
        return by_words
    return by_code if by_code not in (None, errors.ModelRejectedRequest) else by_kind
