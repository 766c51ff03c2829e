"""The one table from the errors of the house to gRPC's codes."""

from collections.abc import Mapping
from typing import Final

from grpc import StatusCode

from moa_server.domain import errors
from moa_server.domain.errors import MoaError

CODES: Final[Mapping[type[MoaError], StatusCode]] = {
    errors.InvalidRequest: StatusCode.INVALID_ARGUMENT,
    errors.UnknownMixture: StatusCode.NOT_FOUND,
    errors.OverrideRefused: StatusCode.INVALID_ARGUMENT,
    errors.RunNotFound: StatusCode.NOT_FOUND,
    errors.LayerNotFound: StatusCode.NOT_FOUND,
    errors.LayerOpen: StatusCode.FAILED_PRECONDITION,
    errors.RequestIdReused: StatusCode.ALREADY_EXISTS,
    errors.ResumePointExpired: StatusCode.OUT_OF_RANGE,
    errors.Unauthenticated: StatusCode.UNAUTHENTICATED,
    errors.PermissionDenied: StatusCode.PERMISSION_DENIED,
    errors.QuotaExceeded: StatusCode.RESOURCE_EXHAUSTED,
    errors.SchemaTooCostly: StatusCode.INVALID_ARGUMENT,
    errors.PromptTooLong: StatusCode.INVALID_ARGUMENT,
    errors.PlanTooLarge: StatusCode.INVALID_ARGUMENT,
    errors.BudgetTooSmall: StatusCode.FAILED_PRECONDITION,
    errors.BudgetExceeded: StatusCode.RESOURCE_EXHAUSTED,
    errors.DeadlineExceeded: StatusCode.DEADLINE_EXCEEDED,
    errors.RunCancelled: StatusCode.CANCELLED,
    errors.NoProposals: StatusCode.UNAVAILABLE,
    errors.QuorumMissed: StatusCode.UNAVAILABLE,
    errors.AnswerFailed: StatusCode.UNAVAILABLE,
    errors.AnswerMismatch: StatusCode.FAILED_PRECONDITION,
    errors.RunAbandoned: StatusCode.ABORTED,
    errors.ModelsUnusable: StatusCode.FAILED_PRECONDITION,
    errors.RunQuarantined: StatusCode.ABORTED,
    errors.RunLost: StatusCode.ABORTED,
    errors.Overloaded: StatusCode.UNAVAILABLE,
    errors.ShuttingDown: StatusCode.UNAVAILABLE,
    errors.JournalUnavailable: StatusCode.UNAVAILABLE,
    errors.NotOffered: StatusCode.UNIMPLEMENTED,
    errors.InternalError: StatusCode.INTERNAL,
}
"""Of the errors that can end a call."""
FAULTS: Final = frozenset({StatusCode.UNKNOWN, StatusCode.INTERNAL, StatusCode.UNAVAILABLE, StatusCode.DATA_LOSS})
"""The codes by which a server says that the fault is its own."""


def code_of(error: type[MoaError]) -> StatusCode:
    """Return the code of an error; a model's, which is no call's end, would be as if no proposal had come."""
    return CODES.get(error) or (StatusCode.UNAVAILABLE if issubclass(error, errors.ModelError) else StatusCode.INTERNAL)
