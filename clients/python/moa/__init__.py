"""Typed clients of moa, Mixture of Agents as a gRPC microservice."""

# fmt: off
# isort: off
# The names share lines, so that the door is read on one screen.
from moa.async_client import AsyncClient
from moa.async_stream import AsyncStream
from moa.channel import Tls
from moa.errors import (
    AnswerFailed, AnswerMismatch, BudgetExceeded, BudgetTooSmall, CallCancelled, DeadlineExceeded, InternalError,
    InvalidRequest, JournalUnavailable, LayerNotFound, LayerOpen, LimitError, MoaError, ModelAnswerTooLong,
    ModelAnsweredNothing, ModelBreakerOpen, ModelCredentialsRefused, ModelError, ModelOnlyReasoned, ModelProtocolBroken,
    ModelQuotaExhausted, ModelRefused, ModelRejectedRequest, ModelStreamCut, ModelThrottled, ModelTimeout,
    ModelUnavailable, ModelUnknown, ModelUnreachable, ModelWindowExceeded, ModelsUnusable, NoProposals, NotNeeded,
    NotOffered, Overloaded, OverrideRefused, PermissionDenied, PlanTooLarge, PromptTooLong, QuorumMissed, QuotaExceeded,
    RequestError, RequestIdReused, ResumePointExpired, RunAbandoned, RunCancelled, RunError, RunLost, RunNotFound,
    RunQuarantined, SchemaTooCostly, ServerError, ShuttingDown, StragglerCut, StreamCut, Unauthenticated,
    UnknownMixture, Unreachable,
)
from moa.requests import QueryOptions, Question, RunOptions, StreamOptions
from moa.status import Status, Violation
from moa.sync_client import Client
from moa.sync_stream import Stream
from moa.terms import Token, token_file

__all__ = [
    "AnswerFailed", "AnswerMismatch", "AsyncClient", "AsyncStream", "BudgetExceeded", "BudgetTooSmall", "CallCancelled",
    "Client", "DeadlineExceeded", "InternalError", "InvalidRequest", "JournalUnavailable", "LayerNotFound", "LayerOpen",
    "LimitError", "MoaError", "ModelAnswerTooLong", "ModelAnsweredNothing", "ModelBreakerOpen",
    "ModelCredentialsRefused", "ModelError", "ModelOnlyReasoned", "ModelProtocolBroken", "ModelQuotaExhausted",
    "ModelRefused", "ModelRejectedRequest", "ModelStreamCut", "ModelThrottled", "ModelTimeout", "ModelUnavailable",
    "ModelUnknown", "ModelUnreachable", "ModelWindowExceeded", "ModelsUnusable", "NoProposals", "NotNeeded",
    "NotOffered", "Overloaded", "OverrideRefused", "PermissionDenied", "PlanTooLarge", "PromptTooLong", "QueryOptions",
    "Question", "QuorumMissed", "QuotaExceeded", "RequestError", "RequestIdReused", "ResumePointExpired",
    "RunAbandoned", "RunCancelled", "RunError", "RunLost", "RunNotFound", "RunOptions", "RunQuarantined",
    "SchemaTooCostly", "ServerError", "ShuttingDown", "Status", "StragglerCut", "Stream", "StreamCut", "StreamOptions",
    "Tls", "Token", "Unauthenticated", "UnknownMixture", "Unreachable", "Violation", "token_file",
]
