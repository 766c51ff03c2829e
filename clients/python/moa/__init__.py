"""Typed clients of moa, Mixture of Agents as a gRPC microservice."""

# fmt: off
# isort: off
# The names share lines, so that the door is read on one screen.
from moa.async_client import AsyncClient
from moa.async_stream import AsyncStream
from moa.channel import Tls
from moa.errors import (
    AnswerFailed, AnswerMismatch, BudgetExceeded, BudgetTooSmall, CallCancelled, DeadlineExceeded, InternalError,
    InvalidRequest, JournalUnavailable, LayerNotFound, LayerOpen, LimitError, MoaError, ModelAnsweredNothing,
    ModelBreakerOpen, ModelCredentialsRefused, ModelError, ModelProtocolBroken, ModelQuotaExhausted, ModelRefused,
    ModelRejectedRequest, ModelStreamCut, ModelThrottled, ModelTimeout, ModelUnavailable, ModelUnknown,
    ModelUnreachable, ModelWindowExceeded, NoProposals, NotOffered, Overloaded, OverrideRefused, PermissionDenied,
    QuorumMissed, QuotaExceeded, RequestError, RequestIdReused, ResumePointExpired, RunAbandoned, RunCancelled,
    RunError, RunNotFound, ServerError, ShuttingDown, StragglerCut, StreamCut, Unauthenticated, UnknownMixture,
    Unreachable,
)
from moa.requests import QueryOptions, Question, RunOptions, StreamOptions
from moa.status import Status, Violation
from moa.sync_client import Client
from moa.sync_stream import Stream
from moa.terms import Token, token_file

__all__ = [
    "AnswerFailed", "AnswerMismatch", "AsyncClient", "AsyncStream", "BudgetExceeded", "BudgetTooSmall", "CallCancelled",
    "Client", "DeadlineExceeded", "InternalError", "InvalidRequest", "JournalUnavailable", "LayerNotFound", "LayerOpen",
    "LimitError", "MoaError", "ModelAnsweredNothing", "ModelBreakerOpen", "ModelCredentialsRefused", "ModelError",
    "ModelProtocolBroken", "ModelQuotaExhausted", "ModelRefused", "ModelRejectedRequest", "ModelStreamCut",
    "ModelThrottled", "ModelTimeout", "ModelUnavailable", "ModelUnknown", "ModelUnreachable", "ModelWindowExceeded",
    "NoProposals", "NotOffered", "Overloaded", "OverrideRefused", "PermissionDenied", "QueryOptions", "Question",
    "QuorumMissed", "QuotaExceeded", "RequestError", "RequestIdReused", "ResumePointExpired", "RunAbandoned",
    "RunCancelled", "RunError", "RunNotFound", "RunOptions", "ServerError", "ShuttingDown", "Status", "StragglerCut",
    "Stream", "StreamCut", "StreamOptions", "Tls", "Token", "Unauthenticated", "UnknownMixture", "Unreachable",
    "Violation", "token_file",
]
