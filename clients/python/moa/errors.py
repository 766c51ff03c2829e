"""Everything that can go wrong, by name.

    MoaError
    ├── RequestError              the caller asked for something it cannot have
    │   ├── InvalidRequest        a field breaks the contract
    │   ├── UnknownMixture        no mixture of that name
    │   ├── OverrideRefused       the mixture does not allow this change
    │   ├── RunNotFound           no run of that id for this caller
    │   ├── LayerNotFound         the run has no such layer
    │   ├── LayerOpen             the layer has not closed yet
    │   ├── RequestIdReused       the request id stands for another request
    │   ├── ResumePointExpired    the events after that place are gone
    │   ├── Unauthenticated       who calls is not proven
    │   ├── PermissionDenied      who calls may not do this
    │   ├── QuotaExceeded         who calls has used its share
    │   ├── SchemaTooCostly       the response schema costs too much to check
    │   ├── PromptTooLong         the messages do not fit a model's window
    │   └── PlanTooLarge          the plan is larger than is allowed
    ├── LimitError                a limit of the run
    │   ├── BudgetTooSmall        the worst case does not fit
    │   ├── BudgetExceeded        the budget is used up
    │   └── DeadlineExceeded      the time is over
    ├── RunError                  a run that ended without an answer
    │   ├── RunCancelled          somebody cancelled it
    │   ├── NoProposals           every agent of a layer failed
    │   ├── QuorumMissed          too few agents answered
    │   ├── AnswerFailed          the answering agent failed for good
    │   ├── AnswerMismatch        the answer does not satisfy its schema
    │   ├── RunAbandoned          the run has lost too many owners
    │   ├── ModelsUnusable        nobody answered, and every failure is permanent
    │   ├── RunQuarantined        two owners in a row fell silent under it
    │   └── RunLost               it was in the memory of a server that is gone
    ├── ServerError               the server cannot serve now
    │   ├── Overloaded            it is at its limit
    │   ├── ShuttingDown          it is stopping
    │   ├── JournalUnavailable    runs cannot be stored
    │   ├── NotOffered            it does not do this
    │   ├── InternalError         a fault of its own
    │   ├── Unreachable           no answer at all: not running, or cut off (client only)
    │   ├── StreamCut             a stream ended too early (client only)
    │   └── CallCancelled         the call, not the run, was cancelled (client only)
    └── ModelError                one agent failed; found among an error's causes
        ├── ModelUnreachable · ModelTimeout · ModelCredentialsRefused · ModelUnknown
        ├── ModelThrottled · ModelQuotaExhausted · ModelUnavailable · ModelRejectedRequest
        ├── ModelWindowExceeded · ModelProtocolBroken · ModelStreamCut
        ├── ModelAnsweredNothing · ModelRefused · ModelBreakerOpen · StragglerCut
        └── ModelAnswerTooLong · ModelOnlyReasoned · NotNeeded

A class's name is that of its ErrorReason, in camel case; those marked client only have none, because no server
spoke. The server draws the same tree.
"""

import re
from typing import ClassVar

from grpc import StatusCode

from moa.status import Status, Violation
from moa.v1.error_pb2 import ErrorReason

PREFIX = "ERROR_REASON_"
_WORD_START = re.compile(r"(?<!^)(?=[A-Z])")


class MoaError(Exception):
    """The root of every error of this client.

    ``code``, ``reason``, ``metadata``, ``violations``, ``retry_after`` and ``failure`` are those of the ``status``;
    ``trace_id`` is what to quote to the operator; ``causes`` are the agents' own failures behind a failed run.
    """

    usual_code: ClassVar[StatusCode] = StatusCode.UNKNOWN

    def __init__(self, message: str, status: Status | None = None) -> None:
        super().__init__(message, status)
        self.message = message
        self.status = status or Status(self.usual_code, self.usual_reason())
        self.code = self.status.code
        self.reason = self.status.reason
        self.metadata = self.status.metadata
        self.violations: tuple[Violation, ...] = self.status.violations
        self.retry_after = self.status.retry_after
        self.trace_id = self.metadata.get("trace_id")
        self.failure = self.status.failure
        self.causes: tuple[MoaError, ...] = ()

    @classmethod
    def usual_reason(cls) -> str:
        """Return the name the contract gives this error, empty where it gives none."""
        name = _WORD_START.sub("_", cls.__name__).upper()
        return name if f"{PREFIX}{name}" in ErrorReason.DESCRIPTOR.values_by_name else ""

    @property
    def partial_text(self) -> str:
        """What had been written of the answer.

        Always empty after ``query``, whose errors come in a status of at most 4 KB; ``synthesize`` brings the text.
        """
        return self.failure.partial_text if self.failure else ""

    def __str__(self) -> str:
        return self.message


class RequestError(MoaError):
    """The caller asked for something it cannot have."""


class InvalidRequest(RequestError):
    """A field breaks the contract; see the violations."""

    usual_code = StatusCode.INVALID_ARGUMENT


class UnknownMixture(RequestError):
    """No mixture of that name is configured."""

    usual_code = StatusCode.NOT_FOUND


class OverrideRefused(RequestError):
    """The mixture does not allow this change."""

    usual_code = StatusCode.INVALID_ARGUMENT


class RunNotFound(RequestError):
    """No run of that id, or it is past its retention, or another caller's."""

    usual_code = StatusCode.NOT_FOUND


class LayerNotFound(RequestError):
    """The run has no such layer, or ended before it closed."""

    usual_code = StatusCode.NOT_FOUND


class LayerOpen(RequestError):
    """The layer has not closed yet."""

    usual_code = StatusCode.FAILED_PRECONDITION


class RequestIdReused(RequestError):
    """The request id was used before for another request."""

    usual_code = StatusCode.ALREADY_EXISTS


class ResumePointExpired(RequestError):
    """The events after that place are no longer kept."""

    usual_code = StatusCode.OUT_OF_RANGE


class Unauthenticated(RequestError):
    """Who calls is not proven."""

    usual_code = StatusCode.UNAUTHENTICATED


class PermissionDenied(RequestError):
    """Who calls may not do this."""

    usual_code = StatusCode.PERMISSION_DENIED


class QuotaExceeded(RequestError):
    """Who calls has used its share."""

    usual_code = StatusCode.RESOURCE_EXHAUSTED


class SchemaTooCostly(RequestError):
    """The response schema costs too much to check; see the violations."""

    usual_code = StatusCode.INVALID_ARGUMENT


class PromptTooLong(RequestError):
    """The messages do not fit the window of a model that has to read them."""

    usual_code = StatusCode.INVALID_ARGUMENT


class PlanTooLarge(RequestError):
    """The plan is larger than the caller may ask for."""

    usual_code = StatusCode.INVALID_ARGUMENT


class LimitError(MoaError):
    """A limit of the run."""


class BudgetTooSmall(LimitError):
    """The plan's worst case does not fit the budget."""

    usual_code = StatusCode.FAILED_PRECONDITION


class BudgetExceeded(LimitError):
    """The budget was used up before the run could end."""

    usual_code = StatusCode.RESOURCE_EXHAUSTED


class DeadlineExceeded(LimitError):
    """The time is over, or too little is left to start."""

    usual_code = StatusCode.DEADLINE_EXCEEDED


class RunError(MoaError):
    """A run that ended without an answer."""


class RunCancelled(RunError):
    """Somebody cancelled the run."""

    usual_code = StatusCode.CANCELLED


class NoProposals(RunError):
    """Every agent of a layer failed; see the causes."""

    usual_code = StatusCode.UNAVAILABLE


class QuorumMissed(RunError):
    """Fewer agents answered than the layer needs."""

    usual_code = StatusCode.UNAVAILABLE


class AnswerFailed(RunError):
    """The answering agent failed and nothing could take its place."""

    usual_code = StatusCode.UNAVAILABLE


class AnswerMismatch(RunError):
    """The answer does not satisfy the requested schema."""

    usual_code = StatusCode.FAILED_PRECONDITION


class RunAbandoned(RunError):
    """The run lost more owners than is allowed."""

    usual_code = StatusCode.ABORTED


class ModelsUnusable(RunError):
    """Nobody answered, and nobody will until the operator mends what failed; see the causes."""

    usual_code = StatusCode.FAILED_PRECONDITION


class RunQuarantined(RunError):
    """Two owners in a row fell silent while the run was open; it is not handed on."""

    usual_code = StatusCode.ABORTED


class RunLost(RunError):
    """The run was held in the memory of a server that is gone."""

    usual_code = StatusCode.ABORTED


class ServerError(MoaError):
    """The server cannot serve now."""


class Overloaded(ServerError):
    """The server is at its limit."""

    usual_code = StatusCode.UNAVAILABLE


class ShuttingDown(ServerError):
    """The server is stopping; another one will answer."""

    usual_code = StatusCode.UNAVAILABLE


class JournalUnavailable(ServerError):
    """Runs and events cannot be stored now."""

    usual_code = StatusCode.UNAVAILABLE


class NotOffered(ServerError):
    """The server does not do this."""

    usual_code = StatusCode.UNIMPLEMENTED


class InternalError(ServerError):
    """A fault of the server; quote the trace id."""

    usual_code = StatusCode.INTERNAL


class Unreachable(ServerError):
    """No server could be reached, or the connection broke."""

    usual_code = StatusCode.UNAVAILABLE


class StreamCut(ServerError):
    """A stream of events ended before its terminal event."""

    usual_code = StatusCode.UNAVAILABLE


class CallCancelled(ServerError):
    """The call was cancelled by something other than the run's end."""

    usual_code = StatusCode.CANCELLED


class ModelError(MoaError):
    """One agent or attempt failed. Never the status of a call: found among the causes of a RunError."""

    usual_code = StatusCode.UNAVAILABLE


class ModelUnreachable(ModelError):
    """The model's endpoint could not be reached."""


class ModelTimeout(ModelError):
    """The model's endpoint was silent for too long."""


class ModelCredentialsRefused(ModelError):
    """The endpoint refused the operator's credentials."""


class ModelUnknown(ModelError):
    """The endpoint does not know the model."""


class ModelThrottled(ModelError):
    """The endpoint asks to slow down."""


class ModelQuotaExhausted(ModelError):
    """The operator's account at the endpoint is used up."""


class ModelUnavailable(ModelError):
    """The endpoint failed or is overloaded."""


class ModelRejectedRequest(ModelError):
    """The endpoint refused the request as malformed."""


class ModelWindowExceeded(ModelError):
    """The prompt does not fit the model's window."""


class ModelProtocolBroken(ModelError):
    """What the endpoint sent is not what its protocol allows."""


class ModelStreamCut(ModelError):
    """The endpoint's stream ended before the model had finished."""


class ModelAnsweredNothing(ModelError):
    """The model answered nothing."""


class ModelRefused(ModelError):
    """The model declined to answer."""


class ModelBreakerOpen(ModelError):
    """The model's circuit breaker is open; it was not called."""


class StragglerCut(ModelError):
    """The call was cut because its layer closed without it."""


class ModelAnswerTooLong(ModelError):
    """The model wrote more than any answer may be long."""


class ModelOnlyReasoned(ModelError):
    """The model used all its tokens for reasoning."""


class NotNeeded(ModelError):
    """The call was cut because the outcome was decided without it."""
